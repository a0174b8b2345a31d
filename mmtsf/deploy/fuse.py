"""Recognizers with fewer operations, for inference."""

from mmaction.models import ActionDataPreprocessor, BaseRecognizer

from mmtsf.models import TimeSformer


def fuse(recognizer: BaseRecognizer) -> None:
    """Merge what is linear and adjacent: the same scores from fewer operations. Not to be undone, nor to be trained.

    Neighbouring linear layers become one, and the preprocessor's normalisation goes into the patch embedding, so that
    frames stay uint8 until there.

    Args:
        recognizer (BaseRecognizer): A recognizer; one with a :class:`TimeSformer` backbone is changed in place, others
            stay as they are.
    """
    if not isinstance(recognizer.backbone, TimeSformer):
        return
    preprocessor = recognizer.data_preprocessor
    recognizer.backbone.fuse(preprocessor.mean.flatten(), preprocessor.std.flatten())
    plain = dict(to_rgb=preprocessor.to_rgb, to_float32=False, format_shape=preprocessor.format_shape)
    recognizer.data_preprocessor = ActionDataPreprocessor(**plain).to(preprocessor.device)
