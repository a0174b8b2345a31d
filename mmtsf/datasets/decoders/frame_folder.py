"""Read a folder of images as a video, one image a frame."""

import os
import re
import warnings
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from mmtsf.utils.locations import entries, is_address, location
from mmtsf.utils.media import IMAGES, is_frame
from mmtsf.utils.text import shorten

from .broken import BrokenVideoError
from .held_file import without_name
from .limits import Limits
from .reader import VideoReader, stack

#: What Pillow calls the formats of :data:`IMAGES`
FORMATS = ('JPEG', 'PNG', 'BMP', 'WEBP')
#: A number in a name: its digits, and those behind a decimal point
NUMBER = re.compile(r'([0-9]+)(?:\.([0-9]+))?')
#: How the names of optical flow begin, which MMAction2 keeps beside the frames that it is of
FLOW = re.compile(r'(flow)?[_-]?([xy])?[_. -]*')
#: Series of frames and of what was left out that were named already
NAMED: set[tuple[str, str]] = set()


class FrameFolderReader(VideoReader):
    """Images of a folder in the order of the numbers in their names, by value: ``img_9`` before ``img_10``, ``0.033``
    before ``0.1``.

    Names that differ in numbers and case alone are a series, ``img_*`` say. Of several series the largest is the
    video, but optical flow (``flow_*``, ``flow_x_*``, or ``x_*`` with ``y_*``) is not while there is another of about
    its length. Those that are left out are named in a warning, once for each pattern of names. Hidden files are no
    frames, nor is what has the name of an image and is no regular file, such as a FIFO, which is named in a warning.

    Args:
        path (str): Path of the folder.
        limits (Limits): Sizes above which it is refused. Defaults to generous ones.

    Raises:
        BrokenVideoError: If the folder holds no images, or too many, or does not tell which of them are the frames.
    """

    fps: float | None = None
    times: np.ndarray | None = None

    def __init__(self, path: str, limits: Limits = Limits()) -> None:
        self.path, self.limits = path, limits
        try:
            images = [entry for entry in entries(path) if is_frame(entry.name)]
        except (OSError, ValueError) as error:
            raise BrokenVideoError(path, without_name(path, error)) from error
        limits.check_frames(path, len(images))
        paths = {entry.name: entry.path for entry in images if _is_file(entry)}
        if not paths:
            raise BrokenVideoError(path, f'the folder holds no images ({" ".join(sorted(IMAGES))})')
        self._images = [paths[name] for name in _frames(path, list(paths))]
        self.num_frames = len(self._images)

    def read(self, indices: np.ndarray) -> np.ndarray:
        wanted, places = np.unique(indices, return_inverse=True)
        return stack(self.path, (self._load(self._images[i]) for i in wanted), places, self.limits)

    def _load(self, path: str) -> np.ndarray:
        pixels, name = None, os.path.basename(path)
        data = self._bytes(path, 8 * self.limits.frame_pixels + 2**20)  # of a pixel, and what stands beside
        try:
            with Image.open(BytesIO(data), formats=FORMATS) as image:  # reads no more than its size
                self.limits.check_frame(self.path, *image.size)
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except Image.DecompressionBombError:
            reason = f'{name} has more pixels than limits.frame_pixels allows, or than Pillow reads'
            raise BrokenVideoError(self.path, reason) from None
        except (OSError, SyntaxError, ValueError):
            pass
        if pixels is None:
            raise BrokenVideoError(self.path, f'{name} is not an image')
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)

    def _bytes(self, path: str, most: int) -> bytes:
        """What an image file holds.

        Raises:
            BrokenVideoError: If these are more bytes, or not all can be fetched.
        """

        def check_size(size: int) -> None:
            if size > most:
                reason = f'{os.path.basename(path)} is larger than an image of limits.frame_pixels'
                raise BrokenVideoError(self.path, reason)

        if not is_address(path):
            check_size(os.path.getsize(path))
            return Path(path).read_bytes()
        from mmtsf.utils.remote_file import RemoteFile

        try:
            return RemoteFile(location(path), check_size).open().read()  # type: ignore[arg-type]
        except (OSError, ValueError) as error:
            raise BrokenVideoError(self.path, f'{os.path.basename(path)}: {without_name(path, error)}') from error


def _is_file(entry: Any) -> bool:
    """Whether this may be opened without waiting; what may not is named once."""
    if entry.is_file(follow_symlinks=False) or os.path.isfile(entry.path):
        return True
    warnings.warn(f'{entry.path} is no regular file, and is not taken for a frame', stacklevel=2)
    return False


def _frames(path: str, names: list[str]) -> list[str]:
    """Names of one series, in the order of their numbers.

    Raises:
        BrokenVideoError: If there are two series of the same length, or two images of the same number.
    """
    series: dict[tuple[str, ...], list[tuple[list, str]]] = {}
    for name in names:
        parts = NUMBER.split(name.rpartition('.')[0])  # text, digits, decimals, text, digits, decimals, text, ...
        texts = tuple(part.casefold() for part in parts[::3]) if len(parts) > 1 else ()
        order = [(int(digits), decimals or '') for digits, decimals in zip(parts[1::3], parts[2::3])]
        series.setdefault(texts, []).append((order or [(0, name)], name))
    first, *others = sorted(_without_flow(series), key=lambda texts: (-len(series[texts]), texts))
    if others and len(series[others[0]]) == len(series[first]):
        raise BrokenVideoError(
            path,
            f'{_shown(series[first])} and {_shown(series[others[0]])} are as many images each, and one of them alone '
            'can be the video; put each into a folder of its own',
        )
    frames = sorted(series[first], key=_counted if _counts_behind_points(series[first]) else None)
    for (order, name), (following, other) in pairwise(frames):
        if order == following:
            raise BrokenVideoError(path, f'{name} and {other} have the same number; put each into a folder of its own')
    if dropped := sorted(_shown(found) for texts, found in series.items() if texts != first):
        _warn_once(_shown(series[first]), shorten(dropped), path)
    return [name for _, name in frames]


def _without_flow(series: dict[tuple[str, ...], list]) -> list[tuple[str, ...]]:
    """Series that are no optical flow; all where the others are far shorter, as a cover is."""
    found = {texts: FLOW.fullmatch(texts[0]) for texts in series if texts and texts[0]}
    axes = {match[2] for match in found.values() if match and not match[1]}
    flow = {texts for texts, match in found.items() if match and (match[1] or (match[2] and {'x', 'y'} <= axes))}
    others = [texts for texts in series if texts not in flow]
    longest = max((len(series[texts]) for texts in flow), default=0)
    return others if any(2 * len(series[texts]) >= longest for texts in others) else list(series)


def _warn_once(kept: str, dropped: str, path: str) -> None:
    if (kept, dropped) not in NAMED:
        NAMED.add((kept, dropped))
        warnings.warn(f'in {path} the frames are {kept}; left out are {dropped}, here and elsewhere', stacklevel=2)


def _counts_behind_points(series: list[tuple[list, str]]) -> bool:
    """Whether points part two numbers, ``1.9`` before ``1.10``: a time would have been written as ``1.1``."""
    decimals = {behind for order, _ in series for _, behind in order}
    return len(set(map(len, decimals))) > 1 and any(behind[1:].endswith('0') for behind in decimals)


def _counted(frame: tuple[list, str]) -> list[tuple[int, int]]:
    """Sort key of a frame whose name has two numbers about a point."""
    return [(digits, int(behind or 0)) for digits, behind in frame[0]]


def _shown(series: list[tuple[list, str]]) -> str:
    """A series as a pattern of its names."""
    stem, _, suffix = min(series)[1].rpartition('.')
    return f'{NUMBER.sub("*", stem)}.{suffix}'
