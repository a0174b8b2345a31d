"""Models of CLIP's, DINOv2's and DINOv3's files give what the classes give that these files are of."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import assert_close, randomise, tiny_clips
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mmtsf.registry import MODELS
from mmtsf.weights import backbone_config, build, load_weights, read_checkpoint, translate

transformers = pytest.importorskip('transformers')
SIZES = dict(hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4)
TEXT = dict(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=10)
#: Family, kind of model, and what is other than usual
MODELS_OF = {
    'clip tower': ('CLIPVision', dict()),
    'clip': ('CLIP', dict()),
    'openclip': ('CLIP', dict(hidden_act='gelu')),
    'dinov2': ('Dinov2', dict()),
    'dinov2 gated': ('Dinov2', dict(use_swiglu_ffn=True)),
    'dinov2 registers': ('Dinov2WithRegisters', dict()),
    'dinov3': ('DINOv3ViT', dict(num_register_tokens=4)),
    'dinov3 plus': ('DINOv3ViT', dict(num_register_tokens=4, use_gated_mlp=True, hidden_act='silu')),
    'dinov3 without biases': ('DINOv3ViT', dict(query_bias=False, value_bias=False, rope_theta=50.0)),
}


def theirs_of(family: str) -> nn.Module:
    """Transformers' class with random weights, of frames of 32 pixels (28 of DINOv2)."""
    kind, changes = MODELS_OF[family]
    sizes = dict(SIZES, image_size=28, patch_size=14) if 'Dinov2' in kind else dict(SIZES, image_size=32, patch_size=16)
    config = getattr(transformers, 'CLIPVisionConfig' if 'CLIP' in kind else f'{kind}Config')(**sizes | changes)
    if kind == 'CLIP':
        config = transformers.CLIPConfig(vision_config=config.to_dict(), text_config=TEXT)
    return randomise(getattr(transformers, f'{kind}Model')(config)).eval()


def folder_of(theirs: nn.Module, path: Path) -> Path:
    """Save a model as Hugging Face does."""
    theirs.save_pretrained(path)
    return path


def tower(theirs: nn.Module) -> nn.Module:
    """The part that sees."""
    return getattr(theirs, 'vision_model', theirs)


def ours_of(source: Any, attention: str = 'SpaceAttention', **options: Any) -> nn.Module:
    """The backbone that a checkpoint, or a file, tells, with an attention scheme, started from it."""
    weights = translate(read_checkpoint(str(source)) if isinstance(source, Path) else source)
    config = backbone_config(weights, None if 'num_heads' in weights.options else 4) | options
    config['attention'] = dict(config['attention'], type=attention)
    backbone = MODELS.build(config).eval()
    backbone.init_weights()
    load_weights(weights, backbone)
    return backbone


def frames_of(clips: Tensor) -> Tensor:
    """Frames of clips, one after the other."""
    return clips.transpose(1, 2).flatten(0, 1)


@pytest.mark.parametrize('family', MODELS_OF)
@torch.no_grad()
def test_every_frames_tokens_are_those_of_transformers_class(family: str, tmp_path: Path) -> None:
    theirs = theirs_of(family)
    backbone = ours_of(folder_of(theirs, tmp_path))
    side = backbone.embedding.patch_size * 2
    clips = tiny_clips(2, 3, side, side)
    given, (tokens, grid) = tower(theirs)(frames_of(clips)), backbone.encode(clips)
    assert_close(backbone.norm(tokens[:, 0]), given.pooler_output)
    assert_close(tokens if 'clip' in family else backbone.norm(tokens), given.last_hidden_state)
    assert grid.lead == (5 if 'registers' in family or family in ('dinov3', 'dinov3 plus') else 1)
