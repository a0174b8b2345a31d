"""Tell whether a folder of data holds lists or class folders, and refuse one that holds neither."""

from collections.abc import Iterable
from pathlib import Path

from .class_folders import find_classes, has_classes, has_several_classes

#: Lists of the shipped configs
LISTS = ('train_list.txt', 'val_list.txt')
#: Words of a config's ``data`` that matter to lists alone, and to class folders alone
OF_LISTS = ('train_list', 'val_list', 'test_list', 'video_dir', 'classes', 'multi_class', 'allow_outside')
OF_FOLDERS = ('split_shares', 'split_seed')


def source_of(root: Path, names: Iterable[str]) -> str | None:
    """Return what a folder holds: ``'list'`` where the first of the lists is there, of training, which class folders
    may lie beside, as in Kinetics; else ``'folder'`` where there are classes, else ``'list'`` where another list is.

    Args:
        root (Path): The folder.
        names (Iterable[str]): Names of the lists, that of training first.
    """
    there = [(root / name).is_file() for name in names]
    if there[0] or (any(there) and not _holds_classes(root)):
        return 'list'
    return 'folder' if has_classes(root) else None


def lists_beside_classes(root: str | Path, names: Iterable[str]) -> str | None:
    """Return a line for the log where the lists of a folder are taken, and class folders lie beside them."""
    lists = [name for name in dict.fromkeys(names) if Path(root, name).is_file()]
    if not lists or not has_several_classes(Path(root)):
        return None
    return (
        f'{root} holds class folders beside {", ".join(lists)}: the videos and labels are those of the lists; for '
        'those of the folders set data.source=folder'
    )


def _holds_classes(root: Path) -> bool:
    """Return whether class folders are there and can be read as such."""
    try:
        return has_classes(root) and bool(find_classes(root))
    except (FileNotFoundError, ValueError):
        return False


def check_root(root: str | Path, names: Iterable[str] = LISTS) -> None:
    """Refuse a folder that holds neither lists nor class folders.

    Args:
        root (str | Path): The folder, ``data.root``.
        names (Iterable[str]): Names of the lists, that of training first. Defaults to those of the shipped configs.

    Raises:
        FileNotFoundError: If there is no such folder, or it holds neither.
        ValueError: If it holds videos where their class cannot be told.
    """
    folder, names = Path(root), list(dict.fromkeys(names))
    if not folder.is_dir():
        raise FileNotFoundError(
            f'data.root is {str(root)!r}, which is no folder; give one that holds lists ({", ".join(names)}) or class '
            'folders, CLASS/VIDEO'
        )
    if source_of(folder, names) is None:
        try:
            find_classes(folder)
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(
                f'{root} holds no lists ({", ".join(names)}), and no class folders either: {error}; give the names of '
                'your lists as data.train_list, data.val_list and data.test_list'
            ) from None
