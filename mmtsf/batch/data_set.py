"""Write results of many videos to a Parquet data set on a cluster, each video once, whatever happens on the way."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import track

from mmtsf.utils.files import PART
from mmtsf.utils.results import stoppable

from .cluster import joined, pool_for, work
from .job import Job
from .parts import SETTINGS, Parts, open_parts

if TYPE_CHECKING:
    from mmtsf.utils.remote_path import RemotePath


def write_data_set(
    job: Job, videos: Sequence[str], folder: Path | RemotePath, settings: str, args: argparse.Namespace
) -> Parts:
    """Write what a job makes of videos to a folder of Parquet files; go on where an earlier run was stopped.

    Args:
        job (Job): What is done with each.
        videos (Sequence[str]): Their names.
        folder (Path | RemotePath): The data set.
        settings (str): All that the results depend on.
        args (argparse.Namespace): The options of :func:`mmtsf.utils.arguments.add_engine`, and ``device``.

    Raises:
        ValueError: If an earlier run was another one.
    """
    with joined(args.address):
        pool = pool_for(job, args.device)
        parts = open_parts(folder, settings, pool.part_size(len(videos), job))
        done = sum(len(videos[number * parts.size :][: parts.size]) for number in parts.there())
        left = len(videos) - done
        try:
            with (
                stoppable(left, 'videos', 'the same command goes on from here') as is_done,
                closing(work(job, videos, pool, args.workers, parts.size, parts)) as results,
            ):
                for result in track(results, 'working', left, disable=not sys.stdout.isatty()):
                    if result.reason:
                        print(f'not read: {videos[result.place]}: {result.reason}', file=sys.stderr)
                    is_done()
        finally:
            _leave_nothing(parts)
    return parts


def _leave_nothing(parts: Parts) -> None:
    """Remove a folder without results, and what was not written to its end."""
    for path in parts.folder.iterdir():
        if path.name.endswith(PART):
            path.unlink(missing_ok=True)
    if not parts.there() and isinstance(parts.folder, Path):
        (parts.folder / SETTINGS).unlink(missing_ok=True)
        parts.folder.rmdir()
