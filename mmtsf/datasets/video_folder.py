"""Videos in a folder of class folders, without an annotation file."""
import random
from collections.abc import Callable
from pathlib import Path

from mmtsf.registry import DATASETS

from .decoders.frame_folder import IMAGES
from .video_list import VideoListDataset

VIDEOS = {
    '.3gp', '.avi', '.flv', '.gif', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.ogv', '.ts', '.webm', '.wmv'
}
SPLITS = ('train', 'val', 'test')


@DATASETS.register_module()
class VideoFolderDataset(VideoListDataset):
    """Every folder in ``data_root`` is a class, every video file or folder of frames in it a sample.

    Where ``data_root`` holds ``train/`` and ``val/`` or ``test/``, those are the splits (of the latter two, one serves
    for both if the other is missing). Otherwise the videos of every class are split by ``split_seed``.

    Args:
        pipeline (list): Transforms, beginning with :class:`OpenVideo`.
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        num_classes (int): Number K of classes, equal to the number of class folders.
        data_root (str): Folder of the class folders.
        split_shares (tuple[float, float]): Shares of every class that go to validation and to testing. Defaults to
            (0.1, 0.2).
        split_seed (int): Seed of the split. Defaults to 0.
        test_mode (bool): Whether the data set is for validation or testing. Defaults to False.
        skip_broken (bool): Whether testing goes on without the videos that cannot be read. Defaults to False.
    """

    def __init__(self,
                 pipeline: list[dict | Callable],
                 split: str,
                 num_classes: int,
                 data_root: str,
                 split_shares: tuple[float, float] = (0.1, 0.2),
                 split_seed: int = 0,
                 test_mode: bool = False,
                 skip_broken: bool = False) -> None:
        if split not in SPLITS:
            raise ValueError(f'split is {split!r}, expected one of {SPLITS}')
        self.split = split
        self.split_shares = split_shares
        self.split_seed = split_seed
        super().__init__(
            '',
            pipeline,
            num_classes,
            data_root=data_root,
            classes=find_classes(data_root),
            test_mode=test_mode,
            skip_broken=skip_broken)

    def load_data_list(self) -> list[dict]:
        """Find the videos of the split.

        Raises:
            ValueError: If there are none.
        """
        folder, is_split = _split_folder(Path(self.data_root), self.split)
        data_list = []
        for name, label in self.label_of.items():
            videos = find_videos(folder / name)
            if not is_split:
                videos = self._of_split(name, videos)
            data_list += [dict(filename=str(video), label=label) for video in videos]
        if not data_list:
            raise ValueError(f'{folder} holds no videos for the split {self.split!r}; expected a folder for each class '
                             f'with video files ({" ".join(sorted(VIDEOS))}) or folders of frames in it')
        return data_list

    def _of_split(self, name: str, videos: list[Path]) -> list[Path]:
        """The split's part of a class's videos; validation and testing get at least one each of three or more."""
        videos = list(videos)
        random.Random(f'{self.split_seed} {name}').shuffle(videos)
        least = int(len(videos) >= len(SPLITS))
        num_val, num_test = (max(least, round(share * len(videos))) for share in self.split_shares)
        parts = dict(
            val=videos[:num_val], test=videos[num_val:num_val + num_test], train=videos[num_val + num_test:])
        return parts[self.split]


def find_classes(data_root: str | Path) -> list[str]:
    """Names of the class folders in alphabetical order.

    Raises:
        FileNotFoundError: If ``data_root`` is no folder or holds none.
    """
    folder = _split_folder(Path(data_root), 'train')[0]
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and find_videos(p)) if folder.is_dir() else []
    if not names:
        raise FileNotFoundError(f'{folder} is not a folder of class folders; expected {folder}/CLASS/VIDEO for each '
                                'video')
    return names


def find_videos(folder: Path) -> list[Path]:
    """Video files and folders of frames in a class folder, in alphabetical order."""
    return sorted(p for p in folder.iterdir() if not p.name.startswith('.') and _is_video(p)) if folder.is_dir() else []


def _is_video(path: Path) -> bool:
    if path.is_dir():
        return any(p.suffix.lower() in IMAGES for p in path.iterdir())
    return path.suffix.lower() in VIDEOS


def _split_folder(root: Path, split: str) -> tuple[Path, bool]:
    """Folder of the class folders of a split, and whether it holds that split alone."""
    if not (root / 'train').is_dir() or find_videos(root / 'train'):
        return root, False
    instead = {'val': 'test', 'test': 'val'}.get(split, split)
    return (root / split if (root / split).is_dir() else root / instead), True
