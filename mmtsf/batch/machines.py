"""Check that all machines of a cluster can do what this one asks: a worker that looks imports this file alone."""

import os
from collections.abc import Sequence

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from mmtsf import __version__
from mmtsf.utils.locations import is_address


def check_machines(paths: Sequence[str]) -> None:
    """Check that each machine of the cluster has this package, and sees the same files.

    Raises:
        ValueError: If one has not, by its name.
    """
    nodes = [node for node in ray.nodes() if node['Alive']]
    local = [os.path.abspath(path) for path in paths if not is_address(path)]
    if len(nodes) < 2:
        return
    tasks = [
        ray.remote(_look)
        .options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node['NodeID'], soft=False))
        .remote(local)
        for node in nodes
    ]
    _, here = _look(local)
    for node, task in zip(nodes, tasks):
        name = node['NodeManagerHostname']
        try:
            version, there = ray.get(task)
        except (ray.exceptions.TaskUnschedulableError, ray.exceptions.NodeDiedError):
            continue  # the machine has gone meanwhile
        except ray.exceptions.RayTaskError as error:
            raise ValueError(
                f'{name} of the cluster has no mmtsf {__version__}; install it there: {error.cause}'
            ) from None
        if version != __version__:
            raise ValueError(f'{name} of the cluster has mmtsf {version}, and this machine {__version__}; install one')
        if missing := [path for path in local if there[path] != here[path]]:
            raise ValueError(
                f'{missing[0]} is not on {name} of the cluster as it is here; put it on a disk that all machines '
                'share, or give an address such as s3://bucket/folder'
            )


def _look(paths: list[str]) -> tuple[str, dict[str, int | None]]:
    """Return this machine's version of the package, and the sizes of files; None where there is none."""

    def size(path: str) -> int | None:
        if not os.path.exists(path):
            return None
        return os.path.getsize(path) if os.path.isfile(path) else 0

    return __version__, {path: size(path) for path in paths}
