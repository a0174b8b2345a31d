"""Reach a config's global batch with the processes of a run."""

import os

from mmengine.config import Config
from mmengine.dist import get_world_size

from mmtsf.utils.text import counted

#: Environment variables in which a launcher says how many processes it starts
SIZES = {'pytorch': 'WORLD_SIZE', 'slurm': 'SLURM_NTASKS', 'mpi': 'OMPI_COMM_WORLD_SIZE'}


def set_batch(config: Config) -> str | None:
    """Reach the recipe's global batch: ``global_batch_size`` = processes x batch x accumulated batches.

    ``train_dataloader.batch_size`` is the most videos that a process takes at once, each with as many clips as the
    pipeline draws of it. Where ``auto_scale_lr`` is enabled, the rate follows the batch instead.

    Args:
        config (Config): Resolved config of a run; ``global_batch_size`` is taken out of it, and its batch size and
            accumulation are set.

    Returns:
        str | None: What was set, for the log; None if nothing was to be.

    Raises:
        ValueError: If the global batch cannot be divided so, or the config accumulates otherwise.
    """
    total = config.pop('global_batch_size', None)
    if total is None or config.get('train_dataloader') is None or config.get('auto_scale_lr', {}).get('enable'):
        return None
    processes = num_processes(config.get('launcher', 'none'))
    if total % processes:
        raise ValueError(
            f'global_batch_size is {total}, not a multiple of the {processes} processes; set global_batch_size to one, '
            'and scale optim_wrapper.optimizer.lr with it, or pass --auto-scale-lr'
        )
    share, loader = total // processes, config.train_dataloader
    if loader.batch_size < 1:
        raise ValueError(f'train_dataloader.batch_size is {loader.batch_size}, expected at least 1')
    batch = max(size for size in range(1, min(loader.batch_size, share) + 1) if share % size == 0)
    accumulated = config.optim_wrapper.get('accumulative_counts', share // batch)
    if accumulated != share // batch:
        raise ValueError(
            f'optim_wrapper.accumulative_counts is {accumulated}, but global_batch_size={total} takes {share // batch} '
            f'batches of {batch} videos in each of {processes} processes; set accumulative_counts to that or leave it '
            f'out, or set global_batch_size={accumulated * loader.batch_size * processes}'
        )
    loader.batch_size, config.optim_wrapper.accumulative_counts = batch, accumulated
    clips = max((step.get('num_clips', 1) for step in _pipeline(loader.get('dataset', {}))), default=1)
    taken = counted(batch, 'clip') if clips == 1 else f'{counted(batch, "video")} ({batch * clips} clips)'
    steps = counted(accumulated, 'accumulated step')
    return f'global batch {total} = {counted(processes, "process")} x {taken} x {steps}'


def _pipeline(dataset: dict) -> list[dict]:
    """Transforms of a data set, or of the one in a wrapper, or of the first one."""
    inside = dataset.get('dataset') or next(iter(dataset.get('datasets') or []), None)
    return dataset.get('pipeline') or (_pipeline(inside) if isinstance(inside, dict) else [])


def num_processes(launcher: str) -> int:
    """Processes of a run, which the launcher tells before they meet."""
    return int(os.environ.get(SIZES.get(launcher, ''), 0)) or get_world_size()
