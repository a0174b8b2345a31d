"""Count the parameters and multiply-accumulates of a model by its parts."""

from collections import Counter

import torch
from mmaction.models import BaseRecognizer
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmtsf.config import load_config
from mmtsf.registry import MODELS


def part_of(name: str) -> str:
    """Return the part of the model that a module belongs to, such as ``attention.time``."""
    words = name.split('.')
    if 'steps' in words:
        return f'attention.{words[words.index("steps") + 1]}'
    return (
        'mlp'
        if 'mlp' in words
        else 'embedding'
        if 'embedding' in words or words[-1].endswith('Embedding')
        else 'head'
        if {'cls_head', 'TimeSformerHead'} & set(words)
        else 'norm'
    )


def costs_of(path: str, options: dict | None = None) -> tuple[Counter[str], Counter[str]]:
    """Count the parameters and the multiply-accumulates of a config's model, by its parts.

    Args:
        path (str): Config file, or name of a shipped config.
        options (dict, optional): Changes by dotted keys. Defaults to None.
    """
    init_default_scope('mmtsf')
    config = load_config(path, options)
    with torch.device('meta'):
        model = MODELS.build(config.model).eval()
    return count_parameters(model), count_macs(model, config)


def count_parameters(model: nn.Module) -> Counter[str]:
    """Count the parameters of every part.

    Args:
        model (nn.Module): A recognizer.
    """
    parts: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        parts[part_of(name)] += parameter.numel()
    return parts


def count_macs(model: BaseRecognizer, config: Config) -> Counter[str]:
    """Count the multiply-accumulates of every part for one view.

    Args:
        model (BaseRecognizer): A recognizer with a TimeSformer, on the meta device.
        config (Config): Its config, resolved.
    """
    backbone = config.model.backbone
    height, width = (backbone.img_size,) * 2 if isinstance(backbone.img_size, int) else backbone.img_size
    clip = torch.empty(1, 3, backbone.num_frames, height, width, device='meta')
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        tokens = model.backbone.encode(clip)[0]  # all of the last block, too
        model.cls_head(model.backbone.norm(tokens[:1, 0]))
    counted: Counter[str] = Counter()
    for name, flops in counter.get_flop_counts().items():
        words = name.split('.')
        is_embedding = words[-1].endswith('Embedding')
        if is_embedding or words[-1] in ('mlp', 'TimeSformerHead') or words[-2:-1] == ['steps']:
            counted[part_of(name)] += sum(flops.values()) // 2
    assert sum(counted.values()) == counter.get_total_flops() // 2, 'a part of the model is not counted'
    return counted
