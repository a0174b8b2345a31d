"""Load the videos of a folder that has a folder for each class."""

import random
from collections.abc import Callable
from typing import Any, TypeVar

from mmtsf.registry import DATASETS
from mmtsf.utils.class_folders import SPLITS, find_classes, find_splits, find_videos
from mmtsf.utils.locations import listings_kept, location
from mmtsf.utils.media import SUFFIXES

from .video_list import VideoListDataset

T = TypeVar('T')
#: Of every class, the shares that go to validation and to testing
SHARES = (0.1, 0.2)
#: Arguments of the data set of a list alone
OF_LISTS = {'ann_file', 'video_dir', 'classes', 'multi_class', 'allow_outside', 'data_prefix'}


@DATASETS.register_module()
class VideoFolderDataset(VideoListDataset):
    """Every folder in ``data_root`` is a class, every video file or folder of frames in it a sample.

    Where ``data_root`` holds ``train/`` and ``val/`` or ``test/``, those are the splits (of the latter two, one serves
    for both if the other is missing; ``valid``, ``validation``, ``eval`` and ``dev`` are ``val``, and another folder of
    videos beside them is an error). Otherwise the videos of every class are split by ``split_seed``.

    Args:
        pipeline (list): Transforms, beginning with :class:`OpenVideo`.
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        num_classes (int, optional): Number K of classes, equal to the number of class folders; None takes it from
            them.
        data_root (str): Folder of the class folders.
        split_shares (tuple[float, float]): Shares of every class that go to validation and to testing. Defaults to
            (0.1, 0.2).
        split_seed (int): Seed of the split. Defaults to 0.
        base: Other arguments of :class:`VideoListDataset` that are not about lists: ``test_mode``, ``skip_broken``,
            ``time_limit``, ``indices``, ``metainfo``, and those of its base.
    """

    def __init__(
        self,
        pipeline: list[dict | Callable],
        split: str,
        num_classes: int | None,
        data_root: str,
        split_shares: tuple[float, float] = SHARES,
        split_seed: int = 0,
        **base: Any,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f'split is {split!r}, expected one of {SPLITS}')
        if unusable := base.keys() & OF_LISTS:
            raise ValueError(
                f'{sorted(unusable)} are for videos of a list; leave them out, or use VideoListDataset '
                '(data.source=list)'
            )
        self.split = split
        self.split_shares = split_shares
        self.split_seed = split_seed
        with listings_kept():
            classes = find_classes(data_root)
            super().__init__('', pipeline, num_classes, data_root=data_root, classes=classes, **base)

    def load_data_list(self) -> list[dict]:
        """Find the videos of the split.

        Raises:
            ValueError: If there are none.
        """
        videos = list_videos(self.data_root, self.split, self.split_seed, self.split_shares)
        data_list = [dict(filename=str(video), label=self.label_of[video.parent.name]) for video in videos]
        if not data_list:
            raise ValueError(
                f'{self.data_root} holds no videos for the split {self.split!r}; expected a folder for each class '
                f'with video files ({SUFFIXES}) or folders of frames in it'
            )
        return data_list


def list_videos(
    data_root: Any, split: str, split_seed: int = 0, split_shares: tuple[float, float] = SHARES
) -> list[Any]:
    """Videos of a split, class by class; the arguments are those of :class:`VideoFolderDataset`."""
    root = location(data_root)
    splits = find_splits(root)
    folder = splits.get(split) or splits.get({'val': 'test', 'test': 'val'}.get(split, split)) or root
    videos = {name: find_videos(folder / name, root) for name in find_classes(root)}
    if folder != root:
        return sum(videos.values(), [])
    return sum((part_of_class(split, videos[name], f'{split_seed} {name}', split_shares) for name in videos), [])


def part_of_class(split: str, videos: list[T], seed: str, shares: tuple[float, float]) -> list[T]:
    """The split's part of a class's videos; validation and testing get at least one each of three or more."""
    random.Random(seed).shuffle(videos)
    least = int(len(videos) >= len(SPLITS))
    num_val, num_test = (max(least, round(share * len(videos))) for share in shares)
    held_out = num_val + num_test
    return dict(val=videos[:num_val], test=videos[num_val:held_out], train=videos[held_out:])[split]
