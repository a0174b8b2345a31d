"""Build a recognizer from a config and a checkpoint, and classify videos with it."""

import copy
import warnings
from pathlib import Path
from typing import Any

import torch
from mmaction.models import BaseRecognizer
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from torch import Tensor

from mmtsf.config import load_config, resolve
from mmtsf.config.checks import change
from mmtsf.datasets.class_names import class_names
from mmtsf.deploy.fuse import fuse
from mmtsf.models import TimeSformer
from mmtsf.registry import MODELS
from mmtsf.utils.devices import find_device
from mmtsf.weights import Weights, classes_of, load_weights, read_checkpoint, translate
from mmtsf.weights.translate import tensors_of

from .video_inputs import to_sample

#: What is said of a model without weights
RANDOM = (
    'no weights are given, so that the model answers at random; name a checkpoint (a file, a folder of Hugging Face, a '
    'URL, or a published name as in docs/zoo.md)'
)


def resolved(config: str | Path | Config | dict, options: dict | None = None) -> Config:
    """A config that is given as a file, by name or as it is, in any state, without references.

    Args:
        config (str | Path | Config | dict): Config file, name of a shipped config, or config.
        options (dict, optional): Changes by dotted keys. Defaults to None.

    Raises:
        TypeError: If it is something else.
        FileNotFoundError: If there is no such file.
    """
    if isinstance(config, (str, Path)):
        return load_config(config, options)
    if not isinstance(config, (Config, dict)):
        raise TypeError(f'config must be a filename or Config object, but got {type(config)}')
    changed = Config(copy.deepcopy(config)) if isinstance(config, dict) else copy.deepcopy(config)
    change(changed, options or {})
    return resolve(changed, options or ())


def init_recognizer(
    config: str | Path | Config,
    checkpoint: str | Path | None = None,
    device: str | torch.device | None = None,
    options: dict | None = None,
    fused: bool = False,
) -> BaseRecognizer:
    """Build a recognizer and load its weights, as :func:`mmaction.apis.init_recognizer` does.

    Args:
        config (str | Path | Config): Config file, name of a shipped config (``'mmtsf::timesformer_base_k400.py'``), or
            config, whether its references are resolved or not.
        checkpoint (str | Path, optional): Weights of any known origin, see ``docs/weights.md``. Defaults to None:
            random ones, and a warning that says so.
        device (str | torch.device, optional): Where it computes. Defaults to None: the best there is, see
            :func:`mmtsf.utils.devices.find_device`.
        options (dict, optional): Changes to the config by dotted keys. Defaults to None.
        fused (bool): Whether the model is made faster for prediction alone (:func:`mmtsf.deploy.fuse.fuse`): it takes
            frames that are not normalised, and refuses to be trained. Defaults to False.

    Raises:
        TypeError: If the config is something else.
        FileNotFoundError: If a file does not exist.
        ValueError: If the weights do not fit the model, or a class is missing in them; if there is no such device.

    Returns:
        BaseRecognizer: In eval mode, with the resolved config as ``cfg`` and the class names as
        ``dataset_meta['classes']``.
    """
    place = find_device(device)  # first, as what follows takes time
    config = resolved(config, options)
    if not config.get('model'):
        raise ValueError(f'the config {config.filename or ""} has no model; begin it with _base_ = a shipped config')
    init_default_scope(config.get('default_scope') or 'mmtsf')
    model = MODELS.build(config.model)
    state = {}
    if checkpoint is None:
        warnings.warn(RANDOM, stacklevel=2)
    else:
        state = read_checkpoint(str(checkpoint))
        is_ours = isinstance(model.backbone, TimeSformer)
        weights = translate(state) if is_ours else Weights(tensors_of(state), 'the same model', scheme='')
        load_weights(weights, model, may_start_fresh=False)
    model.dataset_meta = dict(classes=_class_names(config, state))
    model.cfg = config
    if fused:
        fuse(model)
    return model.to(place).eval()


def _class_names(config: Config, state: dict) -> list[str]:
    """Names of a model's classes: those of its checkpoint, of its test data, or of the data set that its config is for
    and that come with the package; else numbers; none without a head."""
    num_classes = (config.model.get('cls_head') or {}).get('num_classes')
    if num_classes is None:
        return []
    dataset = (config.get('test_dataloader') or {}).get('dataset') or {}
    names = dataset.get('classes') or (dataset.get('metainfo') or {}).get('classes')
    told, root = classes_of(state, num_classes) or names, dataset.get('data_root', '')
    return class_names(told, root, num_classes, dataset.get('default_classes'))


def build_pipeline(model: BaseRecognizer, split: str = 'test') -> Compose:
    """Transforms from a video to the views of a split's protocol in the model's config.

    Args:
        model (BaseRecognizer): From :func:`init_recognizer`.
        split (str): ``'val'`` or ``'test'``. Defaults to ``'test'``.

    Raises:
        ValueError: If the config has none.
    """
    init_default_scope(model.cfg.get('default_scope') or 'mmtsf')
    dataset = (model.cfg.get(f'{split}_dataloader') or {}).get('dataset') or {}
    transforms = dataset.get('pipeline') or model.cfg.get(f'{split}_pipeline')  # a wrapper has none of its own
    if not transforms:
        raise ValueError(f'the config has no {split}_pipeline; write the transforms from a video to a packed sample')
    return Compose(transforms)


def views_of(model: BaseRecognizer, sample: dict) -> Tensor:
    """Views ``(V, 3, T, H, W)`` of a pipeline's sample, as the backbone takes them."""
    return model.data_preprocessor(pseudo_collate([sample]))['inputs'][0]


@torch.no_grad()
def inference_recognizer(model: BaseRecognizer, video: Any, test_pipeline: Compose | None = None) -> ActionDataSample:
    """Classify a video, as :func:`mmaction.apis.inference_recognizer` does.

    Args:
        model (BaseRecognizer): From :func:`init_recognizer`.
        video: A video in any form that :func:`to_sample` takes.
        test_pipeline (Compose, optional): Transforms. Defaults to None: those of the config's test protocol.

    Raises:
        BrokenVideoError: If the video cannot be read.

    Returns:
        ActionDataSample: Scores ``pred_scores.item`` ``(K,)``, best class ``pred_labels.item`` ``(1,)``.
    """
    pipeline = test_pipeline or build_pipeline(model)
    return model.test_step(pseudo_collate([pipeline(to_sample(video))]))[0]
