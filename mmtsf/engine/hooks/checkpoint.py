"""Write checkpoints when they are due, and remove old ones after a new one is on the disk."""

import copy
import inspect
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine import hooks
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

from mmtsf import compat
from mmtsf.engine.runner.checkpoint_files import WITHIN, CheckpointFiles, is_on_disk
from mmtsf.engine.runner.mirror import Mirror
from mmtsf.registry import HOOKS
from mmtsf.utils.files import LOCK, PART, written_whole

#: What the hook knows of its checkpoints, as if they were written
KNOWN = ('last_ckpt', 'last_iter', 'keep_ckpt_ids', 'best_ckpt_path', 'best_ckpt_path_dict')

#: Metrics of which the least is the best; MMEngine takes most of what has an ``acc`` in its name
LESS = ('loss', *(f'{prefix}{name}' for name in ('ece', 'nll', 'brier') for prefix in ('', 'acc/')))


@HOOKS.register_module()
class CheckpointHook(hooks.CheckpointHook):
    """MMEngine's hook, which also writes every so many minutes or iterations and never removes what it still needs.

    Old checkpoints are removed after a new one is on the disk, not before, as MMEngine does, unless they lie in an
    object store. Those with higher numbers are of an earlier run, and stay; of those within an epoch two are kept,
    should the last be damaged.

    Our runner writes a copy in the background, while training goes on; one checkpoint is written before the next is
    begun, and all before training ends, in whatever way. What cannot be written is told when it is known.

    Takes the arguments of :class:`mmengine.hooks.CheckpointHook` as well.

    Args:
        minutes (float, optional): Minutes between checkpoints within an epoch, ``iter_N.pth``. Defaults to None: none.
        iterations (int, optional): Iterations between them. Defaults to None: none.
        background (bool): Whether training goes on while a checkpoint is written, which takes as much memory once more
            as what is written. Defaults to True.
    """

    best_ckpt_path: str | None
    best_ckpt_path_dict: dict[str, str | None]
    last_ckpt: str | None

    def __init__(
        self,
        *args: Any,
        minutes: float | None = None,
        iterations: int | None = None,
        background: bool = True,
        **kwargs: Any,
    ) -> None:
        given = inspect.signature(hooks.CheckpointHook).bind_partial(*args, **kwargs).arguments
        if 'less_keys' not in given:
            kwargs['less_keys'] = LESS
        super().__init__(*args, **kwargs)
        self.background = background
        self.minutes = minutes
        self.iterations = iterations
        self.last_time = time.monotonic()
        self.last_iter = 0  # when last_ckpt was written

    @property
    def _is_local(self) -> bool:
        return is_on_disk(self.out_dir, self.file_client_args, self.backend_args)

    def before_train(self, runner: Runner) -> None:
        """Begin at the checkpoint that is resumed, and remove what a killed run left half written.

        Raises:
            TypeError: If there is an argument that nothing takes.
            ValueError: If ``save_best`` is no metric of the validation.
        """
        known = inspect.signature(Runner.save_checkpoint).parameters
        if odd := [name for name in self.args if isinstance(runner, Runner) and name not in known]:
            raise TypeError(f'CheckpointHook has no argument {odd[0]!r}; see mmengine.hooks.CheckpointHook')
        self._check_best(runner)
        super().before_train(runner)
        if resumed := compat.resumed_checkpoint(runner):
            self.last_ckpt, self.last_iter = resumed, runner.iter
        if is_main_process() and self._is_local:
            for part in Path(self.out_dir).glob(f'*{PART}'):
                part.unlink()

    def _check_best(self, runner: Runner) -> None:
        """Refuse a metric of ``save_best`` that no validation gives, where its metrics tell what they are."""
        loop = runner.val_loop if self.save_best else None
        known = names_of(getattr(getattr(loop, 'evaluator', None), 'metrics', []))
        odd = [key for key in getattr(self, 'key_indicators', ()) if key not in ('auto', *known)]
        if odd and known:
            raise ValueError(f'save_best is {odd[0]!r}, which no validation gives; expected one of {", ".join(known)}')

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Write a checkpoint if it is due, between two updates of the weights, the last of which was not skipped."""
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        if self.minutes is None and self.iterations is None:
            return
        is_place = is_between_updates(runner) and not self.is_last_train_iter(runner)
        if is_place and self._is_due(runner) and not getattr(runner.optim_wrapper, 'skipped', False):
            self.save_within_epoch(runner)

    def _is_due(self, runner: Runner) -> bool:
        due = [self.iterations is not None and (runner.iter + 1) % self.iterations == 0]
        if self.minutes is not None:
            due[0] |= time.monotonic() - self.last_time > 60 * self.minutes
            broadcast_object_list(due)  # the main process has the clock
        return due[0]

    def save_within_epoch(self, runner: Runner) -> None:
        """Write ``iter_N.pth``, and keep the one before it."""
        self.wait(runner)
        step = runner.iter + 1

        def remove_old() -> None:
            if self.filename_tmpl != WITHIN:
                self._remove(runner, WITHIN, step, sorted(self._found(runner, WITHIN, step))[-2:])

        self._write(runner, WITHIN.format(step), False, dict(epoch=runner.epoch, iter=step), remove_old)

    def wait(self, runner: Runner) -> None:
        """Wait, in all processes, until what is being written is on the disk; MMEngine's runner has written it."""
        if is_ours(runner):
            runner.wait_for_checkpoints()

    def has_written(self, runner: Runner) -> bool:
        """Whether the last checkpoint is on the disk, without the other processes.

        The main process waits for it; others look whether it is named, if they see the main one's work dir.
        """
        if not is_ours(runner) or is_main_process() or not runner.is_writing:
            return not is_ours(runner) or runner.finish_writing()
        folder = Path(runner.work_dir)
        named = folder / 'last_checkpoint'
        return not (folder / LOCK).exists() or (named.is_file() and named.read_text() == self.last_ckpt)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        self.wait(runner)
        self._write_step(runner, step, meta)

    def _write_step(self, runner: Runner, step: int, meta: dict) -> None:
        """Write the checkpoint of an epoch, or of an iteration where there are no epochs."""
        if not self._is_local:  # which writes whole files or none by itself
            hub = runner.message_hub.runtime_info
            undo = self._tell(runner, **{key: hub.get(key) for key in ('last_ckpt', 'keep_ckpt_ids') if key in hub})
            super()._save_checkpoint_with_step(runner, step, meta)
            self.last_iter = meta['iter']
            if why_unsaved(runner):
                undo()
                self._name_before(runner)
            return
        told: dict[str, list[int]] = {}
        if self.max_keep_ckpts > 0:
            earlier = [number for number in self._found(runner, self.filename_tmpl, step) if number != step]
            told['keep_ckpt_ids'] = [*sorted(earlier), step][-self.max_keep_ckpts :]
        done = runner.iter

        def remove_old() -> None:
            if told:
                self._remove(runner, self.filename_tmpl, step, told['keep_ckpt_ids'])
            if self.by_epoch:
                self._remove(runner, WITHIN, done, [])

        self._write(runner, self.filename_tmpl.format(step), self.by_epoch, meta, remove_old, **told)

    def _write(
        self, runner: Runner, name: str, by_epoch: bool, meta: dict, remove_old: Callable[[], None], **told: Any
    ) -> None:
        """Begin to write a checkpoint with what the message hub is told of it; once it is on the disk, it is named."""
        path = self.file_backend.join_path(self.out_dir, name)
        undo = self._tell(runner, last_ckpt=path, **told)
        self.last_ckpt, self.last_iter = path, meta['iter']
        if 'keep_ckpt_ids' in told:
            self.keep_ckpt_ids = deque(told['keep_ckpt_ids'], self.max_keep_ckpts)

        def name_it() -> None:
            if self._name_last(runner, path):
                remove_old()

        what = dict(save_optimizer=self.save_optimizer, save_param_scheduler=self.save_param_scheduler, **self.args)
        self._save(runner, name, name_it, undo, meta=meta, by_epoch=by_epoch, **what)
        self.last_time = time.monotonic()

    def _save(
        self, runner: Runner, name: str, then: Callable[[], None], otherwise: Callable[[], None], **what: Any
    ) -> None:
        """Have a runner write a checkpoint, then call a function in the main process, or else another one in all."""

        def then_copied() -> None:
            then()
            if mirror := mirror_of(runner):
                mirror.update()

        ours = dict(background=self.background, then=then_copied, otherwise=otherwise) if is_ours(runner) else {}
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            backend_args=self.backend_args,
            **what,
            **ours,
        )
        if not ours and is_main_process():
            then()

    def _tell(self, runner: Runner, **infos: Any) -> Callable[[], None]:
        """Tell the message hub what is to stand in a checkpoint; what takes that back, and what the hook knows."""
        hub = runner.message_hub
        before = {key: hub.runtime_info[key] for key in infos if key in hub.runtime_info}
        known = {name: copy.copy(vars(self)[name]) for name in KNOWN if name in vars(self)}
        for key, value in infos.items():
            hub.update_info(key, value)

        def undo() -> None:
            for key in infos:
                hub.runtime_info.pop(key, None)
            hub.runtime_info.update(before)
            for name, value in known.items():
                setattr(self, name, value)

        return undo

    def _name_last(self, runner: Runner, path: str) -> bool:
        """Write where the last checkpoint is, for MMEngine's runner and tools; whether that is on the disk."""
        try:
            with written_whole(Path(runner.work_dir, 'last_checkpoint')) as part:
                part.write_text(path)
        except OSError as error:  # a full disk, say: what it names stays
            runner.logger.error(f'{runner.work_dir}/last_checkpoint cannot be written: {error}')
            return False
        return True

    def _name_before(self, runner: Runner) -> None:
        """Name the checkpoint before the one that could not be written, which MMEngine has named."""
        if is_main_process() and self.last_ckpt is not None:
            self._name_last(runner, self.last_ckpt)
        elif is_main_process():
            Path(runner.work_dir, 'last_checkpoint').unlink(missing_ok=True)

    def _found(self, runner: Runner, template: str, last: int) -> dict[int, Path]:
        """Checkpoints of a template up to a number, here and at the work dir's address."""
        if not self._is_local:
            return {}
        mirror = mirror_of(runner)
        found = (mirror.names(template) if mirror else {}) | CheckpointFiles(Path(self.out_dir)).numbered(template)
        return {number: path for number, path in found.items() if number <= last}

    def _remove(self, runner: Runner, template: str, last: int, kept: list[int]) -> None:
        """Remove checkpoints of a template up to a number, but those to keep."""
        mirror = mirror_of(runner)
        for number, path in self._found(runner, template, last).items() if is_main_process() else ():
            if number not in kept:
                with told_if_not_removed(runner, path):
                    path.unlink(missing_ok=True)
                    if mirror:
                        mirror.remove(path)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """Write the best checkpoint of each metric; then the epoch's checkpoint is told of it."""
        if not self.save_best:
            return
        if 'auto' in self.key_indicators:
            self._init_rule(self.rules, [next(iter(metrics))])
        if lacking := [key for key in self.key_indicators if key not in metrics]:
            raise ValueError(f'save_best is {lacking[0]!r}, but this validation gives {", ".join(metrics)}; name one')
        self.wait(runner)
        better = [
            self._save_if_best(runner, key, rule, metrics[key]) for key, rule in zip(self.key_indicators, self.rules)
        ]
        if any(better) and self.last_ckpt is not None:
            step = runner.epoch if self.by_epoch else runner.iter
            self._write_step(runner, step, dict(epoch=runner.epoch, iter=runner.iter))

    def _save_if_best(self, runner: Runner, key: str, rule: str, score: Any) -> bool:
        """Write a checkpoint if its score is the best so far, and remove the one before it."""
        end = '' if len(self.key_indicators) == 1 else f'_{key}'
        best = runner.message_hub.runtime_info.get(f'best_score{end}', self.init_value_map[rule])
        if score is None or not self.is_better_than[key](score, best):
            return False
        step = runner.epoch if self.by_epoch else runner.iter
        name = f'best_{key}_{self.filename_tmpl.format(step)}'.replace('/', '_')
        path = self.file_backend.join_path(self.out_dir, name)
        undo = self._tell(runner, **{f'best_score{end}': score, f'best_ckpt{end}': path})
        before = self._replace_best(key, path)

        def remove_old() -> None:
            runner.logger.info(f'the best checkpoint so far, with {key} {score:0.4f}, is {name}')
            is_of_this_run = before and before != path and Path(before).parent == Path(path).parent
            if is_of_this_run:
                with told_if_not_removed(runner, str(before)):
                    if self.file_backend.isfile(before):
                        self.file_backend.remove(before)
            if before and (mirror := mirror_of(runner)):
                mirror.remove(before)

        meta = dict(epoch=runner.epoch, iter=runner.iter)
        weights = dict(save_optimizer=False, save_param_scheduler=False)
        self._save(runner, name, remove_old, undo, meta=meta, by_epoch=False, **weights)
        return not why_unsaved(runner)

    def _replace_best(self, key: str, path: str) -> str | None:
        """Remember the best checkpoint of a metric; the one before it."""
        if len(self.key_indicators) == 1:
            before, self.best_ckpt_path = self.best_ckpt_path, path
        else:
            before, self.best_ckpt_path_dict[key] = self.best_ckpt_path_dict[key], path
        return before

    def after_train(self, runner: Runner) -> None:
        """Publish checkpoints, and say where the weights are.

        Raises:
            RuntimeError: If the last checkpoint could not be written.
        """
        self.wait(runner)
        super().after_train(runner)
        if unsaved := why_unsaved(runner):
            raise RuntimeError(f'training is at its end, but {unsaved}; then go on with --resume')


def names_of(metrics: Iterable[Any]) -> list[str]:
    """Return what metrics may give a validation; nothing where one of them does not tell."""
    names = [getattr(metric, 'names', None) for metric in metrics]
    return [] if None in names else [name for several in names for name in several or ()]


@contextmanager
def told_if_not_removed(runner: Runner, path: str | Path) -> Iterator[None]:
    """Remove an old checkpoint inside: where that fails, the log says so, and training goes on."""
    try:
        yield
    except OSError as error:
        runner.logger.error(f'{path} cannot be removed: {error.strerror or error}; training goes on')


def is_between_updates(runner: Runner) -> bool:
    """Whether no gradients wait for an update; several optimizers make one with every batch."""
    wrapper = runner.optim_wrapper
    return isinstance(wrapper, OptimWrapperDict) or wrapper.should_update()


def is_ours(runner: Runner) -> bool:
    """Whether a runner can write in the background; MMEngine's cannot."""
    return hasattr(runner, 'wait_for_checkpoints')


def mirror_of(runner: Runner) -> Mirror | None:
    """What copies a runner's work dir to its address; None of a local one."""
    return vars(runner).get('mirror')


def why_unsaved(runner: Runner) -> str | None:
    """Why a runner could not write its last checkpoint; None if it could, or is MMEngine's, which raises."""
    return vars(runner).get('unsaved')


def last_checkpoint(runner: Runner) -> str | None:
    """The last checkpoint that a runner has written or resumed, as its checkpoint hook knows it."""
    return next((hook.last_ckpt for hook in runner.hooks if isinstance(hook, hooks.CheckpointHook)), None)
