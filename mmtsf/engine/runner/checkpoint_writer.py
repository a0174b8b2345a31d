"""Collect and copy what a checkpoint holds, and write it in the background."""

import copy
import errno
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from logging import Logger
from pathlib import Path
from typing import IO, Any

import mmengine
import torch
from mmengine.fileio import FileClient, join_path
from mmengine.utils import get_git_hash
from torch import Tensor

from mmtsf.utils.files import opened, written_whole
from mmtsf.utils.text import shorten
from mmtsf.weights import not_finite

from .bare_model import bare_model


class CheckpointWriter:
    """Write checkpoints one after another in a thread; after one that cannot be written none is, until :meth:`finish`.

    Args:
        logger (Logger): Told what cannot be written, at once.
    """

    def __init__(self, logger: Logger) -> None:
        self.logger = logger
        self._thread = ThreadPoolExecutor(1, 'checkpoint')  # which begins with the first checkpoint
        self._writes: list[Future] = []
        self._unsaved: str | None = None

    def start(self, path: Path, write: Callable[[], None], then: Callable[[], None] | None = None) -> None:
        """Write in the background."""
        self._writes.append(self._thread.submit(self._attempt, path, write, then))

    def run(self, path: Path, write: Callable[[], None], then: Callable[[], None] | None = None) -> None:
        """Write now."""
        done: Future = Future()
        done.set_result(self._attempt(path, write, then))
        self._writes.append(done)

    def wait(self) -> bool:
        """Wait until nothing is being written; whether nothing has failed."""
        wait(self._writes)
        return self._unsaved is None

    def finish(self) -> tuple[int, str | None]:
        """Wait; how many checkpoints are on the disk since the last time, and why the next one is not.

        Raises:
            Exception: What a write has raised that is no ``OSError``.
        """
        self.wait()
        writes, self._writes = self._writes, []
        unsaved, self._unsaved = self._unsaved, None
        return sum(write.result() for write in writes), unsaved

    def _attempt(self, path: Path, write: Callable[[], None], then: Callable[[], None] | None) -> bool:
        if self._unsaved:
            return False
        try:
            write()
        except OSError as error:
            remedy = 'make room, ' if error.errno in (errno.ENOSPC, errno.EDQUOT) else ''
            self._unsaved = f'{path} cannot be written: {error.strerror or error}; {remedy}earlier checkpoints stay'
            self.logger.error(self._unsaved)
            return False
        except Exception as error:  # raised in finish(), which a training that fails meanwhile does not come to
            self.logger.error(f'{path} cannot be written: {error!r}')
            raise
        if then:
            then()
        return True


def collect(
    runner: Any,
    save_optimizer: bool = True,
    save_param_scheduler: bool = True,
    meta: dict | None = None,
    by_epoch: bool = True,
) -> dict:
    """Collect what MMEngine's runner writes into a checkpoint, with the tensors themselves, wherever they are.

    Takes the arguments of :meth:`mmengine.runner.Runner.save_checkpoint`, which collects and writes in one.
    """
    checkpoint: dict[str, Any] = dict(
        meta=_meta(runner, meta or {}, by_epoch),
        state_dict=bare_model(runner).state_dict(),
        message_hub=runner.message_hub.state_dict(),
    )
    if save_optimizer:
        checkpoint['optimizer'] = runner.optim_wrapper.state_dict()
    schedulers = runner.param_schedulers
    if save_param_scheduler and schedulers is None:
        runner.logger.warning('there are no parameter schedulers to save')
    elif save_param_scheduler and isinstance(schedulers, dict):
        checkpoint['param_schedulers'] = {name: [s.state_dict() for s in of] for name, of in schedulers.items()}
    elif save_param_scheduler:
        checkpoint['param_schedulers'] = [scheduler.state_dict() for scheduler in schedulers]
    runner.call_hook('before_save_checkpoint', checkpoint=checkpoint)
    return checkpoint


def _meta(runner: Any, meta: dict, by_epoch: bool) -> dict:
    """What a checkpoint tells of its run, in the order of MMEngine."""
    meta.setdefault('epoch', runner.epoch + by_epoch)
    meta.setdefault('iter', runner.iter + (not by_epoch))
    meta.update(
        cfg=runner.cfg_text,
        seed=runner.seed,
        experiment_name=runner.experiment_name,
        time=time.strftime('%Y%m%d_%H%M%S', time.localtime()),
        mmengine_version=mmengine.__version__ + get_git_hash(),
    )
    if hasattr(runner.train_dataloader.dataset, 'metainfo'):
        meta.update(dataset_meta=runner.train_dataloader.dataset.metainfo)
    return meta


def to_host(checkpoint: dict, alone: bool = True) -> tuple[dict, Callable[[], None]]:
    """Copy a checkpoint, nested values as well, to this machine's memory.

    From a GPU tensors are copied to pinned memory in the stream's order, and nothing waits for them. PyTorch keeps
    pinned memory that is free again: the next checkpoint takes the same.

    Args:
        checkpoint (dict): The checkpoint.
        alone (bool): Whether tensors are copied that are in this memory already. Defaults to True.

    Returns:
        tuple: The copy, and a function that waits until it is whole.
    """
    copies: dict[int, Any] = {}  # by what they are of, for deepcopy
    events: dict[torch.device, torch.cuda.Event] = {}
    for tensor in _tensors(checkpoint):
        if tensor.is_cuda and tensor.layout is torch.strided:
            pinned = torch.empty_like(tensor, device='cpu', pin_memory=True)
            copies[id(tensor)] = pinned.copy_(tensor.detach(), non_blocking=True)
            events.setdefault(tensor.device, torch.cuda.Event(blocking=True))
        elif tensor.device.type != 'cpu':
            copies[id(tensor)] = tensor.detach().cpu()
        elif not alone:
            copies[id(tensor)] = tensor
    for device, event in events.items():
        event.record(torch.cuda.current_stream(device))

    def wait_for_copies() -> None:
        for event in events.values():
            event.synchronize()

    return copy.deepcopy(checkpoint, copies), wait_for_copies


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)


def check_finite(checkpoint: dict) -> None:
    """Refuse weights that no training can go on from, averaged or not.

    Raises:
        OSError: If they are not finite.
    """
    if broken := not_finite({**checkpoint['state_dict'], **checkpoint.get('ema_state_dict', {})}):
        raise OSError(f'the weights {shorten(broken)} are not finite')


def write_checkpoint(path: Path, checkpoint: dict, wait_for_copy: Callable[[], None]) -> None:
    """Write a checkpoint aside, and rename it when it is on the disk.

    Raises:
        OSError: If it cannot be written, or its weights are not finite.
    """
    wait_for_copy()
    check_finite(checkpoint)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as part, opened(part, 'wb') as file:
        save(checkpoint, file)


def store_checkpoint(
    out_dir: str, name: str, checkpoint: dict, file_client_args: dict | None = None, backend_args: dict | None = None
) -> None:
    """Write a checkpoint into an object store, which takes it as a whole; takes MMEngine's arguments.

    Raises:
        OSError: If it cannot be written, or its weights are not finite.
    """
    check_finite(checkpoint)
    if file_client_args is None:
        path = join_path(out_dir, name, backend_args=backend_args)
    else:
        path = FileClient.infer_client(file_client_args, out_dir).join_path(out_dir, name)
    try:
        mmengine.runner.save_checkpoint(checkpoint, path, file_client_args=file_client_args, backend_args=backend_args)
    except OSError:
        raise
    except Exception as error:  # of many kinds, as clients of stores are
        raise OSError(f'{type(error).__name__}: {error}') from error


def save(checkpoint: dict, file: IO) -> None:
    """Write a checkpoint as ``torch.save`` does.

    Raises:
        OSError: If it cannot be written, of which ``torch.save`` makes an error of its own.
    """
    target: Any = _Target(file)
    torch.save(checkpoint, target)
    if target.error:
        raise target.error


class _Target:
    """A file that keeps its first error, and takes no more then."""

    def __init__(self, file: IO) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            if self.error is None:
                self.file.write(data)
        except OSError as error:
            self.error = error
        return len(data)

    def flush(self) -> None:
        """The file is flushed when it is closed."""
