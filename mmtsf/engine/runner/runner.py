"""Train and test with checkpoints that are never half written, and go on from them."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import mmengine
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_distributed, is_main_process
from mmengine.fileio import get_file_backend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import MMLogger
from mmengine.runner import BaseLoop, find_latest_checkpoint, load_state_dict
from torch import nn
from torch.utils.data import DataLoader

from mmtsf import compat
from mmtsf.config import resolve, settle
from mmtsf.config.data_source import taken_lists
from mmtsf.datasets.loading import VideoLoader, with_workers
from mmtsf.fileio import FsspecBackend
from mmtsf.registry import RUNNERS
from mmtsf.utils.locations import is_address
from mmtsf.utils.screen import ON_SCREEN, quieten
from mmtsf.weights import read_checkpoint

from .bare_model import bare_model
from .batch import set_batch
from .check_resume import next_epoch, takes_new_data
from .checkpoint_files import CheckpointFiles, is_on_disk
from .checkpoint_writer import CheckpointWriter, collect, store_checkpoint, to_host, write_checkpoint
from .job import is_restarted
from .loops import ResumableTrainLoop
from .mirror import AT_END, Mirror, check_address, local_folder, mirror_of
from .precision import set_precision, set_tf32
from .run_record import RunRecord
from .schedule import run_through
from .sharding import shard, whole_states
from .work_dir import check_work_dir, claim, is_of_this_job, name_of, name_run, refuse_used

PARALLELS = ('ddp', 'fsdp')
#: Default hooks of MMEngine, which removes those that a config sets to None; it refuses to do so with others
MMENGINE_HOOKS = ('checkpoint', 'logger', 'param_scheduler', 'runtime_info', 'sampler_seed', 'timer')


@RUNNERS.register_module()
class Runner(mmengine.runner.Runner):
    """MMEngine's runner, with checkpoints that are never half written and data loaders that outlive their workers.

    Takes the arguments of :class:`mmengine.runner.Runner`; the work dir may be an address, ``'s3://bucket/run'``. The
    config's ``parallel`` is ``'ddp'``, a whole model in every process, or ``'fsdp'``, shared out among them.
    """

    optim_wrapper: Any
    param_schedulers: Any
    _resume: bool | str
    _load_from: str | None
    #: Why the last checkpoint could not be written; None if it was
    unsaved: str | None = None
    #: Name of the run, the same in all its checkpoints; the main process knows it
    run_id: str | None = None
    #: What the checkpoint that is resumed tells of its run
    resumed_run: RunRecord | None = None
    #: Whether the training has begun: what is in the work dir is its own
    has_begun = False
    #: Whether its first epoch has begun: until then a mistake in the config leaves nothing worth keeping
    has_trained = False
    cfg: Any
    #: Why the config cannot be trained: its global batch, or its precision; None if it can
    refused: ValueError | None = None
    #: How its global batch is reached, and its precision, for the log
    chosen: Sequence[str | None] = ()
    #: The config before its references were resolved
    given_cfg: Config | None = None
    #: Copies the work dir to its address; None of a local one
    mirror: Mirror | None = None
    #: What is to be done if they cannot be written, of the checkpoints that were begun
    _in_flight: tuple[Callable[[], None] | None, ...] = ()
    #: The config's values, and its text
    _formatted: tuple[str, str] | None = None

    def __init__(self, model: Any, work_dir: str, *args: Any, **more: Any) -> None:
        check_address(str(work_dir))
        super().__init__(model, local_folder(str(work_dir)), *args, **more)
        self.mirror = mirror_of(str(work_dir), self.logger)
        if self.mirror:
            words = f'work dir: {self.mirror.address}, a copy of {local_folder(str(work_dir))}'
            self.logger.info(words, extra=ON_SCREEN)
        _refuse_out_dir(self.hooks, str(work_dir))

    @classmethod
    def from_cfg(cls, cfg: Config, given: Config | None = None) -> 'Runner':
        """Build a runner from a config in any state: its references are resolved, its global batch reached, and its
        precision chosen.

        What it leaves in the work dir is the config as it was given, which takes the same options as before.

        Args:
            cfg (Config): The config.
            given (Config, optional): What is left instead, of a config that has values for this run alone. Defaults to
                None.

        Raises:
            OSError: If the work dir cannot be written.
            ValueError: If the config has something that would have no effect, see :func:`mmtsf.config.resolve`.
        """
        address = str(cfg['work_dir'])
        check_address(address)
        check_work_dir(Path(local_folder(address)))
        cfg = cfg if isinstance(cfg, Config) else Config(cfg)
        with suppress(FileNotFoundError):  # the data sets, which are built when they are used, say what is missing
            cfg = settle(cfg)
        resolved = resolve(cfg)
        said, refused = [], None
        for choose in (set_batch, set_precision):
            try:
                said.append(choose(resolved))
            except ValueError as error:  # which is one for a training alone
                refused = refused or error
        runner = super().from_cfg(resolved)
        runner.refused, runner.chosen = refused, said
        if line := taken_lists(cfg):
            runner.logger.info(line, extra=ON_SCREEN)
        runner.given_cfg = cfg if given is None else given
        if hasattr(runner, 'cfg'):  # a subclass may build nothing
            runner.dump_config()
        return runner

    def train(self) -> nn.Module:
        """MMEngine's.

        Raises:
            ValueError: If the config's global batch cannot be reached, or its precision is not to be had.
        """
        if self.refused:
            raise self.refused
        try:
            super().train()
        except BaseException:
            self.finish_writing()
            if self.mirror and self.has_trained and is_main_process():
                self.mirror.finish(0)  # which says in the log what it cannot copy
            raise
        self.finish_writing()
        self.copy_out()
        return self.model

    def copy_out(self, alone: bool = False, seconds: float = AT_END) -> None:
        """Copy the work dir to its address, if it has one, and wait for it.

        Args:
            alone (bool): Whether the main process alone asks for it; else all do, and go on together. Defaults to
                False.
            seconds (float): How long it is tried again while the store is away. Defaults to two minutes.

        Raises:
            RuntimeError: If it cannot be copied.
        """
        if self.mirror is None:
            return
        failure = [self.mirror.finish(seconds) if is_main_process() else None]
        if is_distributed() and not alone:
            dist.broadcast_object_list(failure)
        if failure[0]:
            raise RuntimeError(
                f'the work is done, but {self.mirror.address} lacks a part of it: {failure[0]}; all of it lies in '
                f'{self.mirror.folder}; copy that folder there'
            )

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """MMEngine's; notes that the first epoch begins."""
        self.has_trained |= fn_name == 'before_train_epoch'
        super().call_hook(fn_name, **kwargs)
        if fn_name == 'before_train_epoch' and self.mirror and is_main_process():
            self.mirror.update()

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """MMEngine's, which writes everything to the log file; the screen gets warnings, and what is meant for it."""
        quieten(logger := super().build_logger(*args, **kwargs))
        return logger

    def setup_env(self, env_cfg: dict) -> None:
        """MMEngine's, and the config's ``tf32`` for this process."""
        super().setup_env(env_cfg)
        if 'tf32' in self.cfg:
            set_tf32(self.cfg.tf32)

    def dump_config(self) -> None:
        """Write the config into the work dir, with its references."""
        used, self.cfg = self.cfg, self.given_cfg or self.cfg
        super().dump_config()
        self.cfg = used

    @staticmethod
    def build_dataloader(dataloader: DataLoader | dict, *args: Any, **kwargs: Any) -> DataLoader:
        """MMEngine's data loader, built as a :class:`VideoLoader` with the workers that :func:`with_workers` chooses;
        one that is built already is taken as it is. Batches that are pinned are sent to the GPU ahead."""
        if isinstance(dataloader, DataLoader):
            return dataloader
        loader = mmengine.runner.Runner.build_dataloader(with_workers(dataloader), *args, **kwargs)
        sends = loader.pin_memory and torch.cuda.is_available()
        keeps_workers = dataloader.get('persistent_workers', True)
        return VideoLoader.of(loader, torch.device('cuda') if sends else None, keeps_workers)

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """MMEngine's, for which a loop without a type is over epochs, and one that can begin in the middle of one."""
        if isinstance(loop, dict) and 'type' not in loop and loop.get('by_epoch', True):
            loop = dict({key: value for key, value in loop.items() if key != 'by_epoch'}, type=ResumableTrainLoop)
        return super().build_train_loop(loop)

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        """MMEngine's, which here leaves out any hook that is None."""
        kept = {name: hook for name, hook in (hooks or {}).items() if hook is not None or name in MMENGINE_HOOKS}
        super().register_default_hooks(kept)

    def load_or_resume(self) -> None:
        """Load weights, or resume: from the newest whole checkpoint, or a named one.

        The newest is taken if ``resume`` is ``'auto'``, or names none, or the launcher has started the training again.
        Where there is none yet, it begins as the config says.

        Raises:
            RuntimeError: If another training lives in the work dir, or one that begins finds checkpoints in it.
        """
        begins = compat.is_training(self) and not self.has_begun
        folder, files = Path(self.work_dir), CheckpointFiles.of(self.work_dir, self.hooks)
        main = begins and is_main_process()
        if main:
            claim(folder)
        if not self._has_loaded:
            self._choose_checkpoint(files, begins)
        if main and not self._resume:
            refuse_used(files)
            if self.mirror:
                self.mirror.refuse_used(files)
            (folder / 'last_checkpoint').unlink(missing_ok=True)  # of a training whose checkpoints were removed
        super().load_or_resume()
        self.has_begun |= begins
        if main:
            self.run_id = name_run(folder, files, compat.resumed_checkpoint(self), self.resumed_run)
        if begins and self._is_sharded:  # weights and states are loaded whole
            shard(self.model, self.optim_wrapper.optimizer)

    def _choose_checkpoint(self, files: CheckpointFiles, begins: bool) -> None:
        """Find the newest checkpoint, if it is asked for; a test takes a named one, and resumes nothing."""
        tests = compat.is_testing(self)
        named = self._load_from is not None and (tests or self._resume is True)
        if (begins and is_restarted()) or (self._resume and not named):
            newest = self._newest_whole(files)
            self._resume = named or newest is not None
            self._load_from = newest or self._load_from
        self._resume = self._resume and not tests

    def load_checkpoint(
        self,
        filename: str,
        map_location: Any = 'cpu',
        strict: bool = False,
        revise_keys: Sequence[tuple[str, str]] = ((r'^module.', ''),),
    ) -> dict:
        """MMEngine's, which reads the checkpoint as data, of any origin: nothing in it is executed.

        A function or a table that says where tensors go is not asked: they are copied into the model anyway.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is no checkpoint, or asks for more than tensors and plain values.
        """
        is_place = isinstance(map_location, (str, torch.device))
        checkpoint = read_checkpoint(filename, map_location if is_place else 'cpu')
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        state = checkpoint.get('state_dict', checkpoint)
        for pattern, words in revise_keys:
            state = {re.sub(pattern, words, key): value for key, value in state.items()}
        load_state_dict(bare_model(self), state, strict, self.logger)
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        checkpoint.get('meta', {}).pop('config', None)  # resume() would execute this text
        return checkpoint

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: Any = 'default',
    ) -> None:
        """Go on from a checkpoint that fits, see :mod:`mmtsf.engine.runner.check_resume`; without CheckpointFormatHook,
        which looks at that, from any, as MMEngine does.

        Raises:
            ValueError: If it does not.
        """
        self._resume, self._load_from = self._resume or True, filename
        self.optim_wrapper = self.build_optim_wrapper(self.optim_wrapper)
        super().resume(filename, resume_optimizer, resume_param_scheduler, map_location)
        if (run := self.resumed_run) is None:
            return
        length = len(self.train_dataloader)
        if takes_new_data(self, run):
            epoch = next_epoch(self.epoch, self.iter, run, self.max_epochs)
            compat.set_progress(self.train_loop, epoch, epoch * length)
        if resume_param_scheduler and self.param_schedulers is not None:
            self.param_schedulers = self.build_param_scheduler(self.param_schedulers)
            run_through(self.param_schedulers, self.epoch, self.iter, length)

    @property
    def _is_sharded(self) -> bool:
        parallel = self.cfg.get('parallel', 'ddp')
        if parallel not in PARALLELS:
            raise ValueError(f'parallel is {parallel!r}, expected one of {PARALLELS}')
        return parallel == 'fsdp' and is_distributed()

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """The model on its device, wrapped for several processes unless it will be shared out among them.

        Raises:
            ValueError: If weights are to be averaged (EMA) of a model that is shared out, or states have 8 bits.
        """
        if not self._is_sharded:
            if is_distributed() and any(getattr(module, 'leaves_cls_out', False) for module in model.modules()):
                model_wrapper_cfg = self._without_cls(model_wrapper_cfg)
            return super().wrap_model(model_wrapper_cfg, model)
        hooks = [*(self.cfg.get('custom_hooks') or []), *(self.cfg.get('default_hooks') or {}).values()]
        if any(isinstance(hook, dict) and hook.get('type') == 'EMAHook' for hook in hooks):
            raise ValueError("parallel is 'fsdp', which averages no weights; leave EMAHook out, or use 'ddp'")
        optimizer = (self.cfg.get('optim_wrapper') or {}).get('optimizer') or {}
        if '8bit' in str(optimizer.get('type')):
            raise ValueError(
                f"parallel is 'fsdp', which shares out no states of {optimizer['type']}; use AdamW, or 'ddp'"
            )
        return model.to(get_device())

    def _without_cls(self, model_wrapper_cfg: dict | None) -> dict:
        """Config of a wrapper for a model whose parameters are not all of use; what the config says itself stays."""
        asked = dict(model_wrapper_cfg or dict(broadcast_buffers=False))  # of MMEngine where a config says nothing
        if model_wrapper_cfg is None and 'find_unused_parameters' in self.cfg:
            asked['find_unused_parameters'] = self.cfg.find_unused_parameters
        # a static graph has its first batch exchanged, also where batches accumulate: then a resumed run would round
        # otherwise than one that never stopped
        counts = (self.cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
        if asked.get('find_unused_parameters') or asked.get('static_graph'):
            return asked
        return (dict(static_graph=True) if counts == 1 else dict(find_unused_parameters=True)) | asked

    def _newest_whole(self, files: CheckpointFiles) -> str | None:
        found: list = [None, {}]
        if is_main_process():
            folder = Path(self.work_dir)
            if self.mirror:
                self.mirror.fetch(files)
            if self._resume or is_of_this_job(folder):
                found = list(files.newest_whole(name_of(folder)))
                if found == [None, {}]:  # they are elsewhere, or in an object store
                    found[0] = find_latest_checkpoint(self.work_dir)
            if found[0] and is_address(found[0]):
                raise ValueError(
                    f'cannot resume: {found[0]} was written through a backend of MMEngine, by which nothing is found '
                    'again; fetch it and give the file: --resume FILE'
                )
        if is_distributed():
            dist.broadcast_object_list(found)
        path, damaged = found
        if path and self.mirror:
            self.mirror.compare(path) if is_main_process() else self.mirror.bring(Path(path))
        for other, reason in damaged.items():
            self.logger.warning(f'{other} is newer, but passed over: {reason}')
        words = f'resuming from {path}' if path else f'{files.folder} has no checkpoint: starting anew'
        self.logger.info(words, extra=ON_SCREEN)
        return path and str(path)

    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict | None = None,
        by_epoch: bool = True,
        backend_args: dict | None = None,
        background: bool = False,
        then: Callable[[], None] | None = None,
        otherwise: Callable[[], None] | None = None,
    ) -> None:
        """Write a checkpoint aside and rename it when it is on the disk; an object store takes it as a whole.

        One that cannot be written, because the disk is full, say, is an error in the log, and training goes on. Weights
        that are not finite are not written: every checkpoint is one to go on from.

        Takes the arguments of :meth:`mmengine.runner.Runner.save_checkpoint` as well.

        Args:
            background (bool): Whether a copy is written by a thread while training goes on, after those that wait
                already; where one cannot be written, those after it are not, until :meth:`wait_for_checkpoints`. An
                object store is written to at once. Defaults to False.
            then (Callable, optional): Called in the main process, by the thread, when the file is on the disk.
            otherwise (Callable, optional): Called in all processes, in :meth:`wait_for_checkpoints`, if it is not.
        """
        self.call_hook('before_checkpoint')  # in all processes
        where = dict(file_client_args=file_client_args, backend_args=backend_args)
        what = dict(
            save_optimizer=save_optimizer, save_param_scheduler=save_param_scheduler, meta=meta, by_epoch=by_epoch
        )
        background &= is_on_disk(out_dir, **where)
        if not background:
            self.wait_for_checkpoints()
        self.unsaved = None
        with whole_states(self.model, self.optim_wrapper):
            if is_main_process():
                write = self._writes(out_dir, filename, where, what, background)
                (self._writer.start if background else self._writer.run)(Path(out_dir, filename), write, then)
        self._in_flight = (*self._in_flight, otherwise)
        if not background:
            self.wait_for_checkpoints()

    def _writes(self, out_dir: str, filename: str, where: dict, what: dict, background: bool) -> Callable[[], None]:
        """What writes the checkpoint of now; in the background, one of its own."""
        checkpoint, wait_for_copy = to_host(collect(self, **what), background)
        if is_on_disk(out_dir, **where):
            return partial(write_checkpoint, Path(out_dir, filename), checkpoint, wait_for_copy)
        wait_for_copy()
        return partial(store_checkpoint, out_dir, filename, checkpoint, **where)

    @property
    def is_writing(self) -> bool:
        """Whether a checkpoint was begun, in any process, that was not waited for in all of them."""
        return bool(self._in_flight)

    def finish_writing(self) -> bool:
        """Wait, in this process alone, until nothing is being written; whether nothing has failed."""
        return self._writer.wait()

    def wait_for_checkpoints(self) -> None:
        """Wait, in all processes, until checkpoints in the background are on the disk, or cannot be written."""
        if not self._in_flight:
            return
        outcome = [self._writer.finish() if is_main_process() else (0, None)]
        if is_distributed():
            dist.broadcast_object_list(outcome)  # all processes take the same way from here on
        written, self.unsaved = outcome[0]
        unwritten, self._in_flight = self._in_flight[written:], ()
        for otherwise in filter(None, reversed(unwritten)):
            otherwise()

    @cached_property
    def _writer(self) -> CheckpointWriter:
        return CheckpointWriter(self.logger)

    @property
    def cfg_text(self) -> str:
        """The config as a checkpoint tells it; formatted anew, which takes a tenth of a second, if it has changed."""
        settings = repr(self.cfg.to_dict())
        if self._formatted is None or self._formatted[0] != settings:
            self._formatted = settings, self.cfg.pretty_text
        return self._formatted[1]


def _refuse_out_dir(hooks: Sequence[Hook], work_dir: str) -> None:
    """Refuse a folder of checkpoints in object storage beside the work dir, or elsewhere than a work dir there.

    Raises:
        ValueError: If there is one.
    """
    hook = next((hook for hook in hooks if isinstance(hook, CheckpointHook)), None)
    if hook is None or not hook.out_dir or hook.file_client_args:
        return
    is_ours = isinstance(get_file_backend(hook.out_dir, backend_args=hook.backend_args), FsspecBackend)
    if is_ours or is_address(work_dir):
        raise ValueError(
            f'checkpoint.out_dir is {hook.out_dir}, but checkpoints in object storage lie in the work dir, from which '
            f'a training is resumed; leave out_dir out and give --work-dir {hook.out_dir if is_ours else work_dir}'
        )
