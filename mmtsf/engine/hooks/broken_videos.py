"""List videos that cannot be read, and stop a training when too many cannot."""

from itertools import groupby
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmtsf.registry import HOOKS
from mmtsf.utils.text import counted


@HOOKS.register_module()
class BrokenVideosHook(Hook):
    """Name each broken video of training once in the log and in ``broken_videos.txt``, and stop at a share of them.

    Args:
        max_share (float): Largest share of drawn videos that may be broken. Defaults to 0.1.
        min_seen (int): Draws before the share is judged. Defaults to 100.
    """

    def __init__(self, max_share: float = 0.1, min_seen: int = 100) -> None:
        self.max_share = max_share
        self.min_seen = min_seen
        self.seen = 0
        self.drawn_broken = 0
        self.named: set[str] = set()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Count the broken videos in whose place the batch has others.

        Raises:
            RuntimeError: If their share is above ``max_share``.
        """
        samples = sample_infos(data_batch)
        # clips of one video stand together
        draws = [
            broken for (_, broken), _ in groupby((meta.get('filename'), meta.get('broken', [])) for meta in samples)
        ]
        broken = [entry for draw in draws for entry in draw]
        self.seen += len(draws) + len(broken)
        self.drawn_broken += len(broken)
        for path, reason in broken:
            if path not in self.named:
                self.named.add(path)
                runner.logger.warning(f'broken video replaced by another one: {reason}')
                self._list(runner, path, reason)
        if self.seen >= self.min_seen and self.drawn_broken > self.max_share * self.seen:
            raise RuntimeError(
                f'{self.drawn_broken} of {self.seen} videos drawn for training are broken, more than the share of '
                f'{self.max_share} that broken_videos.max_share allows; {runner.work_dir}/broken_videos.txt names them'
            )

    def _list(self, runner: Runner, path: str, reason: str) -> None:
        """Add a line, unless another process or the run that is resumed has."""
        try:
            with Path(runner.work_dir, 'broken_videos.txt').open(
                'a+', encoding='utf-8', errors='surrogateescape'
            ) as file:
                file.seek(0)
                if not any(line.startswith(f'{path}\t') for line in file):
                    file.write(f'{path}\t{reason}\n')
        except OSError as error:  # a full disk, say
            runner.logger.error(f'{path} cannot be written to broken_videos.txt: {error}')

    def after_train(self, runner: Runner) -> None:
        """Say how many there were."""
        if self.named:
            runner.logger.warning(
                f'{counted(len(self.named), "broken video")} {"was" if len(self.named) == 1 else "were"} left out of '
                f'training; they are listed in {runner.work_dir}/broken_videos.txt'
            )


def sample_infos(batch: Any) -> list[dict]:
    """What the samples of a batch tell of themselves; nothing where it is no batch of MMAction2's samples."""
    samples = batch.get('data_samples') if isinstance(batch, dict) else None
    return [sample.metainfo for sample in samples if hasattr(sample, 'metainfo')] if isinstance(samples, list) else []
