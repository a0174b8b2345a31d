"""Initialise a module from weights of any origin: ``init_cfg=dict(type='Pretrained', checkpoint=...)``."""

import logging

from mmengine.logging import print_log
from torch import nn

from mmtsf.registry import WEIGHT_INITIALIZERS
from mmtsf.utils.text import without_secrets

from .load import load_weights
from .read import read_checkpoint
from .translate import translate


@WEIGHT_INITIALIZERS.register_module()
class Pretrained:
    """Initialise a backbone or recognizer from a checkpoint; see :func:`translate` and :func:`load_weights`.

    Args:
        checkpoint (str, optional): File, folder, URL or published name; None leaves the module at its own start.
        origin (str, optional): Where it comes from. Defaults to None: recognised.
        added_steps (str): How attention steps start that an image model lacks, ``'image'`` or ``'own'``. Defaults to
            ``'image'``.
        resize (str): How position tables are resized, ``'smooth'``, ``'nearest'`` or ``'released'``. Defaults to
            ``'smooth'``.
        preprocessing (str): How frames are normalised: ``'same'``, as the file tells, where another mean or std of the
            recognizer is an error, or ``'own'``, as its config says. Defaults to ``'same'``.
    """

    def __init__(
        self,
        checkpoint: str | None,
        origin: str | None = None,
        added_steps: str = 'image',
        resize: str = 'smooth',
        preprocessing: str = 'same',
    ) -> None:
        self.checkpoint = checkpoint
        self.origin = origin
        self.added_steps = added_steps
        self.resize = resize
        self.preprocessing = preprocessing

    def __call__(self, module: nn.Module) -> None:
        """Load the checkpoint into ``module``."""
        if self.checkpoint is None:
            return
        weights = translate(read_checkpoint(self.checkpoint), self.origin)
        report = load_weights(
            weights, module, added_steps=self.added_steps, resize=self.resize, preprocessing=self.preprocessing
        )
        name = without_secrets(self.checkpoint)
        print_log(f'{name} ({weights.origin}): {report}', 'current')
        is_compared = hasattr(module, 'preprocessors') or hasattr(module, 'data_preprocessor')
        if weights.preprocessing and not is_compared:
            words = f'{name} takes frames of {weights.preprocessing.options()}, which only VideoRecognizer compares'
            print_log(words, 'current', logging.WARNING)
