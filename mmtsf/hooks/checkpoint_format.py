"""Checkpoints that hold plain values only, and that fit the model they are loaded into."""

from collections import Counter, OrderedDict
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner
from torch import Tensor, nn

from mmtsf.registry import HOOKS

HEAD = 'cls_head.'


@HOOKS.register_module()
class CheckpointFormatHook(Hook):
    """Write log history as tensors, read it back, and refuse a checkpoint that does not fit.

    MMEngine's checkpoints pickle ``HistoryBuffer`` objects, which a safe loader does not accept. With this hook they
    load with ``torch.load(..., weights_only=True)``.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Replace what is not plain."""
        hub = checkpoint['message_hub']
        hub['log_scalars'] = {name: _pack(buffer) for name, buffer in hub['log_scalars'].items()}
        hub['runtime_info'] = {name: value for name, value in hub['runtime_info'].items() if _is_plain(value)}
        for key in checkpoint:
            checkpoint[key] = _plain(checkpoint[key])

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Undo :meth:`before_save_checkpoint`, and check the weights."""
        hub = checkpoint.get('message_hub')
        if hub:
            hub['log_scalars'] = {name: _unpack(buffer) for name, buffer in hub['log_scalars'].items()}
        # Runner.resume executes this text as a config
        checkpoint.get('meta', {}).pop('config', None)
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        fine_tunes = isinstance(runner._train_loop, BaseLoop) and not runner._resume
        check_weights(model, checkpoint.get('state_dict', checkpoint), fresh_head=fine_tunes)


def check_weights(model: nn.Module, state: dict[str, Tensor], fresh_head: bool) -> None:
    """Load ``state`` into ``model`` and raise where it does not fit.

    Args:
        model (nn.Module): The model.
        state (dict[str, Tensor]): Its weights. A head of another shape is taken out if ``fresh_head``.
        fresh_head (bool): Whether the head may keep its own start, as in fine-tuning.

    Raises:
        ValueError: If weights are missing, left over or of another shape.
    """
    if fresh_head:
        own = model.state_dict()
        for key in [k for k in state if k.startswith(HEAD) and k in own and state[k].shape != own[k].shape]:
            del state[key]
    try:
        result = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        shapes = [line.strip() for line in str(error).splitlines() if 'size mismatch' in line]
        raise ValueError(
            'the checkpoint does not fit the model of this config; give the config it was trained with\n'
            + '\n'.join(shapes or [str(error)])
        ) from None
    missing = [key for key in result.missing_keys if not (fresh_head and key.startswith(HEAD))]
    if missing or result.unexpected_keys:
        raise ValueError(
            'the checkpoint does not fit the model of this config; give the config it was trained with\n'
            f'{len(missing)} weights are missing: {", ".join(missing[:5]) or "none"}\n'
            f'{len(result.unexpected_keys)} are left over: {", ".join(result.unexpected_keys[:5]) or "none"}'
        )


def _pack(buffer: HistoryBuffer) -> dict:
    values, counts = buffer.data
    return dict(values=torch.as_tensor(values), counts=torch.as_tensor(counts), max_length=buffer.max_length)


def _unpack(packed: dict) -> HistoryBuffer:
    return HistoryBuffer(packed['values'].tolist(), packed['counts'].tolist(), packed['max_length'])


def _plain(value: Any) -> Any:
    """``value`` with NumPy's numbers and arrays as Python's and PyTorch's."""
    if isinstance(value, dict):
        items = {key: _plain(item) for key, item in value.items()}
        return type(value)(items) if type(value) in (OrderedDict, Counter) else items
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    return value.item() if isinstance(value, np.generic) else value


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, str, Tensor, np.ndarray, np.generic))
