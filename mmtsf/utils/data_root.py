"""Refuse a folder of data of which it cannot be told whether lists or class folders are meant."""

from collections.abc import Iterable
from pathlib import Path

from .class_folders import find_classes, has_classes, has_several_classes

#: Lists of the shipped configs
LISTS = ('train_list.txt', 'val_list.txt')
#: Words of a config's ``data`` that matter to lists alone, and to class folders alone
OF_LISTS = ('train_list', 'val_list', 'test_list', 'video_dir', 'classes', 'multi_class', 'allow_outside')
OF_FOLDERS = ('split_shares', 'split_seed')


def lists_in(root: Path, names: Iterable[str]) -> list[str]:
    """Return the names of the lists that there are, each once."""
    return [name for name in dict.fromkeys(names) if (root / name).is_file()]


def check_root(root: str | Path, names: Iterable[str] = LISTS) -> None:
    """Refuse a folder that holds lists as well as class folders, or neither.

    Args:
        root (str | Path): The folder, ``data.root``.
        names (Iterable[str]): Names of the lists. Defaults to those of the shipped configs.

    Raises:
        FileNotFoundError: If there is no such folder, or it holds neither.
        ValueError: If it holds both, or videos where their class cannot be told.
    """
    folder, names = Path(root), list(dict.fromkeys(names))
    if not folder.is_dir():
        raise FileNotFoundError(
            f'data.root is {str(root)!r}, which is no folder; give one that holds lists ({", ".join(names)}) or class '
            'folders, CLASS/VIDEO'
        )
    lists = lists_in(folder, names)
    if lists and has_several_classes(folder):
        raise ValueError(
            f'{root} holds lists ({", ".join(lists)}) and class folders; say which are meant: data.source=list or '
            'data.source=folder'
        )
    if not lists and not has_classes(folder):
        try:
            find_classes(folder)
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(
                f'{root} holds no lists ({", ".join(names)}), and no class folders either: {error}; give the names of '
                'your lists as data.train_list, data.val_list and data.test_list'
            ) from None
