"""List the videos of a folder or an annotation list, for tools that go through all of them."""

import glob
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from mmtsf.datasets.annotation_list import AnnotationList, Row, read_list
from mmtsf.utils.locations import location
from mmtsf.utils.media import SUFFIXES, is_frame, is_video
from mmtsf.utils.text import shorten


def list_folder(folder: Path) -> list[str]:
    """List the files below a folder that have a video's suffix; hidden files and images are left out.

    Links to folders are followed. What cannot be is named in a warning: folders that hold themselves by a link or that
    cannot be listed, names with a line break, which no list can hold, and files with other suffixes.
    """
    paths = sorted(os.path.relpath(path, folder) for path in _walk(str(folder), []))
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
        elif not is_frame(entry.name):
            if len(entry.path.splitlines()) == 1:
                yield entry.path
            else:
                warnings.warn(f'{entry.path!r} is left out: no list can hold its line break', stacklevel=2)


def videos_of(path: str) -> list[str]:
    """List the videos below a folder, or those that a pattern such as ``videos/**/*.mp4`` matches; the path itself, if
    it is a file or a folder of frames.

    Raises:
        FileNotFoundError: If a pattern matches none.
        ValueError: If it matches images, or is empty.
    """
    if not path.strip():
        raise ValueError(f'a video is {path!r}, expected a path')
    if any(sign in path for sign in '*?[') and not os.path.lexists(path):
        found = sorted(glob.glob(path, recursive=True))
        if not found:
            raise FileNotFoundError(f'{path} is no file or folder, and as a pattern it matches none')
        if len(found) > 1 and all(is_frame(name) for name in found):
            raise ValueError(
                f'{path} matches {len(found)} images, each of which would be a video; give the folder of frames '
                f'({Path(found[0]).parent}) or a list of PIL images'
            )
        return found
    below = [str(Path(path, name)) for name in list_folder(Path(path))] if Path(path).is_dir() else []
    return below or [path]


def list_source(source: Path, root: Path | None = None, allow_outside: bool = False) -> tuple[Path, AnnotationList]:
    """List the videos of a tool's argument: a folder of videos or an annotation list.

    Args:
        source (Path): The folder or list.
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


def known_videos(source: Path, root: Path | None, allow_outside: bool) -> list[str]:
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
    if not any(location(video).exists() for video in videos):
        raise FileNotFoundError(
            f'none of the {len(videos)} videos of {source} exists, the first is {videos[0]}; give the folder that the '
            'list starts from with --root'
        )
    return videos


def _listed_videos(source: Path, root: Path | None, allow_outside: bool) -> Iterator[str]:
    if source.is_dir() or is_video(str(source)):
        yield from videos_of(str(source))
    else:
        folder, videos = list_source(source, root, allow_outside)
        yield from (str(folder / path) for path in dict.fromkeys(row.path for row in videos.rows))
