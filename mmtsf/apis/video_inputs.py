"""Take a video in whatever form people have it: paths, patterns, frames in memory, bytes."""

import os
import reprlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import Compose
from PIL import Image
from torch import Tensor

from mmtsf.datasets.decoders import ArrayReader, VideoReader
from mmtsf.datasets.transforms import open_as
from mmtsf.preparation.video_paths import is_pattern, videos_of
from mmtsf.utils.text import shorten

EXPECTED = (
    'a path, bytes or a file of a video; frames (T, H, W, 3) or (T, 3, H, W), uint8 from 0 to 255 or floats from 0 to '
    '1; or a list of frames: PIL images, (H, W, 3) or (3, H, W)'
)
#: Keys of which a pipeline's first dict has one
BEGINNINGS = {'filename', 'frame_dir', 'array', 'reader'}
#: Types of a video file in memory
BYTES = (bytes, bytearray, memoryview)


def to_sample(video: Any) -> dict:
    """Return what a test pipeline begins with.

    Args:
        video: A path of a file or of a folder of frames; bytes of a video, or a file that is open for reading them;
            frames as an array or a tensor, RGB ``(T, H, W, 3)`` or ``(T, 3, H, W)``, uint8 or floats from 0 to 1; a
            list of frames, PIL images, arrays or tensors ``(H, W, 3)`` or ``(3, H, W)``; an open
            :class:`mmtsf.datasets.decoders.VideoReader`; or a pipeline's first dict itself.

    Raises:
        TypeError: If it is something else.
        ValueError: If its values or its layout can be taken for two things.
    """
    if isinstance(video, dict):
        if not BEGINNINGS & set(video):
            known = ' or '.join(sorted(BEGINNINGS))
            raise TypeError(f'a video is a dict of {shorten(video)}, expected one with {known}')
        return video
    sample: dict[str, Any] = dict(filename='frames', label=-1, start_index=0, modality='RGB', broken=[])
    if isinstance(video, (str, Path)):
        return dict(sample, filename=str(video))
    if hasattr(video, 'stream') and hasattr(video, 'num_frames'):
        return dict(sample, reader=video)
    if isinstance(video, BYTES) or hasattr(video, 'read'):
        kept = _on_disk(video)
        return dict(sample, filename=kept if isinstance(kept, str) else kept.name, kept=kept)
    frames = _frames(video)
    return dict(sample, array=frames, total_frames=len(frames))


def to_samples(videos: Any) -> list:
    """Return the videos of an argument that may be one or several: a pattern, a folder, a list of videos.

    A list of frames is one video.

    Raises:
        FileNotFoundError: If a pattern matches none.
    """
    if isinstance(videos, (str, Path)):
        return videos_of(str(videos))
    if not isinstance(videos, (list, tuple)) or is_frames(videos):
        return [videos]
    return [one for video in videos for one in (videos_of(str(video)) if _is_pattern(video) else [video])]


def is_frames(videos: Any) -> bool:
    """Return whether a list is one of frames, not of videos."""
    return (
        isinstance(videos, (list, tuple))
        and len(videos) > 0
        and all(isinstance(one, Image.Image) or getattr(one, 'ndim', None) in (2, 3) for one in videos)
    )


def reader_of(pipeline: Compose, video: Any) -> VideoReader:
    """Open a video of any form that :func:`to_sample` takes, or return a reader that is open already.

    Raises:
        BrokenVideoError: If it cannot be opened, or is larger than the limits of the pipeline.
    """
    sample = to_sample(video)
    if 'reader' in sample:
        return sample['reader']
    if 'array' in sample:
        return ArrayReader(sample['array'])
    reader = open_as(pipeline, sample['filename'])
    reader.kept = sample.get('kept')  # type: ignore[attr-defined]  # the file on the disk, as long as it is read
    return reader


def name_of(video: Any) -> str:
    """Return a path, or what stands for a video without one."""
    if isinstance(video, (str, Path)):
        return str(video)
    name = video.get('filename') if isinstance(video, dict) else getattr(video, 'name', None)
    if isinstance(name, (str, Path)):
        return str(name)
    is_file = hasattr(video, 'read') and not hasattr(video, 'stream')
    return 'bytes' if isinstance(video, BYTES) or is_file else 'frames'


def _is_pattern(video: Any) -> bool:
    return isinstance(video, (str, Path)) and is_pattern(str(video))


def _on_disk(video: Any) -> Any:
    """Return the path of an open file, or a file on the disk with the same bytes, which is removed with the sample."""
    path = getattr(video, 'name', None)
    if isinstance(path, str) and os.path.isfile(path) and hasattr(video, 'fileno') and video.tell() == 0:
        return path
    kept = tempfile.NamedTemporaryFile(suffix='.video')  # noqa: SIM115  # it is closed when nobody holds it
    if isinstance(video, BYTES):
        kept.write(video)
    else:
        if not isinstance(start := video.read(1), bytes):
            raise TypeError(f"a video is a file that gives {type(start).__name__}; open it with 'rb'")
        kept.write(start)
        shutil.copyfileobj(video, kept)
    kept.flush()
    return kept


def _frames(video: Any) -> np.ndarray:
    """Return frames ``(T, H, W, 3)`` uint8 of an array, a tensor or a list of frames."""
    if isinstance(video, (list, tuple)):
        return _stacked(video)
    if not isinstance(video, (np.ndarray, Tensor)):
        remedy = '; make a list of what it yields: list(...)' if isinstance(video, Iterator) else ''
        raise TypeError(f'a video is {type(video).__name__}, expected {EXPECTED}{remedy}')
    array = _array(video)
    if array.ndim != 4 or not array.size:
        raise TypeError(f'a video is {_named(video)}, expected {EXPECTED}')
    last, second = array.shape[3] == 3, array.shape[1] == 3
    if last and second or (second and array.shape[0] == 3):
        raise ValueError(
            f'a video is {_named(video)}, where more than one axis may be the colours; give a list of frames (H, W, 3)'
        )
    if not last and not second:
        colours = array.shape[0] == 3
        hint = '; permute (3, T, H, W) to (T, 3, H, W)' if colours else ''
        raise TypeError(f'a video is {_named(video)}, expected {EXPECTED}{hint}')
    return _pixels(array if last else array.transpose(0, 2, 3, 1), video)


def _stacked(frames: Sequence) -> np.ndarray:
    if not is_frames(frames):
        given = f'{type(frames).__name__} of {type(frames[0]).__name__}' if frames else f'empty {type(frames).__name__}'
        raise TypeError(f'a video is {given}, expected {EXPECTED}')
    pictures = [_frame(frame) for frame in frames]
    if sizes := {picture.shape[:2] for picture in pictures[1:]} - {pictures[0].shape[:2]}:
        raise ValueError(
            f'frames of a video are {pictures[0].shape[:2]} and {min(sizes)} (height, width), expected one size'
        )
    return np.stack(pictures)


def _frame(frame: Any) -> np.ndarray:
    if isinstance(frame, Image.Image):
        return np.asarray(frame.convert('RGB'))
    array = _array(frame)
    last, first = array.shape[-1] == 3, array.ndim == 3 and array.shape[0] == 3
    if array.ndim != 3 or last == first:
        raise TypeError(f'a frame is {_named(frame)}, expected (H, W, 3) or (3, H, W), or a PIL image')
    return _pixels(array if last else array.transpose(1, 2, 0), frame)


def _array(value: np.ndarray | Tensor) -> np.ndarray:
    if not isinstance(value, Tensor):
        return np.asarray(value)
    value = value.detach().cpu()
    return (value.float() if value.is_floating_point() else value).numpy()  # NumPy has no bfloat16


def _pixels(array: np.ndarray, given: Any) -> np.ndarray:
    """Return uint8 pixels; whole numbers are from 0 to 255, and floats from 0 to 1."""
    if array.dtype == np.uint8:
        return array
    kind = array.dtype.kind
    if kind not in 'iuf':
        raise TypeError(f'a video is {_named(given)}, expected {EXPECTED}')
    low, high, most = float(array.min()), float(array.max()), 1 if kind == 'f' else 255
    if not 0 <= low <= high <= most:
        raise ValueError(
            f'a video is {_named(given)} with values from {low:g} to {high:g}, expected '
            f'{"floats from 0 to 1" if kind == "f" else "whole numbers from 0 to 255"}, not normalised'
        )
    return np.rint(array * 255).astype(np.uint8) if kind == 'f' else array.astype(np.uint8)


def _named(value: Any) -> str:
    """Return the type and shape of an array or a tensor, in words."""
    if not isinstance(value, (np.ndarray, Tensor)):
        return reprlib.repr(value)
    return f'{str(value.dtype).removeprefix("torch.")} {tuple(value.shape)}'
