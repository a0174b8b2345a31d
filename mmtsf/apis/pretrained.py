"""Build a recognizer from a folder as Hugging Face saves it, or a model of its hub, without a config."""

import warnings
from pathlib import Path
from typing import Any

import torch
from mmaction.models import BaseRecognizer
from mmengine.config import Config, ConfigDict

from mmtsf.config import load_config
from mmtsf.utils.locations import is_address
from mmtsf.weights import Weights, backbone_config, head_config, read_checkpoint, translate
from mmtsf.weights.hub import hub_folder
from mmtsf.weights.model_card import REPOSITORY

from .recognizer import init_recognizer

#: Config whose pipelines and protocol it gets
BASE = 'mmtsf::timesformer_base_k400.py'


def from_pretrained(
    source: str | Path,
    revision: str | None = None,
    device: str | torch.device | None = None,
    options: dict[str, Any] | None = None,
) -> BaseRecognizer:
    """Return a model in evaluation mode that classifies videos: ``inference_recognizer(model, 'video.mp4')``.

    Of the folder or the hub ``config.json``, weights and processors are read, as data; no code is.

    Args:
        source (str | Path): A folder as :func:`mmtsf.weights.write.write` or ``save_pretrained`` write it, its address,
            or ``'OWNER/NAME'`` of the hub; a folder that is there comes first.
        revision (str, optional): Branch, tag or commit of the hub. Defaults to None: the main branch.
        device (str | torch.device, optional): Where it computes. Defaults to None: the best there is.
        options (dict, optional): Changes to the config by dotted keys, e.g. ``{'clip.frame_interval': 4}``, also below
            ``model.backbone``, which is the folder's. Defaults to None.

    Raises:
        FileNotFoundError: If there is none, or it cannot be fetched.
        ValueError: If it is another model, tells no number of classes, or two of its files differ; or an option makes
            it another model.
    """
    place = str(source)
    is_here = is_address(place) or Path(place).expanduser().exists()
    if is_here and revision is not None:
        raise ValueError(f'revision is {revision!r}, which is for a model of the hub, and {place} is a folder')
    if not is_here:
        if not REPOSITORY.fullmatch(place):
            raise FileNotFoundError(f'there is no folder {place}, and it is no OWNER/NAME of the Hugging Face hub')
        place = str(hub_folder(place, revision))
    checkpoint = read_checkpoint(place)
    if 'huggingface' not in checkpoint:
        raise ValueError(
            f'{source} is no folder as Hugging Face saves it; init_recognizer takes a config and a checkpoint'
        )
    options = options or {}
    if others := [name for name in options if name in ('start', 'vit', 'load_from')]:
        raise ValueError(f'the option {others[0]} names other weights or another model than the folder; leave it out')
    config = _config(translate(checkpoint), options)
    own = {name: value for name, value in options.items() if f'{name}.'.startswith('model.backbone.')}
    return init_recognizer(config, place, device, own)


def _config(weights: Weights, options: dict[str, Any]) -> Config:
    """Return a config for weights, whose protocol is the base's but for what the folder tells."""
    head = head_config(weights)
    if head is None:
        raise ValueError('the folder has no classifier; start a training from it, or take its features')
    backbone = backbone_config(weights)
    size = max(backbone['img_size'])
    told: dict[str, Any] = {
        'start': None,
        'clip.num_frames': backbone['num_frames'],
        'clip.size': size,
        'data.num_classes': head['num_classes'],
        'data.multi_class': bool(weights.multi_class),
    }
    if weights.record.frame_interval is not None:
        told['clip.frame_interval'] = weights.record.frame_interval
    if weights.record.average_clips is not None:
        told['model.cls_head.average_clips'] = weights.record.average_clips
    if weights.preprocessing is not None:
        told |= {
            f'model.data_preprocessor.{name}': list(getattr(weights.preprocessing, name)) for name in ('mean', 'std')
        }
    else:
        warnings.warn('the folder has no processor; frames are normalised as in the released code', stacklevel=3)
    config = load_config(BASE, told | options)
    config.model.backbone = ConfigDict(backbone, init_cfg=None)
    config.model.cls_head.in_channels = backbone['embed_dims']
    return config
