"""Open a video, and decode the frames that were sampled from it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose

from mmtsf.datasets.decoders import (
    ArrayReader,
    BrokenVideoError,
    Limits,
    VideoReader,
    check_decoder,
    open_video,
)
from mmtsf.registry import TRANSFORMS
from mmtsf.utils.remote_cache import CacheError


@contextmanager
def blamed_on(video: str | None) -> Iterator[None]:
    """Whatever a decoder raises at a file, however strange, is that file's fault and costs a sample alone; a cache
    that cannot be written is not."""
    try:
        yield
    except (BrokenVideoError, CacheError):
        raise
    except Exception as error:
        raise BrokenVideoError(str(video), f'{type(error).__name__}: {error}') from error


#: Transforms that decode, with the one that opens a video for them
OPENERS = {
    'DecodeFrames': 'OpenVideo',
    'DecordDecode': 'DecordInit',
    'OpenCVDecode': 'OpenCVInit',
    'PIMSDecode': 'PIMSInit',
    'PyAVDecode': 'PyAVInit',
    'PyAVDecodeMotionVector': 'PyAVInit',
}


def check_order(transforms: Sequence[Callable]) -> None:
    """Refuse a pipeline in which a video is opened for another decoder than the one that reads it.

    Args:
        transforms (Sequence[Callable]): Transforms of a pipeline.

    Raises:
        ValueError: If there is such a decoder.
    """
    names = [type(transform).__name__ for transform in transforms]
    for place, name in enumerate(names):
        others = set(OPENERS.values()).intersection(names[:place])
        if name in OPENERS and others and OPENERS[name] not in others:
            raise ValueError(
                f'{name} reads what {OPENERS[name]} opens, but the pipeline has {", ".join(sorted(others))} before it; '
                f'put {OPENERS[name]} there, or another decoder here'
            )


@TRANSFORMS.register_module()
class OpenVideo(BaseTransform):
    """Open a video file or a folder of frames.

    Required keys: filename (a path or an address; with file, which returns a new file object with its bytes, a name),
    or one of MMAction2's frame_dir (a folder of frames) and array (frames RGB
    ``(T, H, W, 3)`` uint8), or reader (an open :class:`VideoReader`, used as it is).
    Added keys: reader, total_frames, avg_fps and times (seconds ``(total_frames + 1,)``, of which the last is the end;
    both None where nothing tells them), start_index (0 if there is none).

    Args:
        decoder (str): ``'pyav'``; ``'decord'`` or ``'torchcodec'``, which take longer and read less; or ``'auto'``,
            torchcodec on a GPU where that is faster, and PyAV otherwise. Defaults to ``'pyav'``.
        limits (dict): Sizes above which a video is refused, arguments of :class:`Limits`. Defaults to generous ones.
        device (str): Where torchcodec decodes: ``'cpu'``, ``'cuda'`` or ``'cuda:N'``. Defaults to ``'cpu'``.

    Raises:
        ValueError: If there is no such decoder, or it cannot decode there.
        ImportError: If it is not installed.
    """

    def __init__(self, decoder: str = 'pyav', limits: dict = {}, device: str = 'cpu') -> None:
        check_decoder(decoder, device)
        self.decoder, self.limits, self.device = decoder, Limits(**limits), device

    def transform(self, results: dict) -> dict:
        if 'array' in results:
            results.setdefault('reader', ArrayReader(results['array']))
        if 'reader' not in results:
            more = dict(file=results['file']) if 'file' in results else {}
            results['reader'] = self.open(results.get('filename') or results['frame_dir'], **more)
        results['total_frames'] = results['reader'].num_frames
        results['avg_fps'] = results['reader'].fps
        results['times'] = getattr(results['reader'], 'times', None)
        results.setdefault('start_index', 0)
        return results

    def open(self, video: str, **more: Any) -> VideoReader:
        """Open a video with this decoder and these limits, and more arguments of the decoder.

        Raises:
            BrokenVideoError: If it cannot be opened, or is larger than the limits.
            ValueError: If this process cannot use the device, as a forked data worker; this is no fault of the video.
        """
        if self.device != 'cpu':
            check_decoder(self.decoder, self.device)
            more['device'] = self.device
        with blamed_on(video):
            return open_video(video, self.decoder, self.limits, **more)


def open_as(pipeline: Compose, video: str) -> VideoReader:
    """Open a video as a pipeline does: with its decoder and its limits.

    Raises:
        BrokenVideoError: If it cannot be opened, or is larger than the limits.
        ValueError: If the pipeline opens none.
    """
    for transform in pipeline.transforms:
        if isinstance(transform, OpenVideo):
            return transform.open(video)
    raise ValueError('the pipeline opens no video with OpenVideo; begin test_pipeline with it')


@TRANSFORMS.register_module()
class DecodeFrames(BaseTransform):
    """Decode the sampled frames, every one once.

    Required keys: reader (from :class:`OpenVideo`), frame_inds, which count from start_index (0 if there is none).
    Removed keys: reader, times. Added keys: imgs (RGB uint8 ``(H, W, 3)``, one a frame), img_shape, original_shape,
    frame_times (seconds at which each sampled frame begins and ends to be shown ``(N, 2)``, or None).

    Raises:
        ValueError: If there is no reader.
        TypeError: If the reader gives something else than RGB uint8 frames.
    """

    def transform(self, results: dict) -> dict:
        if 'reader' not in results:
            raise ValueError(
                "DecodeFrames needs the key 'reader', which OpenVideo gives; put OpenVideo at the beginning of the "
                'pipeline, or decode with the transform that belongs to its first one, as DecordDecode to DecordInit'
            )
        reader, places = results.pop('reader'), results['frame_inds'] - results.get('start_index', 0)
        with blamed_on(results.get('filename')):
            frames = reader.read(places)
        if frames.dtype != np.uint8 or frames.shape[3:] != (3,) or len(frames) != len(places):
            raise TypeError(
                f'{type(reader).__name__} gave {frames.dtype} {frames.shape} for {len(places)} frames, expected uint8 '
                f'({len(places)}, H, W, 3)'
            )
        times = results.pop('times', None)
        results['frame_times'] = None if times is None else np.stack([times[places], times[places + 1]], axis=1)
        results['imgs'] = list(frames)
        results['img_shape'] = results['original_shape'] = frames.shape[1:3]
        return results
