"""Reach what other packages keep private, in this one place.

Each function says why it is needed and in which versions it was seen to work; ``tests/test_compat.py`` fails when a
name is gone, or no longer needed.
"""

import functools
import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from mmengine.config import Config
from mmengine.config import config as config_module
from mmengine.registry import RUNNERS
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.optim import Optimizer
from torch.utils import _python_dispatch
from torch.utils.data._utils import signal_handling


def data_workers(iterator: Any) -> list[BaseProcess]:
    """Worker processes of a data loader's iterator; none of one without workers.

    PyTorch tells the state of no worker that it has lost: a loader that is to go on must find out by itself which one
    is dead, and at which video. Seen in PyTorch 2.13.0.
    """
    return getattr(iterator, '_workers', [])


def pins(iterator: Any) -> bool:
    """Whether batches of a data loader's iterator still come through: its thread that pins them lives, or it has none.

    PyTorch looks at that thread, but not where a loader has a timeout: then a dead one is the same as slow workers.
    Seen in PyTorch 2.13.0.
    """
    thread = getattr(iterator, '_pin_memory_thread', None)
    return thread is None or thread.is_alive()


def end_data_workers(iterator: Any) -> None:
    """Kill the workers of a data loader's iterator, whatever they do, and free what belongs to them.

    PyTorch ends workers by asking them, which one that hangs does not hear, and none where the iterator is in a circle
    of garbage whose queues are closed first: it waits five seconds for each. It would raise that they were killed. Seen
    in PyTorch 2.13.0.
    """
    if not data_workers(iterator):
        return
    if iterator._worker_pids_set:
        signal_handling._remove_worker_pids(id(iterator))
        iterator._worker_pids_set = False
    for worker in data_workers(iterator):
        worker.kill()
    iterator._shutdown_workers()


def ignore_dead_children() -> None:
    """Let a worker's death be found where its batch is waited for, not raised in the middle of anything else.

    PyTorch sets a handler of SIGCHLD that raises, once, when the first iterator with workers is made: so it is made to
    set it now, before it is taken away. It sets none in another thread than the main one, in which Ray Train trains.
    Seen in PyTorch 2.13.0.
    """
    if threading.current_thread() is threading.main_thread():
        signal_handling._set_SIGCHLD_handler()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


@contextmanager
def without_mmcv_warning() -> Iterator[None]:
    """Import MMAction2's models inside: mmcv-lite warns that operators are missing which nothing here uses.

    Seen in mmcv-lite 2.0.1; the filter is gone afterwards, so that others see what they saw before.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
        yield


@contextmanager
def without_torchvision_warning() -> Iterator[None]:
    """Export to ONNX inside: PyTorch logs that torchvision, of which nothing is exported here, is not installed.

    It has no option for that. Seen in PyTorch 2.13.0.
    """
    logger = logging.getLogger('torch.onnx._internal.exporter._registration')
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def read_config_file(path: str | Path, base_path: Callable[[str], Path | None]) -> Config:
    """Read a config file as :meth:`mmengine.Config.fromfile` does, with an own way to find bases.

    MMEngine finds ``PACKAGE::NAME`` by a list of packages of its own, asks that configs lie in folders, and needs
    ``pkg_resources``, which setuptools 82 no longer has. Its functions name ``Config`` where they ask it for a base:
    here they are bound once more, to a class that answers itself, and MMEngine's own stay as they are. Seen in
    MMEngine 0.10.7.

    Args:
        path (str | Path): Path of the file.
        base_path (Callable): Says where a base lies; None leaves the answer to MMEngine.
    """

    class Reader(Config):
        @staticmethod
        def _get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
            found = base_path(cfg_path)
            return Config._get_cfg_path(cfg_path, filename) if found is None else (str(found), None)

    names = dict(vars(config_module), Config=Reader)
    for name in ('fromfile', '_file2dict'):
        usual = getattr(Config, name)
        bound = FunctionType(usual.__code__, names, name, usual.__defaults__)
        setattr(Reader, name, staticmethod(bound))
    read = Reader.fromfile(path)
    object.__setattr__(read, '__class__', Config)
    return read


def resumed_checkpoint(runner: Any) -> str | None:
    """The checkpoint that a runner resumes; None if it begins, or only loads weights.

    MMEngine tells hooks neither. Seen in MMEngine 0.10.7.
    """
    from mmengine.runner import find_latest_checkpoint  # which takes seconds

    return (runner._load_from or find_latest_checkpoint(runner.work_dir)) if runner._resume else None


def number_of_failures() -> int:
    """Count this process among those of its group that have failed, and return its number; the first tells why.

    The store in which the processes have met counts for all of them; PyTorch hands it out under a private name alone.
    Seen in PyTorch 2.13.0.
    """
    return torch.distributed.distributed_c10d._get_default_store().add('mmtsf/failures', 1)


def is_training(runner: Any) -> bool:
    """Whether a runner was asked to train: its training loop is built.

    ``runner.train_loop`` would build it. Seen in MMEngine 0.10.7.
    """
    return not isinstance(runner._train_loop, (dict, type(None)))


def is_testing(runner: Any) -> bool:
    """Whether a runner was asked to test or to validate, not to train. Seen in MMEngine 0.10.7."""
    others = (runner._val_loop, runner._test_loop)
    return not is_training(runner) and not all(isinstance(loop, (dict, type(None))) for loop in others)


def tested_dataset(runner: Any) -> Any:
    """Data set of a runner that was asked to test or to validate; ``runner.test_dataloader`` would build it where the
    validation alone was asked for. Seen in MMEngine 0.10.7."""
    loops = (runner._test_loop, runner._val_loop)
    loop = next((loop for loop in loops if not isinstance(loop, (dict, type(None)))), None)
    return getattr(getattr(loop, 'dataloader', None), 'dataset', None)


def accumulates(wrapper: Any) -> bool:
    """Whether an optimizer wrapper makes an update of several batches. Seen in MMEngine 0.10.7."""
    return getattr(wrapper, '_accumulative_counts', 1) > 1


def set_progress(loop: Any, epoch: int, iteration: int) -> None:
    """Have a training loop go on behind so many epochs and iterations.

    MMEngine lets them be read alone. Seen in MMEngine 0.10.7.
    """
    loop._epoch, loop._iter = epoch, iteration


def honour_runner_type(name: str) -> None:
    """Have MMEngine's ``Runner.from_cfg`` build the runner that a config names as ``runner_type``, if it is this one.

    MMDetection's and MMPretrain's scripts look at that key and ask the registry; MMAction2's ``tools/train.py`` and
    ``tools/test.py`` call MMEngine's runner, whatever the config says, and it would take references for values. All
    other configs are built as before. A config of ours asks for it where it is read (``custom_imports``), nothing else
    does. Seen in MMAction2 1.1.0 and MMEngine 0.10.7.
    """
    from mmengine.runner import Runner  # which takes seconds

    usual = vars(Runner)['from_cfg'].__func__
    if getattr(usual, 'honoured', None) == name:
        return

    @functools.wraps(usual)
    def from_cfg(cls: type, cfg: Any) -> Any:
        ours = cls is Runner and cfg.get('runner_type') == name
        return RUNNERS.build(cfg) if ours else usual(cls, cfg)

    from_cfg.honoured = name  # type: ignore[attr-defined]
    setattr(Runner, 'from_cfg', classmethod(from_cfg))  # noqa: B010  # mypy takes an assignment for a mistake


#: Protected names of their bases that subclasses here use on themselves, as subclasses do: the hooks and inferencers
#: among them are made to be overridden so. Seen in MMEngine 0.10.7 and MMAction2 1.1.0.
INHERITED = {
    'mmtsf.apis.inferencer.TimeSformerInferencer': (
        '_init_collate',
        '_init_model',
        '_init_pipeline',
        '_init_visualizer',
        '_inputs_to_list',
    ),
    'mmtsf.datasets.video_list.VideoListDataset': ('_rand_another',),
    'mmtsf.engine.hooks.checkpoint.CheckpointHook': (
        '_init_rule',
        '_save_best_checkpoint',
        '_save_checkpoint_with_step',
    ),
    'mmtsf.engine.hooks.progress_bar.ProgressBarHook': ('_after_epoch', '_after_iter', '_before_epoch'),
    'mmtsf.engine.optimizers.amp_optim_wrapper.AmpOptimWrapper': ('_clip_grad',),
    'mmtsf.engine.optimizers.finite_updates.OptimWrapper': ('_clip_grad',),
    'mmtsf.engine.runner.loops.ResumableTrainLoop': (
        '_decide_current_val_interval',
        '_epoch',
        '_iter',
        '_max_epochs',
    ),
    'mmtsf.engine.runner.runner.Runner': ('_has_loaded', '_load_from', '_resume'),
    'mmtsf.engine.scalars.LaterHistory': ('_count_history', '_log_history'),
    'mmtsf.visualization.tracking.mlflow_backend.MLflowBackend': ('_env_initialized', '_init_env'),
    'mmtsf.visualization.tracking.run_visualizer.RunVisualizer': ('_vis_backends',),
    'mmtsf.visualization.tracking.tracker.Tracker': ('_env_initialized', '_init_env', '_save_dir'),
    'mmtsf.visualization.tracking.wandb_backend.WandbBackend': ('_init_env',),
}


def is_transformed(x: Tensor) -> bool:
    """Whether a transform of ``torch.func`` is at work, or ``jacobian(vectorize=True)``, or forward-mode derivatives.

    Functions with a backward pass of their own take part in none of them. PyTorch has no public question for it. Seen
    in PyTorch 2.13.0.
    """
    transforms = torch._C._functorch
    if transforms.peek_interpreter_stack() is not None or forward_ad._current_level >= 0:
        return True
    return transforms.is_legacy_batchedtensor(x)


def is_dispatched() -> bool:
    """Whether a mode, such as PyTorch's FLOP counter, looks at every operation. Seen in PyTorch 2.13.0."""
    return _python_dispatch._get_current_dispatch_mode() is not None


def has_global_hooks() -> bool:
    """Whether hooks of all modules are set (``register_module_forward_hook`` and its kin). Seen in PyTorch 2.13.0."""
    return torch.nn.modules.module._has_any_global_hook()


def has_hooks(module: nn.Module) -> bool:
    """Whether a module has hooks of its own, forward or back. Seen in PyTorch 2.13.0."""
    hooks = (module._forward_pre_hooks, module._forward_hooks, module._backward_pre_hooks, module._backward_hooks)
    return any(hooks)


def is_compiled(module: nn.Module) -> bool:
    """Whether a module was compiled by itself (``module.compile()``). Seen in PyTorch 2.13.0."""
    return module._compiled_call_impl is not None


def mark_dynamic(tensor: Tensor, axis: int) -> None:
    """Have compiled code take any length of an axis from the first call on, but 1.

    PyTorch documents it with names that begin with an underscore. Seen in PyTorch 2.13.0.
    """
    torch._dynamo.maybe_mark_dynamic(tensor, axis)


def version(tensor: Tensor) -> int:
    """How often a tensor was changed in place.

    PyTorch compares it for what a function saves, and documents it by a name that begins with an underscore. Seen in
    PyTorch 2.13.0.
    """
    return tensor._version


def replace_saved(output: Tensor, index: int, compute: Callable[[], Tensor]) -> None:
    """Free a tensor that a function of our own has saved for the backward pass, which computes it instead.

    Where others keep what is saved, as activation checkpointing does, it is left to them. PyTorch documents hooks of
    single tensors with names that begin with an underscore. Seen in PyTorch 2.13.0.

    Args:
        output (Tensor): What the function has returned.
        index (int): Number of the tensor in the order of ``save_for_backward``.
        compute (Callable): Computes the same tensor.
    """
    with suppress(RuntimeError):  # it has hooks already
        output.grad_fn._raw_saved_tensors[index].register_hooks(lambda _: None, lambda _: compute())  # type: ignore


def takes_found_inf(optimizer: Optimizer) -> bool:
    """Whether an optimizer, as PyTorch's fused ones, can be told on the device to leave all as it is.

    The loss's scaler asks for the same mark. Seen in PyTorch 2.11.0 to 2.13.0.
    """
    return getattr(optimizer, '_step_supports_amp_scaling', False)


@contextmanager
def found_inf_of(optimizer: Optimizer, found: Tensor) -> Iterator[None]:
    """Inside, a step of such an optimizer leaves all as it is where ``found`` is 1.

    The loss's scaler tells it in the same way, by attributes that PyTorch documents nowhere. Seen in PyTorch 2.11.0 to
    2.13.0.
    """
    told: Any = optimizer
    told.grad_scale, told.found_inf = None, found
    try:
        yield
    finally:
        del told.grad_scale, told.found_inf


def found_inf(scaler: torch.amp.GradScaler, optimizer: Optimizer) -> Tensor:
    """1 if a loss's scaler has found a gradient that overflowed, in any process that has a part of it, else 0.

    Its own ``step`` hands a scale to optimizers that were once fused, and waits for the device with all others. Seen in
    PyTorch 2.11.0 to 2.13.0.
    """
    return torch.stack(list(scaler._found_inf_per_device(optimizer).values())).amax()


def has_onednn() -> bool:
    """Whether PyTorch was built with :func:`onednn_linear`."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, '_linear_pointwise')


def onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``F.linear`` in float32 on a CPU by oneDNN, which PyTorch has for its compiler.

    Its own product is MKL's, which takes 1.5 to 2.2 times as long on AMD processors. Seen in PyTorch 2.13.0.
    """
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, 'none', [], 'none')


def softmax_backward(gradient: Tensor, weights: Tensor) -> Tensor:
    """Gradient of scores of the gradient of ``weights``, their softmax over the last axis.

    Written out, it takes four passes over the scores, and PyTorch's own kernel one. Seen in PyTorch 2.13.0.
    """
    return torch._softmax_backward_data(gradient, weights, -1, weights.dtype)


def has_flash_attention() -> bool:
    """Whether PyTorch's attention on CPUs is its fused kernel, of which :func:`flash_attention` is the name."""
    name = '_scaled_dot_product_flash_attention_for_cpu'
    return torch.backends.cuda.flash_sdp_enabled() and hasattr(torch.ops.aten, name)


def flash_attention(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Attention on CPUs, and the logarithms that its backward pass takes.

    ``F.scaled_dot_product_attention`` calls it, but has no second derivatives. Seen in PyTorch 2.13.0.
    """
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)


def flash_attention_backward(gradient: Tensor, q: Tensor, k: Tensor, v: Tensor, mixed: Tensor, logs: Tensor) -> Any:
    """Gradients of queries, keys and values of :func:`flash_attention`. Seen in PyTorch 2.13.0."""
    name = '_scaled_dot_product_flash_attention_for_cpu_backward'
    return getattr(torch.ops.aten, name)(gradient, q, k, v, mixed, logs, 0.0, False)


def fused_attentions() -> set[Any]:
    """PyTorch's operations of fused attention, as compiled code knows them.

    ``F.scaled_dot_product_attention`` is public, what it becomes is not. Seen in PyTorch 2.13.0.
    """
    kinds = ('flash_attention', 'efficient_attention', 'cudnn_attention', 'flash_attention_for_cpu')
    return {getattr(torch.ops.aten, f'_scaled_dot_product_{kind}').default for kind in kinds}


@contextmanager
def without_lines_of_ray() -> Iterator[None]:
    """Keep off the screen what Ray tells there of its machines and actors, e.g. that it gives a task to another one.

    It prints that to the standard output, also where ``log_to_driver`` is off. Seen in Ray 2.60.0.
    """
    from ray._private import worker

    before, worker._worker_logs_enabled = worker._worker_logs_enabled, False
    try:
        yield
    finally:
        worker._worker_logs_enabled = before
