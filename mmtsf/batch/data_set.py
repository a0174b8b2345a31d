"""Write results of many videos to a Parquet data set on a cluster, each video once, whatever happens on the way."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import track

from mmtsf.utils.results import stoppable
from mmtsf.utils.text import counted

from .cluster import joined, pool_for, work
from .job import Job
from .parts import Parts, open_parts

if TYPE_CHECKING:
    from mmtsf.utils.remote_path import RemotePath


def write_data_set(
    job: Job, videos: Sequence[str], folder: Path | RemotePath, settings: str, args: argparse.Namespace
) -> Parts:
    """Write what a job makes of videos to a folder of Parquet files; go on where an earlier run was stopped.

    Videos that were broken are tried again, and those whose files have changed since.

    Args:
        job (Job): What is done with each.
        videos (Sequence[str]): Their names.
        folder (Path | RemotePath): The data set.
        settings (str): All that the results depend on.
        args (argparse.Namespace): The options of :func:`mmtsf.utils.arguments.add_engine`, and ``device``.

    Raises:
        ValueError: If an earlier run was another one, or the folder holds something else.
    """
    with joined(args.address):
        pool = pool_for(job, args.device)
        parts = open_parts(folder, settings, pool.part_size(len(videos), job))
        parts.check(len(videos))
        places = parts.left(videos)
        left = sum(map(len, places.values()))
        if left < len(videos):
            print(f'{len(videos) - left} of {counted(len(videos), "video")} were there already', flush=True)
        try:
            with (
                stoppable(left, 'videos', 'the same command goes on from here') as is_done,
                closing(work(job, videos, pool, args.workers, parts.size, places, parts)) as results,
            ):
                for result in track(results, 'working', left, disable=not sys.stdout.isatty()):
                    if result.reason:
                        print(f'not read: {videos[result.place]}: {result.reason}', file=sys.stderr)
                    is_done()
        finally:
            parts.remove_begun()
    return parts
