"""Load the videos of WebDataset shards."""

import time
from collections.abc import Callable
from typing import Any

from mmtsf.registry import DATASETS
from mmtsf.utils.class_folders import SPLITS
from mmtsf.utils.data_root import SHARD_INDEX, shard_folder
from mmtsf.utils.locations import is_address, location
from mmtsf.utils.remote_cache import ready

from . import video_list
from .loading.seeds import keep_random_state
from .shards import ShardError, ShardIndex, ShardVideo, VideoInShard, read_index
from .shards.shard_index import REMEDY
from .transforms.read_video import OPENERS
from .video_folder import SHARES, part_of_class
from .video_list import VideoListDataset


@DATASETS.register_module()
class VideoShardsDataset(VideoListDataset):
    """Videos in tar files that :mod:`mmtsf.commands.transcode` has written with ``--shards``.

    A sample is read as a range of bytes of its shard, on the disk or at an address: any sample at any time, whatever
    the number of processes and workers. ``data_root`` holds ``index.jsonl``, or ``train/``, ``val/`` or ``test/`` with
    one each (of the latter two, one serves for both if the other is missing). One index in ``data_root`` itself is
    split by ``split_seed``, as the folder of classes is that it was made of. Shards at an address are fetched whole
    where there is a cache (:mod:`mmtsf.utils.remote_cache`).

    A shard that is missing or does not fit its index ends the run; a video that cannot be decoded costs its sample, as
    one of a list. For a server that is gone the run waits, as with a list.

    Args:
        pipeline (list): Transforms, beginning with :class:`OpenVideo`.
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        num_classes (int, optional): Number K of classes; None takes it from the index.
        data_root (str): Folder, or an address such as ``s3://bucket/shards``.
        classes (str | list[str], optional): Class names for an index that has none, as :class:`VideoListDataset` takes
            them. Defaults to None: those of the index.
        split_shares (tuple[float, float]): Shares of every class that go to validation and to testing. Defaults to
            (0.1, 0.2).
        split_seed (int): Seed of the split. Defaults to 0.
        window (int, optional): How many shards :class:`SeededSampler` reads at a time where it shuffles. Defaults to
            None: samples come in any order.
        base: Other arguments of :class:`VideoListDataset` that are not about lists: ``default_classes``,
            ``multi_class``, ``test_mode``, ``skip_broken``, ``time_limit``, ``indices``, ``metainfo``, and those of its
            base.
    """

    def __init__(
        self,
        pipeline: list[dict | Callable],
        split: str,
        num_classes: int | None,
        data_root: str,
        classes: str | list[str] | None = None,
        split_shares: tuple[float, float] = SHARES,
        split_seed: int = 0,
        window: int | None = None,
        **base: Any,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f'split is {split!r}, expected one of {SPLITS}')
        if window is not None and (type(window) is not int or window < 1):
            raise ValueError(f'window is {window!r}, expected a number of shards of at least 1, or None for any order')
        self.window = window
        self.split, self.split_shares, self.split_seed = split, split_shares, split_seed
        self.folder = shard_folder(location(data_root), split)
        index = read_index(self.folder)
        if index.classes and classes:
            raise ValueError(f'{self.folder / SHARD_INDEX} has the names of the classes; leave data.classes out')
        self.shards = [shard._replace(videos=[]) for shard in index.shards]
        self._check_cache(bool(base.get('test_mode')))
        self._index: ShardIndex | None = index
        super().__init__('', pipeline, num_classes, data_root=data_root, classes=index.classes or classes, **base)
        others = set(OPENERS.values()) - {'OpenVideo'}
        if found := others.intersection(type(transform).__name__ for transform in self.pipeline.transforms):
            raise ValueError(f'{min(found)} opens files, not videos in shards; begin the pipeline with OpenVideo')

    def _check_cache(self, is_test: bool) -> None:
        """Refuse a cache of shards that would fetch them again and again.

        Raises:
            CacheError: If it cannot be written.
            ValueError: If those that are read at a time take more than it holds.
        """
        if not is_address(self.folder) or (found := ready()) is None:
            return
        at_once = len(self.shards) if self.window is None and not is_test else (self.window or 1) + 2
        size = sum(sorted(shard.size for shard in self.shards)[-at_once:])
        if size > found[1]:
            raise ValueError(
                f'MMTSF_CACHE_SIZE holds {found[1]} bytes, but the shards that are read at a time have {size}, and '
                'would be fetched again and again; set data.window to a few shards, a larger size, or unset MMTSF_CACHE'
            )

    def load_data_list(self) -> list[dict]:
        """List the videos of the split, shard by shard.

        Raises:
            ValueError: If there are none, or one has not one label, or one that is no class.
        """
        index, self._index = self._index or read_index(self.folder), None
        videos = [(number, video) for number, shard in enumerate(index.shards) for video in shard.videos]
        if self.folder == location(self.data_root):
            videos = self._of_split(videos)
        if not videos:
            raise ValueError(f'{self.folder / SHARD_INDEX} holds no videos for the split {self.split!r}')
        return [self._info(number, video) for number, video in videos]

    def _info(self, number: int, video: ShardVideo) -> dict:
        shard, labels = self.shards[number].name, video.labels
        where = f'{self.folder / SHARD_INDEX}: {video.name!r} in {shard}'
        if not labels or (len(labels) > 1 and not self.multi_class):
            raise ValueError(
                f'{where} has {len(labels)} labels, expected one'
                f'{"; for several labels a video set data.multi_class=True" if labels else ", as training needs"}'
            )
        if max(labels) >= self.num_classes:
            raise ValueError(f'{where} has the label {max(labels)}, which is not in [0, {self.num_classes})')
        place = (number, video.member, video.offset, video.size)
        return dict(
            filename=f'{self.folder}/{shard}/{video.name}',
            label=labels if self.multi_class else labels[0],
            place=place,
        )

    def _of_split(self, videos: list[tuple[int, ShardVideo]]) -> list[tuple[int, ShardVideo]]:
        """The split's part of every class, the same as of a folder of class folders."""
        of_class: dict[int, list[tuple[int, ShardVideo]]] = {}
        for number, video in videos:
            of_class.setdefault(video.labels[0] if video.labels else -1, []).append((number, video))
        names, kept = list(self.label_of), set()
        for label, inside in of_class.items():
            seed = f'{self.split_seed} {names[label] if label < len(names) else label}'
            ordered = sorted(inside, key=lambda item: item[1].name)
            kept |= {(n, v.member) for n, v in part_of_class(self.split, ordered, seed, self.split_shares)}
        return [(number, video) for number, video in videos if (number, video.member) in kept]

    def shard_of(self, index: int) -> int:
        """Number of the shard that a sample lies in."""
        return self.get_data_info(index)['place'][0]

    def prepare_data(self, idx: int) -> Any:
        """Read a sample as :meth:`VideoListDataset.prepare_data` does; an error of its shard is none of its video.

        Raises:
            ShardError: If the shard cannot be read, or does not fit the index.
        """
        begin_again, deadline = keep_random_state(), time.monotonic() + video_list.PATIENCE
        while True:
            try:
                return super().prepare_data(idx)
            except _UnreadError as error:
                may_come = type(error.__cause__).__name__ == 'UnreachableError' and time.monotonic() < deadline
                if not self._has_come_back(error.video) and not may_come:
                    raise ShardError(f'{error}; copy it there again, or {REMEDY}') from error
            begin_again()

    def _is_mended(self, info: dict) -> bool:
        return self._file(info).is_mended()

    def _begun(self, info: dict) -> dict:
        """A sample with the bytes of its video."""
        return dict(info, file=self._file(info))

    def _file(self, info: dict) -> VideoInShard:
        """The bytes of a sample's video.

        Raises:
            ShardError: If the shard does not fit the index.
        """
        number, member, offset, size = info['place']
        try:
            return VideoInShard(self.folder, self.shards[number], ShardVideo(member, offset, size, [], ''))
        except OSError as error:
            raise _UnreadError(info['filename'], f'{self.folder / self.shards[number].name}', error) from error


class _UnreadError(Exception):
    """A shard cannot be read."""

    def __init__(self, video: str, shard: str, error: OSError) -> None:
        said = error.strerror or str(error)
        super().__init__(said if said.startswith(shard) else f'{shard} cannot be read: {said}')
        self.video = video
