"""What several test files share."""

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from mmtsf.models import TimeSformer
from mmtsf.models.layers import Grid
from mmtsf.registry import MODELS

#: Data beside the checkout; tests that need it skip where it is missing.
SHARED = Path(__file__).parents[2] / 'shared'

MOTION_CLASSES = ['left', 'left_then_right', 'right', 'right_then_left']

SCHEMES = ('SpaceAttention', 'JointAttention', 'DividedAttention', 'LocalGlobalAttention', 'AxialAttention')

#: Whether a patch at ``q`` may look at a patch at ``k`` in a step, in coordinates (t, h, w) of a grid ``n``.
SEES = {
    'joint': lambda q, k, n: True,
    'space': lambda q, k, n: q.t == k.t,
    'time': lambda q, k, n: (q.h, q.w) == (k.h, k.w),
    'width': lambda q, k, n: (q.t, q.h) == (k.t, k.h),
    'height': lambda q, k, n: (q.t, q.w) == (k.t, k.w),
    'local': lambda q, k, n: (q.h < n.h / 2) == (k.h < n.h / 2) and (q.w < n.w / 2) == (k.w < n.w / 2),
    'strided': lambda q, k, n: all((i - j) % 2 == 0 for i, j in zip(q, k, strict=True)),
}

#: Steps that the classification token takes no part in.
WITHOUT_CLS = {'time'}


def skip_without(package: str) -> None:
    """Skip a file of tests where a package is missing, without importing it in every worker of pytest, as
    :func:`pytest.importorskip` does: Gradio takes three seconds."""
    if find_spec(package) is None:
        pytest.skip(f'{package} is not installed', allow_module_level=True)


def tiny_backbone(attention: str | dict, **changes) -> TimeSformer:
    """Two blocks of width 48 for clips of 4 frames of 2 x 4 patches, with random weights, in eval mode."""
    return randomise(_built(attention, changes))


def untrained_backbone(attention: str | dict, **changes) -> TimeSformer:
    """The same, but initialised as for training."""
    backbone = _built(attention, changes)
    backbone.init_weights()
    return backbone


def _built(attention: str | dict, changes: dict) -> TimeSformer:
    attention = dict(type=attention) if isinstance(attention, str) else attention
    sizes = dict(num_frames=4, img_size=(32, 64), patch_size=16, embed_dims=48, num_heads=4, num_layers=2)
    return MODELS.build(dict(type='TimeSformer', attention=attention, **sizes | changes)).eval()


def randomise(module: nn.Module, std: float = 0.3) -> nn.Module:
    """Draw every parameter from a normal distribution, so that none is zero or one because it starts there."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=std)
    return module


def tiny_clips(batch: int = 1, num_frames: int = 4, height: int = 32, width: int = 64) -> Tensor:
    """Random clips ``(B, 3, T, H, W)``."""
    return torch.randn(batch, 3, num_frames, height, width)


def who_sees_whom(step: str, grid: Grid) -> Tensor:
    """``(T*H*W, T*H*W)``, true where the patch of a row may look at the patch of a column, from coordinates."""
    places = [Grid(t, h, w) for t in range(grid.t) for h in range(grid.h) for w in range(grid.w)]
    return torch.tensor([[SEES[step](q, k, grid) for k in places] for q in places])


def assert_close(actual: Tensor, expected: Tensor, atol: float = 1e-5) -> None:
    """Same shape, and no element further than ``atol`` away."""
    torch.testing.assert_close(actual, expected, atol=atol, rtol=0)


def read_for_a_runner(source: str) -> dict:
    """Read a checkpoint as our runner does, for a model without weights."""
    from mmengine.logging import MMLogger

    from mmtsf.engine.runner import Runner

    runner = SimpleNamespace(model=nn.Module(), call_hook=lambda *_, **__: None)
    runner.logger = MMLogger.get_current_instance()
    return Runner.load_checkpoint(runner, source)


def hugging_face_model(**changes) -> nn.Module:
    """Hugging Face's model for clips of 4 frames of 48 x 48 pixels, with random weights, in eval mode."""
    import transformers

    sizes = dict(num_frames=4, image_size=48, hidden_size=48, num_attention_heads=4, num_hidden_layers=2, num_labels=7)
    config = transformers.TimesformerConfig(**dict(sizes, intermediate_size=4 * 48) | changes)
    return randomise(transformers.TimesformerForVideoClassification(config)).eval()
