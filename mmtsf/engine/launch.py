"""From a config file and a command line to a runner, on GPUs or CPUs, in one process or several."""

import argparse
import ctypes
import os
import sys
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import is_cuda_available
from mmengine.dist import init_dist

from mmtsf.config import read_config, resolve, settle
from mmtsf.utils.arguments import parsed
from mmtsf.utils.cores import num_cores


def prepare(args: argparse.Namespace) -> Config:
    """Config of a run, with its references, and with the process group of CPU processes made already.

    Raises:
        FileNotFoundError: If there is no such config file, or none of its data.
        RuntimeError: If there are more processes than GPUs.
    """
    options = parsed(args.cfg_options)
    names = tuple(name for name in options if name != 'recipe')
    config = settle(read_config(args.config, options), names)
    resolve(config, names)  # refuses options without effect
    config.work_dir = args.work_dir or config.get('work_dir') or f'work_dirs/{Path(config.filename).stem}'
    config.launcher = args.launcher
    if not is_cuda_available():
        keep_freed_memory()
    # beside Triton's: the usual place of PyTorch is emptied when the machine starts
    os.environ.setdefault('TORCHINDUCTOR_CACHE_DIR', str(Path.home() / '.cache/mmtsf/compiled'))
    if _met_on_cpus(args.launcher):
        config.model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None)
    return config


def init_processes(launcher: str) -> None:
    """Let this process meet the others of its launcher, for tools that need no runner.

    Raises:
        RuntimeError: If there are more processes than GPUs.
    """
    if not _met_on_cpus(launcher) and launcher != 'none':
        init_dist(launcher)


def rank_of(launcher: str) -> int:
    """Number of this process among those of its launcher, which is known before they meet."""
    return int(os.environ.get({'pytorch': 'RANK', 'slurm': 'SLURM_PROCID'}.get(launcher, ''), 0))


def keep_freed_memory(device: torch.device | str = 'cpu') -> None:
    """Make the C library keep memory for its next use instead of giving it back, on Linux with glibc; nothing where the
    model computes on another device than the CPU.

    On a CPU the large activations of a video model are otherwise mapped and zeroed anew for every layer, which takes a
    fifth to a third of a forward pass of TimeSformer-HR."""
    helps = sys.platform == 'linux' and torch.device(device).type == 'cpu'
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None) if helps else None
    if mallopt is not None:
        m_trim_threshold, m_mmap_max = -1, -4  # numbers of malloc.h
        mallopt(m_trim_threshold, 2**31 - 1)
        mallopt(m_mmap_max, 0)


def _met_on_cpus(launcher: str) -> bool:
    """Let the processes of torchrun meet, if there is no GPU; MMEngine's launcher needs one, and takes a group that
    exists already as it is."""
    if launcher != 'pytorch':
        return False
    local_processes = int(os.environ['LOCAL_WORLD_SIZE'])
    if is_cuda_available():
        if local_processes > torch.cuda.device_count():
            raise RuntimeError(
                f'{local_processes} GPUs are asked for, but this machine has {torch.cuda.device_count()}; give that '
                'number'
            )
        return False
    if not torch.distributed.is_initialized():  # Ray Train has let them meet
        torch.distributed.init_process_group('gloo')
    torch.set_num_threads(max(num_cores() // local_processes, 1))
    return True
