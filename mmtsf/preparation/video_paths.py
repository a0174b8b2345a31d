"""List the videos of a folder or an annotation list, for tools that go through all of them."""

import glob
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmtsf.datasets.annotation_list import AnnotationList, Row, read_list
from mmtsf.datasets.shards import names_in_shards, shard_of_name
from mmtsf.utils.arguments import asked_briefly
from mmtsf.utils.locations import is_address, location, relative_to, within
from mmtsf.utils.media import SUFFIXES, is_frame, is_video
from mmtsf.utils.text import shorten

#: Videos at addresses of which one must be there
LOOKED_UP = 10
#: Those of which a server does not tell whether they are there, before all are taken for such
MOST_REFUSED = 3


def list_folder(folder: Any) -> list[str]:
    """List the files below a folder, on the disk or at an address, that have a video's suffix; hidden files and images
    are left out. Of a folder of shards it lists the videos in them.

    Links to folders are followed. What cannot be is named in a warning: folders that hold themselves by a link or that
    cannot be listed, names with a line break, which no list can hold, and files with other suffixes.
    """
    if names := names_in_shards(location(folder)):
        return names
    below = _below(folder) if is_address(folder) else _walk(str(folder), [])
    paths = sorted(path if is_address(folder) else os.path.relpath(path, folder) for path in below)
    others = [path for path in paths if not is_video(path)]
    if others:
        warnings.warn(f'left out of {folder}, as no suffix of a video: {shorten(others)}', stacklevel=2)
    return [path for path in paths if is_video(path)]


def _walk(folder: str, above: list[tuple[int, int]]) -> Iterator[str]:
    try:
        found = os.stat(folder)
        entries = [entry for entry in os.scandir(folder) if not entry.name.startswith('.')]
    except OSError as error:
        warnings.warn(f'{folder} is left out: {error.strerror}', stacklevel=2)
        return
    if (found.st_dev, found.st_ino) in above:
        warnings.warn(f'{folder} is left out: by a link it leads to a folder that holds it', stacklevel=2)
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False) or os.path.isdir(entry.path):
            yield from _walk(entry.path, [*above, (found.st_dev, found.st_ino)])
        elif not is_frame(entry.name) and _is_for_lists(entry.path):
            yield entry.path


def _below(folder: Any) -> Iterator[str]:
    for path in folder.below():
        names = path.split('/')
        if not any(name.startswith('.') for name in names) and not is_frame(names[-1]) and _is_for_lists(path):
            yield path


def _is_for_lists(path: str) -> bool:
    """Whether a list can hold a path; one that it cannot is named in a warning."""
    is_line = len(path.splitlines()) == 1
    if not is_line:
        warnings.warn(f'{path!r} is left out: no list can hold its line break', stacklevel=2)
    return is_line


def videos_of(path: Any) -> list[str]:
    """List the videos below a folder, or those that a pattern such as ``videos/**/*.mp4`` matches; the path itself, if
    it is a file or a folder of frames. All may be at addresses, in which ``*`` alone makes a pattern.

    Raises:
        FileNotFoundError: If a pattern matches none.
        ValueError: If it matches images, or is empty.
    """
    folder = location(path) if is_address(path) or not isinstance(path, str) else None
    path = str(path)
    if not path.strip():
        raise ValueError(f'a video is {path!r}, expected a path')
    if is_pattern(path):
        found = sorted(_matches(path))
        if not found:
            raise FileNotFoundError(f'{path} is no file or folder, and as a pattern it matches none')
        if len(found) > 1 and all(is_frame(name) for name in found):
            raise ValueError(
                f'{path} matches {len(found)} images, each of which would be a video; give the folder of frames '
                f'({Path(found[0]).parent}) or a list of PIL images'
            )
        return found
    folder = folder or location(path)
    is_folder = folder.is_dir() if not is_address(path) or not is_video(path) else False
    return ([str(within(folder, name)) for name in list_folder(folder)] if is_folder else []) or [path]


def is_pattern(path: str) -> bool:
    """Return whether a path stands for those that it matches; in an address ``?`` and ``[`` are signs as others are."""
    if is_address(path):
        return '*' in path
    return any(sign in path for sign in '*?[') and not os.path.lexists(path)


def _matches(path: str) -> Iterator[str]:
    if not is_address(path):
        yield from glob.iglob(path, recursive=True)
        return
    start, _, rest = path.partition('*')
    folder, _, name = start.rpartition('/')
    root: Any = location(folder)
    found = (relative_to(root, str(path)) for path in root.glob(f'{name}*{rest}'))
    yield from (str(root / inner) for inner in root.inner(found))


def list_source(source: Any, root: Any = None, allow_outside: bool = False) -> tuple[Any, AnnotationList]:
    """List the videos of a tool's argument: a folder of videos or an annotation list.

    Args:
        source (Path): The folder or list, on the disk or at an address.
        root (Path, optional): Folder of a list's videos. Defaults to None: that of the list.
        allow_outside (bool): Whether paths of a list may lead out of it. Defaults to False.

    Raises:
        ValueError: If it is a folder without videos, or a list that cannot be read or names something else than video
            files.

    Returns:
        tuple[Path, AnnotationList]: Folder of the videos, and the videos.
    """
    if source.is_dir():
        names = list_folder(source)
        if not names:
            raise ValueError(f'{source} holds no videos; give a folder or a list of files {SUFFIXES}')
        return source, AnnotationList([], [Row(str(source), name, []) for name in names])
    folder = root or source.parent
    videos = read_list(source, folder, allow_outside)
    for row in videos.rows:
        if not is_video(row.path):
            raise ValueError(f'{row.where}: {row.path!r} is no video file ({SUFFIXES}); take it out of the list')
    return folder, videos


def known_videos(source: Any, root: Any, allow_outside: bool) -> list[str]:
    """List the videos of a list, a folder or a file; at least one must exist.

    Raises:
        FileNotFoundError: If none is.
        ValueError: If an option is given that is for lists, and this is none.
    """
    if (root or allow_outside) and (source.is_dir() or is_video(str(source))):
        option = '--root' if root else '--allow-outside'
        raise ValueError(f'{option} is for lists, and {source} is none; leave it out')
    videos = list(_listed_videos(source, root, allow_outside))
    if not videos:
        raise FileNotFoundError(f'{source} names no videos; give an annotation list, a folder of videos or a video')
    if not _one_is_there(videos):
        raise FileNotFoundError(
            f'none of the {len(videos)} videos of {source} exists, the first is {videos[0]}; give the folder that the '
            'list starts from with --root'
        )
    return videos


def _one_is_there(videos: list[str]) -> bool:
    """Whether one of the videos is there, of those at addresses of the first ones.

    Raises:
        OSError: If a server tells it of none of several.
    """
    refused: list[OSError] = []
    for video in videos[:LOOKED_UP] if is_address(videos[0]) else videos:
        try:
            with asked_briefly(video):
                if shard_of_name(video) or location(video).exists():
                    return True
        except OSError as error:  # which costs its row
            refused.append(error)
            if len(refused) == MOST_REFUSED:
                break
    if refused:
        raise refused[0]
    return False


def _listed_videos(source: Any, root: Any, allow_outside: bool) -> Iterator[str]:
    if source.is_dir() or is_video(str(source)):
        yield from videos_of(source)
    else:
        folder, videos = list_source(source, root, allow_outside)
        yield from (str(within(folder, path)) for path in dict.fromkeys(row.path for row in videos.rows))
