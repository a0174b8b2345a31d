"""Choose where videos are worked through: on this machine, or on a cluster."""

import argparse
from collections.abc import Generator, Sequence

from mmtsf.utils.cores import num_cores

from .job import Job, Result
from .local import run_locally


def run(job: Job, videos: Sequence[str], args: argparse.Namespace) -> Generator[Result, None, None]:
    """Yield what becomes of each video.

    Args:
        job (Job): What is done with each.
        videos (Sequence[str]): Their names.
        args (argparse.Namespace): The options of :func:`mmtsf.utils.arguments.add_engine`, and ``workers``.
    """
    if args.engine == 'ray':
        from .cluster import run_on_ray

        return run_on_ray(job, videos, args)
    return run_locally(job, videos, args.workers or num_cores())
