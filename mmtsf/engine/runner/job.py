"""Read from the environment which job of a launcher a run is of, and whether it was started again."""

import os

import torch.distributed as dist
from mmengine.dist import get_world_size, is_distributed

#: How often torchrun, on this machine, or Slurm has started the processes again
RESTARTS = ('TORCHELASTIC_RESTART_COUNT', 'SLURM_RESTART_COUNT')
#: How often torchrun may do so
MAX_RESTARTS = 'TORCHELASTIC_MAX_RESTARTS'


def job_id() -> str | None:
    """Name of the launcher's job, which stays when it starts processes again: of tools/torchrun.py, or of Slurm."""
    job = os.environ.get('SLURM_JOB_ID')
    return os.environ.get('MMTSF_LAUNCH') or (job and f'slurm_{job}')


def may_be_restarted() -> bool:
    """Whether the launcher has started this process again, or may have another one of the training."""
    return _is_set(*RESTARTS, MAX_RESTARTS)


def is_restarted() -> bool:
    """Whether the launcher has started the processes again. Where one was lost, only its own machine's counts that:
    all processes must ask."""
    found = [_is_set(*RESTARTS)] * get_world_size()
    if is_distributed():
        dist.all_gather_object(found, found[0])
    return any(found)


def _is_set(*names: str) -> bool:
    return any(os.environ.get(name, '0') != '0' for name in names)
