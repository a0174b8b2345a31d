"""Open a video, and decode the frames that were sampled from it."""

from collections.abc import Sequence

from mmcv.transforms import BaseTransform

from mmtsf.registry import TRANSFORMS

from ..decoders import DECODERS, open_video


@TRANSFORMS.register_module()
class OpenVideo(BaseTransform):
    """Open a video file or a folder of frames.

    Required keys: filename, or reader (an open :class:`VideoReader`, used as it is).
    Added keys: reader, total_frames, avg_fps, start_index.

    Args:
        decoder (str | Sequence[str]): ``'decord'``, ``'pyav'``, or several, tried in this order. Defaults to
            ``('decord', 'pyav')``.
    """

    def __init__(self, decoder: str | Sequence[str] = ('decord', 'pyav')) -> None:
        self.decoders = (decoder,) if isinstance(decoder, str) else tuple(decoder)
        unknown = set(self.decoders) - set(DECODERS)
        if unknown or not self.decoders:
            raise ValueError(f'decoder is {decoder!r}, expected one or several of {tuple(DECODERS)}')

    def transform(self, results: dict) -> dict:
        if 'reader' not in results:
            results['reader'] = open_video(results['filename'], self.decoders)
        results['total_frames'] = results['reader'].num_frames
        results['avg_fps'] = results['reader'].fps
        results['start_index'] = 0
        return results


@TRANSFORMS.register_module()
class DecodeFrames(BaseTransform):
    """Decode the sampled frames, every one once.

    Required keys: reader, frame_inds. Removed keys: reader. Added keys: imgs (RGB uint8 ``(H, W, 3)``, one a frame),
    img_shape, original_shape.
    """

    def transform(self, results: dict) -> dict:
        frames = results.pop('reader').read(results['frame_inds'])
        results['imgs'] = list(frames)
        results['img_shape'] = results['original_shape'] = frames.shape[1:3]
        return results
