"""Find the classes, splits and videos of a folder that has a folder for each class."""

import os
import warnings
from collections.abc import Iterator
from itertools import islice
from typing import Any

from .locations import entries, is_address, listings_kept, location, relative_to
from .media import IMAGES, SUFFIXES, is_frame, is_video
from .text import shorten

SPLITS = ('train', 'val', 'test')
#: What the splits are called
SPLIT_WORDS = {
    'train': 'train',
    'training': 'train',
    'val': 'val',
    'valid': 'val',
    'validate': 'val',
    'validation': 'val',
    'eval': 'val',
    'dev': 'val',
    'test': 'test',
    'testing': 'test',
}
#: Folders and files of each that are looked at to tell whether a folder holds classes at all
GLANCE = 100, 1000
#: Folders below a class folder that are searched for videos that lie too deep
DEPTH = 3


def has_classes(root: Any) -> bool:
    """Return at a glance whether a folder holds class folders, or a split that does.

    A folder of many videos, each of which is a folder of frames, would take long to look through.
    """
    return any(_glance(root))


def has_several_classes(root: Any) -> bool:
    """Return at a glance whether there are two class folders; one, or some of the names of splits, may hold the videos
    of lists."""
    names = {folder.name for folder in _glance(root) if folder.parent != root or folder.name.lower() not in SPLIT_WORDS}
    return len(names) > 1


def _glance(root: Any) -> Iterator[Any]:
    """Yield folders in a folder, or in its splits, that hold videos, without looking at very many."""
    folders, files = GLANCE
    inner = list(islice(_folders(root), folders))
    splits = [folder for folder in inner if folder.name.lower() in SPLIT_WORDS]
    inner += [folder for split in splits for folder in islice(_folders(split), folders)]
    return (folder for folder in inner if any(_is_sample(entry) for entry in islice(_entries(folder), files)))


def find_splits(root: Any) -> dict[str, Any]:
    """Find the folders of the splits by their names; none where the folders are classes, of which one may be ``train``.

    Raises:
        ValueError: If two are of one split, or one beside them holds videos and is of no split.
    """
    folders = list(_folders(root))
    of_split: dict[str, list[Any]] = {}
    for folder in folders:
        of_split.setdefault(SPLIT_WORDS.get(folder.name.lower(), ''), []).append(folder)
    for folder in of_split.get('train', []):
        if (stray := _strays(folder)) and any(map(_holds_samples, _folders(folder))):
            raise ValueError(f'{stray[0]} lies beside the class folders of {folder}; move it into one of them')
    if not any(not _holds_samples(folder) for folder in of_split.get('train', [])):
        return {}
    if doubled := [found for split, found in of_split.items() if split and len(found) > 1]:
        first, second = doubled[0][:2]
        raise ValueError(f'{first} and {second} are of the same split; leave one of them in {root}')
    for folder in of_split.pop('', []):
        if (video := _deep(folder, DEPTH)) is not None:
            raise ValueError(
                f'{folder} is none of the splits beside {of_split["train"][0].name}, but holds {video}; call it one of '
                f'{", ".join(SPLIT_WORDS)}, or move it elsewhere'
            )
    return {split: found[0] for split, found in of_split.items()}


@listings_kept()
def find_classes(data_root: Any) -> list[str]:
    """Find the names of the class folders, in alphabetical order.

    Raises:
        FileNotFoundError: If ``data_root`` is no folder or holds none.
        ValueError: If videos lie deeper than in class folders, or a class folder is empty, or a split cannot be told.
    """
    root = location(data_root)
    splits = find_splits(root) if root.is_dir() else {}
    folders = [folder for place in splits.values() or [root] for folder in _folders(place)]
    names = {folder.name for folder in folders if _holds_samples(folder)}
    for folder in folders:
        if folder.name not in names and (video := _deep(folder, DEPTH)) is not None:
            raise _too_deep(video, root)
    if not names:
        raise FileNotFoundError(
            f'{data_root} is not a folder of class folders; expected {data_root}/CLASS/VIDEO for each video, with one '
            f'of the suffixes {SUFFIXES}, or a folder of frames'
        )
    lost = sorted({folder for folder in folders if folder.name not in names})
    if empty := empty_folders(root):
        raise ValueError(
            f'{empty[0]} is empty, and the labels depend on which classes there are; put videos in, or remove it'
        )
    if lost:
        others = sorted({folder.name for folder in lost})
        warnings.warn(
            f'no classes in {root}, as they hold no video: {shorten(others, len(others))}; known are the suffixes '
            f'{SUFFIXES}',
            stacklevel=2,
        )
    strays = [path_below(path, root) for place in {root, *splits.values()} for path in _strays(place)]
    if strays:
        warnings.warn(
            f'left out of {root}, as they lie in no class folder: {len(strays)} videos, {shorten(sorted(strays))}',
            stacklevel=2,
        )
    return sorted(names)


def empty_folders(root: Any) -> list[Any]:
    """Return class folders that hold nothing, of classes without a video, which a training refuses; none where there
    are no class folders."""
    try:
        splits = find_splits(root)
    except ValueError:  # a training says what is wrong
        return []
    folders = [folder for place in splits.values() or [root] for folder in _folders(place)]
    names = {folder.name for folder in folders if _holds_samples(folder)}
    empty = [folder for folder in folders if folder.name not in names and _is_empty(folder)]
    return sorted(empty) if has_classes(root) else []


def _is_empty(folder: Any) -> bool:
    """Whether a folder holds nothing, nor keys that were left out."""
    return not any(_entries(folder)) and not (is_address(folder) and folder.holds_odd_keys())


def _strays(folder: Any) -> list[Any]:
    """Return the video files that lie in a folder itself."""
    return [location(entry.path) for entry in _entries(folder) if is_video(entry.name) and not _is_folder(entry)]


def find_videos(folder: Any, root: Any) -> list[Any]:
    """Find the video files and folders of frames in a class folder, in alphabetical order.

    Files with other suffixes, and folders without videos and frames, are named in a warning.

    Raises:
        ValueError: If videos lie deeper.
    """
    videos, files, folders = [], [], []
    for entry in _entries(folder):
        if _is_sample(entry):
            videos.append(location(entry.path))
        elif not _is_folder(entry):
            files.append(path_below(entry.path, root))
        elif (video := _deep(location(entry.path), DEPTH)) is not None:
            raise _too_deep(video, root)
        else:
            folders.append(path_below(entry.path, root))
    if files:
        warnings.warn(f'left out of {root}, as no suffix of a video: {shorten(sorted(files))}', stacklevel=2)
    if folders:
        images = f'with one of the suffixes {" ".join(sorted(IMAGES))}'
        warnings.warn(
            f'left out of {root}, as they hold no image {images}: {len(folders)} folders, {shorten(sorted(folders))}',
            stacklevel=2,
        )
    return sorted(videos)


def _too_deep(video: Any, root: Any) -> ValueError:
    return ValueError(
        f'{video} lies deeper than {root}/CLASS/VIDEO, so that its class cannot be told; move the videos up into their '
        'class folders, or name them in a list (data.source=list)'
    )


def _entries(folder: Any) -> Iterator[Any]:
    """Yield what a folder holds and is not hidden; nothing of what is no folder."""
    return (entry for entry in entries(folder) if entry.name[:1] != '.')


def _folders(folder: Any) -> Iterator[Any]:
    return (location(entry.path) for entry in _entries(folder) if _is_folder(entry))


def path_below(path: Any, root: Any) -> str:
    """Return a path from a folder on."""
    return relative_to(root, str(path)) if is_address(root) else os.path.relpath(path, root)


def _is_folder(entry: Any) -> bool:
    """Return whether this is a folder; a link that leads in a circle is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_sample(entry: Any) -> bool:
    """Return whether this is a video file or a folder of frames."""
    if _is_folder(entry):
        return any(is_frame(inner.name) for inner in _entries(entry.path))
    return is_video(entry.name)


def _holds_samples(folder: Any) -> bool:
    return any(_is_sample(entry) for entry in _entries(folder))


def _deep(folder: Any, depth: int) -> Any:
    """Return a video in a folder or below it; None if there is none."""
    for entry in _entries(folder):
        if _is_sample(entry):
            return location(entry.path)
        if depth and _is_folder(entry) and (found := _deep(location(entry.path), depth - 1)) is not None:
            return found
    return None
