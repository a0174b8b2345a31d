"""MMEngine's runner, made to survive what happens to long trainings."""

import errno
import os
from pathlib import Path
from typing import Any

import mmengine
import torch.distributed as dist
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import get_world_size, is_distributed, is_main_process
from mmengine.optim import OptimWrapper
from torch import nn
from torch.utils.data import DataLoader

from mmtsf.config import resolve
from mmtsf.datasets.loading.video_loader import VideoLoader
from mmtsf.utils.files import commit
from mmtsf.utils.text import shorten
from mmtsf.weights import not_finite

from .batch import set_batch
from .checkpoint_files import PART, check_work_dir, claim, is_of_this_launch, name_run, newest_whole, refuse_used
from .resume import RunRecord, next_epoch, run_through, takes_new_data
from .sharding import shard, whole_states

PARALLELS = ('ddp', 'fsdp')


class Runner(mmengine.runner.Runner):
    """MMEngine's runner, with checkpoints that are never half written and data loaders that outlive their workers.

    Takes the arguments of :class:`mmengine.runner.Runner`. The config's ``parallel`` is ``'ddp'``, a whole model in
    every process, or ``'fsdp'``, shared out among them.
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
    cfg: Any
    #: The config before its references were resolved
    given_cfg: Config | None = None

    @classmethod
    def from_cfg(cls, cfg: Config) -> 'Runner':
        """Build a runner from a config in any state: its references are resolved, and its global batch reached.

        What it leaves in the work dir is the config as it was given, which takes the same options as before.

        Raises:
            OSError: If the work dir cannot be written.
            ValueError: If the config has something that would have no effect, see :func:`mmtsf.config.resolve`.
        """
        check_work_dir(Path(cfg['work_dir']))
        resolved = resolve(cfg if isinstance(cfg, Config) else Config(cfg))
        batch = set_batch(resolved)
        runner = super().from_cfg(resolved)
        if batch:
            runner.logger.info(batch)
        runner.given_cfg = cfg
        runner.dump_config()
        return runner

    def dump_config(self) -> None:
        """Write the config into the work dir, with its references."""
        used, self.cfg = self.cfg, self.given_cfg or self.cfg
        super().dump_config()
        self.cfg = used

    @staticmethod
    def build_dataloader(dataloader: DataLoader | dict, *args: Any, **kwargs: Any) -> DataLoader:
        """MMEngine's data loader, built as a :class:`VideoLoader`; one that is built already is taken as it is."""
        loader = mmengine.runner.Runner.build_dataloader(dataloader, *args, **kwargs)
        return loader if isinstance(dataloader, DataLoader) else VideoLoader.of(loader)

    def load_or_resume(self) -> None:
        """Load weights, or resume: from the newest whole checkpoint in the work dir, or a named one.

        The newest is taken if ``resume`` is ``'auto'``, or names none, or the launcher has started the training again.
        Where there is none yet, it begins as the config says.

        Raises:
            RuntimeError: If another training lives in the work dir, or one that begins finds checkpoints in it.
        """
        trains = isinstance(self.optim_wrapper, OptimWrapper)
        folder, main = Path(self.work_dir), trains and is_main_process()
        if main:
            claim(folder)
        named = self._resume is True and self._load_from is not None
        if not self._has_loaded and trains and (_is_restarted() or (self._resume and not named)):
            newest = self._newest_whole()
            self._resume = named or newest is not None
            self._load_from = newest or self._load_from
        if main and not self._resume:
            refuse_used(folder)
        super().load_or_resume()
        if main:
            self.run_id = name_run(folder, self._load_from if self._resume else None, self.resumed_run)
        if self._is_sharded and trains:  # weights and states are loaded whole
            shard(self.model, self.optim_wrapper.optimizer)

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: Any = 'default',
    ) -> None:
        """Go on from a checkpoint that fits, see :mod:`mmtsf.engine.runner.resume`.

        Raises:
            ValueError: If it does not.
        """
        self._resume = self._resume or True
        self.optim_wrapper = self.build_optim_wrapper(self.optim_wrapper)
        if self.param_schedulers is not None:
            self.param_schedulers = self.build_param_scheduler(self.param_schedulers)
        super().resume(filename, resume_optimizer, resume_param_scheduler, map_location)
        length = len(self.train_dataloader)
        run = self.resumed_run or RunRecord()
        if takes_new_data(self, run):
            self.train_loop._epoch = next_epoch(self.epoch, self.iter, run, self.max_epochs)
            self.train_loop._iter = self.epoch * length
        if resume_param_scheduler:
            run_through(self.param_schedulers or [], self.epoch, self.iter, length)

    @property
    def _is_sharded(self) -> bool:
        parallel = self.cfg.get('parallel', 'ddp')
        if parallel not in PARALLELS:
            raise ValueError(f'parallel is {parallel!r}, expected one of {PARALLELS}')
        return parallel == 'fsdp' and is_distributed()

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """The model on its device, wrapped for several processes unless it will be shared out among them.

        Raises:
            ValueError: If weights are to be averaged (EMA) of a model that is shared out.
        """
        if not self._is_sharded:
            if is_distributed() and any(getattr(module, 'leaves_cls_out', False) for module in model.modules()):
                model_wrapper_cfg = dict(model_wrapper_cfg or {}, find_unused_parameters=True)
            return super().wrap_model(model_wrapper_cfg, model)
        hooks = [*(self.cfg.get('custom_hooks') or []), *(self.cfg.get('default_hooks') or {}).values()]
        if any(isinstance(hook, dict) and hook.get('type') == 'EMAHook' for hook in hooks):
            raise ValueError("parallel is 'fsdp', which averages no weights; leave EMAHook out, or use 'ddp'")
        return model.to(get_device())

    def _newest_whole(self) -> str | None:
        found: list = [None, {}]
        if is_main_process():
            folder = Path(self.work_dir)
            found = list(newest_whole(folder)) if self._resume or is_of_this_launch(folder) else found
        if is_distributed():
            dist.broadcast_object_list(found)
        path, damaged = found
        for other, reason in damaged.items():
            self.logger.warning(f'{other} is newer, but passed over: {reason}')
        self.logger.info(f'resuming from {path}' if path else f'{self.work_dir} has no checkpoint: starting anew')
        return path and str(path)

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """Write a checkpoint aside and rename it when it is on the disk.

        One that cannot be written, because the disk is full, say, is an error in the log, and training goes on. Weights
        that are not finite are not written: every checkpoint is one to go on from."""
        path = Path(out_dir, filename)
        part = path.with_name(path.name + PART)
        self.unsaved = None
        try:
            with whole_states(self.model, self.optim_wrapper):
                if broken := not_finite(self.model.state_dict()) if is_main_process() else []:
                    raise OSError(f'the weights {shorten(broken)} are not finite')
                super().save_checkpoint(out_dir, part.name, *args, **kwargs)
            if is_main_process():
                commit(part, path)
        except OSError as error:
            part.unlink(missing_ok=True)
            remedy = 'make room, ' if error.errno in (errno.ENOSPC, errno.EDQUOT) else ''
            self.unsaved = f'{path} cannot be written: {error.strerror or error}; {remedy}earlier checkpoints stay'
            self.logger.error(self.unsaved)
        if is_distributed():
            outcome = [self.unsaved]
            dist.broadcast_object_list(outcome)  # all processes take the same way from here on
            self.unsaved = outcome[0]


def _is_restarted() -> bool:
    """Whether the launcher has started the processes again; where one was lost only its own machine's counts that."""
    counts = [os.environ.get(f'{name}_RESTART_COUNT', '0') for name in ('TORCHELASTIC', 'SLURM')]
    found = [any(count != '0' for count in counts)] * get_world_size()
    if is_distributed():
        dist.all_gather_object(found, found[0])
    return any(found)
