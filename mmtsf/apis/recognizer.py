"""From a config and a checkpoint to a recognizer, and from a video to its scores."""

from pathlib import Path

import numpy as np
import torch
from mmaction.models import BaseRecognizer
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from torch import Tensor

from mmtsf.config import load_config
from mmtsf.datasets.decoders import ArrayReader
from mmtsf.datasets.video_list import class_names
from mmtsf.deploy.fuse import fuse
from mmtsf.registry import MODELS
from mmtsf.weights import classes_of, load_weights, read_checkpoint, translate


def init_recognizer(
    config: str | Path | Config,
    checkpoint: str | Path | None = None,
    device: str | torch.device | None = None,
    options: dict | None = None,
    fused: bool = True,
) -> BaseRecognizer:
    """Build a recognizer and load its weights, as :func:`mmaction.apis.init_recognizer` does.

    Args:
        config (str | Path | Config): Config file, name of a shipped config (``'mmtsf::timesformer_base_k400.py'``), or
            what :func:`mmtsf.config.load_config` made of one.
        checkpoint (str | Path, optional): Weights of any known origin, see ``docs/weights.md``. Defaults to None:
            random ones.
        device (str | torch.device, optional): Where it computes. Defaults to None: the GPU if there is one.
        options (dict, optional): Changes to the config by dotted keys. Defaults to None.
        fused (bool): Whether neighbouring linear layers are merged, for inference alone. Defaults to True.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If the weights do not fit the model, or a class is missing in them.

    Returns:
        BaseRecognizer: In eval mode, with the config as ``cfg`` and the class names as ``dataset_meta['classes']``.
    """
    init_default_scope('mmtsf')
    if not isinstance(config, Config):
        config = load_config(str(config), options)
    model = MODELS.build(config.model)
    state = {}
    if checkpoint is not None:
        state = read_checkpoint(str(checkpoint))
        load_weights(translate(state), model, may_start_fresh=False)
    dataset = config.test_dataloader.dataset
    num_classes = config.model.cls_head.num_classes
    classes = classes_of(state, num_classes) or dataset.get('classes')
    model.dataset_meta = dict(classes=class_names(classes, dataset.data_root, num_classes))
    model.cfg = config
    if fused:
        fuse(model)
    return model.to(device or get_device()).eval()


def build_pipeline(model: BaseRecognizer) -> Compose:
    """Transforms from a video to the views of the config's test protocol."""
    init_default_scope('mmtsf')
    return Compose(model.cfg.test_dataloader.dataset.pipeline)


def to_sample(video: str | Path | np.ndarray | dict) -> dict:
    """What a test pipeline begins with, of a path, of frames ``(T, H, W, 3)`` uint8, or of such a dict itself.

    Raises:
        TypeError: If it is something else.
    """
    if isinstance(video, dict):
        return video
    if isinstance(video, (str, Path)):
        return dict(filename=str(video), label=-1, modality='RGB', broken=[])
    if isinstance(video, np.ndarray) and video.dtype == np.uint8 and video.ndim == 4 and video.shape[3] == 3:
        return dict(reader=ArrayReader(video), filename='frames', label=-1, modality='RGB', broken=[])
    given = f'{video.dtype} {video.shape}' if isinstance(video, np.ndarray) else type(video).__name__
    raise TypeError(f'a video is {given}, expected a path or an array (T, H, W, 3) of uint8')


def views_of(model: BaseRecognizer, sample: dict) -> Tensor:
    """Views ``(V, 3, T, H, W)`` of a pipeline's sample, as the backbone takes them."""
    return model.data_preprocessor(pseudo_collate([sample]))['inputs'][0]


@torch.no_grad()
def inference_recognizer(
    model: BaseRecognizer, video: str | Path | np.ndarray | dict, test_pipeline: Compose | None = None
) -> ActionDataSample:
    """Classify a video, as :func:`mmaction.apis.inference_recognizer` does.

    Args:
        model (BaseRecognizer): From :func:`init_recognizer`.
        video (str | Path | np.ndarray | dict): Path, frames RGB ``(T, H, W, 3)`` uint8, or a pipeline's first dict.
        test_pipeline (Compose, optional): Transforms. Defaults to None: those of the config's test protocol.

    Raises:
        BrokenVideoError: If the video cannot be read.

    Returns:
        ActionDataSample: Scores ``pred_scores.item`` ``(K,)``, best class ``pred_labels.item`` ``(1,)``.
    """
    pipeline = test_pipeline or build_pipeline(model)
    return model.test_step(pseudo_collate([pipeline(to_sample(video))]))[0]
