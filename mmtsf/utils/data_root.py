"""Tell whether a folder of data holds lists, class folders or shards, and refuse one that holds none."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .class_folders import SPLITS, find_classes, has_classes, has_several_classes
from .locations import listings_kept, location, within

#: Lists of the shipped configs
LISTS = ('train_list.txt', 'val_list.txt')
#: Index of a folder of shards
SHARD_INDEX = 'index.jsonl'
#: Words of a config's ``data`` that matter to lists alone, and to class folders alone
OF_LISTS = ('train_list', 'val_list', 'test_list', 'video_dir', 'classes', 'multi_class', 'allow_outside')
OF_FOLDERS = ('split_shares', 'split_seed')
#: Those of lists alone that shards take, too
OF_LISTS_AND_SHARDS = ('classes', 'multi_class')


def shard_folders(root: Any) -> list[Any]:
    """Return the folders that hold an index of shards: one, on the disk or at an address, or those of its splits."""
    return [folder for folder in (root, *(root / split for split in SPLITS)) if (folder / SHARD_INDEX).is_file()]


def shard_folder(root: Any, split: str) -> Any:
    """Return the folder of the shards of a split: that of its name, or the whole, which is to be split.

    Args:
        root (Path): The folder of the data, on the disk or at an address.
        split (str): ``'train'``, ``'val'`` or ``'test'``; of the latter two, one serves for both if the other is
            missing.

    Raises:
        FileNotFoundError: If there is none.
    """
    other = {'val': 'test', 'test': 'val'}.get(split, split)
    there = shard_folders(root)
    for folder in (root / split, root / other, root):
        if folder in there:
            return folder
    raise FileNotFoundError(
        f'{root} holds no shards of the split {split!r}: neither {SHARD_INDEX} nor {split}/{SHARD_INDEX} is there; '
        'mmtsf transcode --shards writes it last, when all shards are whole'
    )


def source_of(root: Any, names: Iterable[str]) -> str | None:
    """Return what a folder holds: ``'shards'`` where their index is; else ``'list'`` where the first of the lists is
    there, of training, which class folders may lie beside, as in Kinetics; else ``'folder'`` where there are classes,
    else ``'list'`` where another list is.

    Args:
        root (Path): The folder, on the disk or at an address.
        names (Iterable[str]): Names of the lists, that of training first.
    """
    if shard_folders(root):
        return 'shards'
    there = [within(root, name).is_file() for name in names]
    if there[0] or (any(there) and not _holds_classes(root)):
        return 'list'
    return 'folder' if has_classes(root) else None


def lists_beside_classes(root: str | Path, names: Iterable[str]) -> str | None:
    """Return a line for the log where the lists of a folder are taken, and class folders lie beside them."""
    lists = [name for name in dict.fromkeys(names) if within(root, name).is_file()]
    if not lists or not has_several_classes(location(root)):
        return None
    return (
        f'{root} holds class folders beside {", ".join(lists)}: the videos and labels are those of the lists; for '
        'those of the folders set data.source=folder'
    )


def _holds_classes(root: Any) -> bool:
    """Return whether class folders are there and can be read as such."""
    try:
        return has_classes(root) and bool(find_classes(root))
    except (FileNotFoundError, ValueError):
        return False


@listings_kept()
def check_root(root: str | Path, names: Iterable[str] = LISTS) -> None:
    """Refuse a folder that holds neither lists nor class folders nor shards.

    Args:
        root (str | Path): The folder, ``data.root``.
        names (Iterable[str]): Names of the lists, that of training first. Defaults to those of the shipped configs.

    Raises:
        FileNotFoundError: If there is no such folder, or it holds none of them.
        ValueError: If it holds videos where their class cannot be told.
    """
    folder, names = location(root), list(dict.fromkeys(names))
    if source_of(folder, names) is not None:
        return
    if not folder.is_dir():
        raise FileNotFoundError(
            f'data.root is {str(root)!r}, which is no folder; give one that holds lists ({", ".join(names)}), class '
            'folders, CLASS/VIDEO, or shards'
        )
    try:
        find_classes(folder)
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(
            f'{root} holds no lists ({", ".join(names)}), and no class folders either: {error}; give the names of '
            'your lists as data.train_list, data.val_list and data.test_list'
        ) from None
