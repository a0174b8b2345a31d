"""Work through videos on a cluster of machines, or on this one, by Ray Data.

Each actor of a pool has a whole local engine, with its model and the processes that decode for it: frames stay where
they are decoded, and only names, reasons and short values pass through Ray. Ray starts actors anew that were killed,
and gives their videos to them again; it holds back what the actors cannot take yet.
"""

from __future__ import annotations

import argparse
import logging
import os
import pickle
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

os.environ.setdefault('RAY_BACKEND_LOG_LEVEL', 'fatal')  # what Ray's own processes print
os.environ.setdefault('RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO', '0')  # a warning of what Ray will do one day
os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')  # it would tell its makers
os.environ.setdefault('RAY_DATA_DISABLE_PROGRESS_BARS', '1')

import numpy as np
import ray
import torch
from ray import cloudpickle
from ray.data import ActorPoolStrategy, DataContext, from_items

from mmtsf import compat
from mmtsf.utils.arguments import cluster_address
from mmtsf.utils.cores import num_cores
from mmtsf.utils.imports import for_prediction
from mmtsf.utils.mistakes import mistake
from mmtsf.utils.text import counted

from .job import Job, Result
from .machines import check_machines
from .parts import MOST, Parts, places_of

if TYPE_CHECKING:
    from .local import LocalEngine

#: CPUs of an actor, at most: a model gains little from more
CPUS = 8
#: Share of all CPUs that actors use, at least: larger ones may leave some
USED = 0.9
#: Bytes of Ray's store on one machine, through which only names, reasons and short values pass
STORE = 256 * 2**20
#: Parts that each actor gets, at least, so that all end at the same time
SHARE = 8
#: Actors in a row that may die while they start, as machines that go take them along
DEATHS = 10
#: Seconds in which a cluster answers, and in which another job gives back what it held
PATIENCE = 5
#: How HTTP/2 begins, with a frame of settings, whose type is the fourth byte
HTTP2 = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0'
REMEDY = (
    'begin one with ray start --head, join it on this machine with ray start --address=HOST:6379, or leave --address '
    'out'
)
#: In the place of a result: the work has failed, by a mistake of the user's or by a fault
MISTAKE, FAULT = -1, -2


class Pool(NamedTuple):
    """Actors of a cluster.

    Attributes:
        actors (int): How many there may be.
        cpus (int): CPUs of each.
        gpus (int): GPUs of each, 0 or 1.
    """

    actors: int
    cpus: int
    gpus: int

    def part_size(self, videos: int, job: Job) -> int:
        """Return how many videos an actor is given at once, which are done again where it dies: whole batches."""
        size = min(max(videos // (self.actors * SHARE), 1), MOST)
        return -(-size // job.batch_size) * job.batch_size


def run_on_ray(job: Job, videos: Sequence[str], args: argparse.Namespace) -> Generator[Result, None, None]:
    """Yield what becomes of each video, see :func:`mmtsf.batch.engine.run`; its value passes through Ray, and must be
    short."""
    with joined(args.address):
        pool = pool_for(job, args.device if job.has_model else 'cpu')
        size = pool.part_size(len(videos), job)
        yield from work(job, videos, pool, args.workers, size, places_of(len(videos), size))


@contextmanager
def joined(address: str | None) -> Iterator[None]:
    """Join a cluster inside, or start Ray on this machine alone, whatever else runs here.

    Args:
        address (str, optional): ``HOST`` or ``HOST:PORT``; ``auto`` for the cluster that this machine is in; ``local``
            or None for one of its own.

    Raises:
        OSError: If there is no such cluster.
    """
    if ray.is_initialized():  # whoever has done it ends it
        yield
        return
    logging.getLogger('ray.data').setLevel(logging.ERROR)
    where: dict[str, Any] = dict(
        address=cluster_address(os.environ.get('RAY_ADDRESS', address) if address == 'auto' else address)
    )
    if where['address'] == 'local':
        where |= dict(num_cpus=num_cores(), object_store_memory=STORE, include_dashboard=False)
    elif where['address'] != 'auto':
        _ask(where['address'])
    before = signal.getsignal(signal.SIGTERM)
    try:
        with _without_stderr():
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **where)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConnectionError(
            f'no Ray cluster can be joined at {where["address"]}: {str(error).splitlines()[0]}; {REMEDY}'
        ) from error
    finally:  # what Ray has put in its place ends the process with 1
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
    try:
        with compat.without_lines_of_ray():
            yield
    finally:
        ray.shutdown()


def _ask(address: str) -> None:
    """Check that something answers as a Ray cluster does, by HTTP/2: Ray itself would try it for minutes.

    Raises:
        ConnectionError: If nothing does.
    """
    host, _, port = address.rpartition(':')
    try:
        with socket.create_connection((host.strip('[]'), int(port)), PATIENCE) as asked:
            asked.sendall(HTTP2)
            if asked.recv(9)[3:4] == HTTP2[-6:-5]:
                return
            found = 'what answers there is no Ray cluster'
    except OSError as error:
        found = str(error)
    raise ConnectionError(f'no Ray cluster can be joined at {address}: {found}; {REMEDY}')


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Keep off the screen what Ray's native part says of itself inside; errors are raised."""
    sys.stderr.flush()
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def pool_for(job: Job, device: str | None) -> Pool:
    """Return the actors that a cluster has room for: one a GPU where there are any for a job with a model, else one for
    up to :data:`CPUS` CPUs; of equal size, so that as few GPUs or CPUs as can be have nothing to do.

    Raises:
        ValueError: If there is none that has CPUs.
    """
    nodes = [node['Resources'] for node in ray.nodes() if node['Alive']]
    room = [(int(node.get('CPU', 0)), int(node.get('GPU', 0))) for node in nodes]
    if job.has_model and device != 'cpu' and any(gpus for _, gpus in room):

        def actors(each: int) -> int:
            return sum(min(gpus, cpus // each) for cpus, gpus in room)

        if idle := sum(gpus for _, gpus in room) - actors(1):
            told = f'there is no CPU for {counted(idle, "GPU")} of the Ray cluster, and each needs one'
            remedy = 'start their machines with --num-cpus of at least the number of their GPUs'
            if not actors(1):
                raise ValueError(f'{told}; {remedy}, or give --device cpu')
            print(f'{told}, without which it stays idle; {remedy}', file=sys.stderr, flush=True)
        each = max(each for each in range(1, max(cpus for cpus, _ in room) + 1) if actors(each) == actors(1))
        return Pool(actors(each), each, 1)
    count = sum(cpus for cpus, _ in room)
    if not count:
        raise ValueError('the Ray cluster has no whole CPU; start its machines with --num-cpus of at least 1')
    used = {each: sum(cpus // each for cpus, _ in room) for each in range(1, CPUS + 1)}
    each = max(each for each, actors in used.items() if actors * each >= USED * count)
    return Pool(used[each], each, 0)


def _say_if_it_waits(pool: Pool) -> None:
    """Say once that other jobs of the cluster hold what the first actor needs."""
    needs, end = dict(CPU=pool.cpus, GPU=pool.gpus), time.monotonic() + PATIENCE
    while missing := [name for name, number in needs.items() if ray.available_resources().get(name, 0) < number]:
        if time.monotonic() > end:
            print(
                f'waiting for {needs[missing[0]]} {missing[0]} that other jobs of the Ray cluster hold; ray status '
                'tells what is in use',
                file=sys.stderr,
                flush=True,
            )
            return
        time.sleep(0.2)


def work(
    job: Job,
    videos: Sequence[str],
    pool: Pool,
    workers: int | None,
    size: int,
    left: dict[int, list[int]],
    parts: Parts | None = None,
) -> Generator[Result, None, None]:
    """Yield what becomes of each video.

    Args:
        job (Job): What is done with each.
        videos (Sequence[str]): Their names.
        pool (Pool): The actors.
        workers (int, optional): Processes of each that read videos. Defaults to None: one a CPU.
        size (int): Videos that an actor is given at once.
        left (dict[int, list[int]]): What is left to do, see :meth:`Parts.left`.
        parts (Parts, optional): Where values are kept. Defaults to None: nowhere.

    Raises:
        RuntimeError: If the work has failed on a machine.
        ValueError: If that tells of a user's mistake.
    """
    check_machines([*job.paths(), *([str(parts.folder)] if parts else [])])
    rows = [
        dict(part=number, places=places, videos=_encoded(videos[number * size : (number + 1) * size]))
        for number, places in left.items()
    ]
    if not rows:
        return
    _say_if_it_waits(pool)
    threads = int(os.environ.get('OMP_NUM_THREADS', 0))
    context = DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.max_consecutive_actor_init_deaths = DEATHS
    results = from_items(rows, override_num_blocks=len(rows)).map_batches(
        Worker,
        fn_constructor_args=(cloudpickle.dumps((job, parts)), workers or pool.cpus, threads or pool.cpus, os.getcwd()),
        compute=ActorPoolStrategy(min_size=1, max_size=pool.actors, initial_size=pool.actors),
        batch_size=1,
        num_cpus=pool.cpus,
        num_gpus=pool.gpus,
    )
    for batch in results.iter_batches(batch_size=None, prefetch_batches=0):
        for part, place, value, reason in zip(*(batch[name] for name in ('part', 'place', 'value', 'reason'))):
            told = os.fsdecode(reason)
            if place == MISTAKE:
                raise ValueError(told)
            if place == FAULT:
                raise RuntimeError(f'the work has failed on a machine of the cluster:\n{told}')
            yield Result(int(part) * size + int(place), pickle.loads(value), told)


def _encoded(names: Sequence[str]) -> list[bytes]:
    return [os.fsencode(name) for name in names]  # names of files are bytes


class Worker:
    """What an actor does with a part of the videos.

    Args:
        work (bytes): Pickled, as they bring slow imports: what is done with each, and where values are kept, if at all.
        workers (int): Processes that read videos.
        threads (int): Threads of the model, on whose number the last bits of results depend.
        folder (str): Where the command was started, which paths start from.
    """

    def __init__(self, work: bytes, workers: int, threads: int, folder: str) -> None:
        torch.set_num_threads(threads)
        self.work, self.workers = work, workers
        self.engine: LocalEngine | None = None
        self.parts: Parts | None = None
        with suppress(OSError):  # absolute paths need no such folder
            os.chdir(folder)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list]:
        """Return places and reasons of a part's videos; the line of a failure, as Ray would wrap the error."""
        part, places = int(batch['part'][0]), batch['places'][0].tolist()
        videos = [os.fsdecode(name) for name in batch['videos'][0]]
        try:
            self.engine = engine = self.engine or self._begin()
            done = engine.run(videos[place] for place in places)
            results: Iterator[Result] = (result._replace(place=places[result.place]) for result in done)
            if self.parts:
                write = self.parts.write if len(places) == len(videos) else self.parts.mend
                results = write(part, videos, results, engine.job)
            found = list(results)
        except Exception as error:
            told = mistake(error)
            found = [Result(FAULT if told is None else MISTAKE, None, told or traceback.format_exc())]
        reasons = _encoded([result.reason for result in found])
        values = [pickle.dumps(result.value) for result in found]
        return dict(part=[part] * len(found), place=[result.place for result in found], value=values, reason=reasons)

    def _begin(self) -> LocalEngine:
        with for_prediction():  # else each actor would take twice as long to start
            from .local import LocalEngine

            job, self.parts = pickle.loads(self.work)
        return LocalEngine(job, self.workers)
