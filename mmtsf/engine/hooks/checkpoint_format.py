"""Write checkpoints of plain values only, and fit those that are loaded to the model."""

from collections import Counter, OrderedDict
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner
from torch import Tensor

from mmtsf import compat
from mmtsf.engine.runner.bare_model import bare_model
from mmtsf.engine.runner.check_classes import check_tested_classes
from mmtsf.engine.runner.check_resume import check
from mmtsf.engine.runner.run_record import RunRecord
from mmtsf.models import TimeSformer
from mmtsf.models.old_names import rename_in_checkpoint
from mmtsf.registry import HOOKS
from mmtsf.utils.text import without_any_secrets
from mmtsf.weights import Preprocessing, Weights, load_weights, translate
from mmtsf.weights.adapters import AdapterRecord
from mmtsf.weights.preprocessing import told_at
from mmtsf.weights.translate import OURS


@HOOKS.register_module()
class CheckpointFormatHook(Hook):
    """Write log histories as tensors, read them back, and fit a checkpoint of any origin to a TimeSformer.

    MMEngine's checkpoints pickle ``HistoryBuffer`` objects, which ``torch.load(..., weights_only=True)`` does not
    accept: with this hook it does. Weights of models without a TimeSformer are loaded as MMEngine does.
    """

    _base = ''  # name of the weights that adapters are trained on, if they were loaded

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Replace what is not plain, or leave it out: a scheduler's functions, which it makes itself.

        The backbone's config and how frames are scaled go with the weights, so that the file tells what it is of. Of
        addresses in the config it tells no secrets: it is given away."""
        checkpoint['meta']['backbone'] = runner.cfg.get('model', {}).get('backbone', {})
        if preprocessing := Preprocessing.of_config(runner.cfg):
            checkpoint['meta']['preprocessing'] = preprocessing.plain()
        if adapters := getattr(bare_model(runner), 'adapters', None):
            checkpoint['meta']['adapters'] = AdapterRecord(adapters, self._base or _start_of(runner.cfg)).plain()
        checkpoint['meta']['run'] = asdict(RunRecord.of(runner))
        hub = checkpoint['message_hub']
        hub['log_scalars'] = {name: _pack(buffer) for name, buffer in hub['log_scalars'].items()}
        for part, key in ((checkpoint['meta'], 'cfg'), (checkpoint['meta'], 'backbone'), (hub['runtime_info'], 'cfg')):
            if key in part:
                part[key] = without_any_secrets(part[key])
        for key in checkpoint:
            checkpoint[key] = _plain(checkpoint[key])

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Undo :meth:`before_save_checkpoint`, and bring the weights to the model."""
        hub = checkpoint.get('message_hub')
        if isinstance(hub, dict) and isinstance(hub.get('log_scalars'), dict):
            hub['log_scalars'] = {name: _unpack(buffer) for name, buffer in hub['log_scalars'].items()}
        # Runner.resume executes this text as a config
        checkpoint.setdefault('meta', {}).pop('config', None)
        rename_in_checkpoint(checkpoint)
        model = bare_model(runner)
        is_ours = any(isinstance(module, TimeSformer) for module in model.modules())
        weights = translate(checkpoint) if is_ours else Weights(checkpoint.get('state_dict', {}), OURS, '')
        resumes = compat.resumed_checkpoint(runner) is not None
        if resumes and hasattr(runner, 'resumed_run'):  # MMEngine's runner takes what the checkpoint says
            runner.resumed_run = check(runner, checkpoint, weights)
        if weights.adapters:
            self._base = weights.adapters.base
        elif not resumes:
            self._base = str(runner.cfg.get('load_from') or '')
        if is_ours:
            report = load_weights(weights, model, may_start_fresh=not (resumes or compat.is_testing(runner)))
            runner.logger.info(f'{weights.origin} checkpoint: {report}')
            checkpoint['state_dict'] = model.state_dict()  # the runner loads it once more
        if compat.is_testing(runner):
            check_tested_classes(runner, checkpoint)


def _start_of(config: Config) -> str:
    """Name of the weights that the model was initialised with."""
    return str(told_at(config, 'model', 'backbone', 'init_cfg', 'checkpoint') or '')


def _pack(buffer: HistoryBuffer) -> dict:
    values, counts = buffer.data
    return dict(values=torch.as_tensor(values), counts=torch.as_tensor(counts), max_length=buffer.max_length)


def _unpack(packed: Any) -> HistoryBuffer | None:
    """Undo :func:`_pack`; None for what it has not packed, and is no history."""
    if isinstance(packed, HistoryBuffer):
        return packed
    try:
        values, counts, length = packed['values'], packed['counts'], packed['max_length']
        is_history = values.ndim == 1 and counts.shape == values.shape and 0 < length < 10**9
        is_history &= not (values.is_complex() or counts.is_complex())
        return HistoryBuffer(values.tolist(), counts.tolist(), length) if is_history else None
    except (TypeError, KeyError, AttributeError):
        return None


def _plain(value: Any) -> Any:
    """``value`` with NumPy's numbers and arrays as Python's and PyTorch's, and without dict entries that hold more."""
    if isinstance(value, dict):
        items = {key: _plain(item) for key, item in value.items() if _is_plain(item)}
        return type(value)(items) if type(value) in (OrderedDict, Counter) else items
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    return value.item() if isinstance(value, np.generic) else value


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, (dict, bool, int, float, str, Tensor, np.ndarray, np.generic))
