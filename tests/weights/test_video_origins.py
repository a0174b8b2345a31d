"""Models of VideoMAE's, MAE's and DeiT III's files give what the classes give that these files are of."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import assert_close, randomise, tiny_clips
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mmtsf.weights import build, load_weights, read_checkpoint, translate

transformers = pytest.importorskip('transformers')
SIZES = dict(image_size=32, hidden_size=48, num_attention_heads=4, num_hidden_layers=2, intermediate_size=96)
VIDEO = dict(SIZES, num_frames=4, num_labels=7)
DECODER = {f'decoder_{name}': size for name, size in SIZES.items() if name != 'image_size'}


def ours(source: Any, **options: Any) -> nn.ModuleDict:
    """The model that a checkpoint, or a file, tells."""
    weights = translate(read_checkpoint(str(source)) if isinstance(source, Path) else source)
    weights.options |= options
    model = build(weights, num_heads=None if 'num_heads' in weights.options else 4).eval()
    load_weights(weights, model, may_start_fresh=False)
    return model


def videomae(kind: str = 'VideoMAEForVideoClassification', **changes: Any) -> nn.Module:
    """transformers' class with random weights."""
    return randomise(getattr(transformers, kind)(transformers.VideoMAEConfig(**VIDEO | DECODER | changes))).eval()


@pytest.mark.parametrize('num_frames', [4, 6])
@torch.no_grad()
def test_a_folder_of_videomae_gives_transformers_tokens_and_logits(num_frames, tmp_path):
    theirs = videomae(num_frames=num_frames)
    theirs.save_pretrained(tmp_path)
    model, clips = ours(tmp_path), tiny_clips(2, num_frames, 32, 32)
    assert_close(model.backbone.encode(clips)[0], theirs.videomae(clips.transpose(1, 2)).last_hidden_state)
    assert_close(model.cls_head(model.backbone(clips)), theirs(clips.transpose(1, 2)).logits)
