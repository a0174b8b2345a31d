"""Open a video, and decode the frames that were sampled from it."""

from collections.abc import Iterator
from contextlib import contextmanager

from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose

from mmtsf.datasets.decoders import DECODERS, BrokenVideoError, Limits, VideoReader, open_video
from mmtsf.registry import TRANSFORMS


@contextmanager
def blamed_on(video: str | None) -> Iterator[None]:
    """Whatever a decoder raises at a file, however strange, is that file's fault and costs a sample alone."""
    try:
        yield
    except BrokenVideoError:
        raise
    except Exception as error:
        raise BrokenVideoError(str(video), f'{type(error).__name__}: {error}') from error


@TRANSFORMS.register_module()
class OpenVideo(BaseTransform):
    """Open a video file or a folder of frames.

    Required keys: filename, or reader (an open :class:`VideoReader`, used as it is).
    Added keys: reader, total_frames, avg_fps, start_index.

    Args:
        decoder (str): ``'pyav'``, or ``'decord'``, which takes longer and reads less. Defaults to ``'pyav'``.
        limits (dict): Sizes above which a video is refused, arguments of :class:`Limits`. Defaults to generous ones.
    """

    def __init__(self, decoder: str = 'pyav', limits: dict = {}) -> None:
        if decoder not in DECODERS:
            raise ValueError(f'decoder is {decoder!r}, expected one of {tuple(DECODERS)}')
        self.decoder, self.limits = decoder, Limits(**limits)

    def transform(self, results: dict) -> dict:
        if 'reader' not in results:
            results['reader'] = self.open(results['filename'])
        results['total_frames'] = results['reader'].num_frames
        results['avg_fps'] = results['reader'].fps
        results['start_index'] = 0
        return results

    def open(self, video: str) -> VideoReader:
        """Open a video with this decoder and these limits.

        Raises:
            BrokenVideoError: If it cannot be opened, or is larger than the limits.
        """
        with blamed_on(video):
            return open_video(video, self.decoder, self.limits)


def open_as(pipeline: Compose, video: str) -> VideoReader:
    """Open a video as a pipeline does: with its decoder and its limits.

    Raises:
        BrokenVideoError: If it cannot be opened, or is larger than the limits.
    """
    return next(t for t in pipeline.transforms if isinstance(t, OpenVideo)).open(video)


@TRANSFORMS.register_module()
class DecodeFrames(BaseTransform):
    """Decode the sampled frames, every one once.

    Required keys: reader, frame_inds. Removed keys: reader. Added keys: imgs (RGB uint8 ``(H, W, 3)``, one a frame),
    img_shape, original_shape.
    """

    def transform(self, results: dict) -> dict:
        with blamed_on(results.get('filename')):
            frames = results.pop('reader').read(results['frame_inds'])
        results['imgs'] = list(frames)
        results['img_shape'] = results['original_shape'] = frames.shape[1:3]
        return results
