"""Read videos in processes of their own: one that a decoder crashes, hangs or fills up costs its video alone."""

import io
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, TimeoutError, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pebble import CONSTS, ProcessExpired, ProcessPool

from mmtsf.datasets.decoders import BrokenVideoError
from mmtsf.utils.mistakes import mistake
from mmtsf.utils.signals import end_with_parent

from .job import Result

#: Results that are waited for beside those that are worked on, for each process
AHEAD = 2
#: Processes that read a video alone, at most, where pebble cannot tell how one has ended
ALONE = 3
#: Has the kernel choose such a process where memory is short, not the one with the model
FIRST_TO_DIE = '1000'
CONSTS.sleep_unit = 0.02  # seconds in which pebble sees that a process has ended


class IsolatedCalls:
    """Call a function with many videos, several at a time.

    Processes are pebble's. One that dies may take an answer with it that is still on its way, so a video whose process
    has died is read once more, in a new process alone: only what kills that one, too, is broken.

    Args:
        prepare (Callable): Function of a video, which raises :class:`BrokenVideoError` where that is broken.
        workers (int): Processes at a time.
        time_limit (float, optional): Seconds after which a video is taken for broken. Defaults to None: no limit.
        alone (bool): Whether each video gets a new process. Defaults to False.
    """

    def __init__(
        self, prepare: Callable[[str], Any], workers: int, time_limit: float | None = None, alone: bool = False
    ) -> None:
        self.prepare, self.workers, self.time_limit, self.alone = prepare, workers, time_limit, alone
        self.pool = _Pool(prepare, workers, alone)

    def run(self, videos: Iterable[str], in_order: bool = False) -> Generator[Result, None, None]:
        """Yield results with what the function has returned, as they come or in order; few at a time are kept.

        Raises:
            RuntimeError: If the function raises anything else.
        """
        left, pending = iter(enumerate(videos)), dict[Future, tuple[int, str]]()
        while True:
            if not self.pool.active:  # a process that had nothing to do was killed: pebble ends with it
                self.close()
                self.pool = _Pool(self.prepare, self.workers, self.alone)
            for place, video in islice(left, self.workers * AHEAD - len(pending)):
                pending[self.pool.schedule(_call, [video], timeout=self.time_limit)] = place, video
            if not pending:
                return
            ended = next(iter(pending if in_order else wait(pending, return_when=FIRST_COMPLETED).done))
            place, video = pending.pop(ended)
            yield Result(place, *self._outcome(video, ended))

    def close(self) -> None:
        """End the processes, whatever they do."""
        self.pool.end()

    def _outcome(self, video: str, future: Future, alone: int = 0) -> tuple[Any, str]:
        """Return what the function has returned, and why the video is broken, if it is."""
        try:
            answer = future.result()
        except TimeoutError:
            return None, f'it could not be read within {self.time_limit:g} s'
        except (ProcessExpired, BrokenProcessPool) as error:
            code = getattr(error, 'exitcode', None)  # None if it died before pebble knew that it had begun
            if not alone or (code is None and alone < ALONE):
                return self._once_more(video, alone + 1)
            return None, _fate(code)
        if isinstance(answer, _Failure):
            if not answer.trace:
                raise RuntimeError(f'the work on {video} failed: {answer.line}')
            print(answer.trace, file=sys.stderr)
            raise RuntimeError(f'the work on {video} failed, see above: {answer.line}')
        return (None, answer) if isinstance(answer, str) else (pickle.loads(answer), '')

    def _once_more(self, video: str, alone: int) -> tuple[Any, str]:
        pool = _Pool(self.prepare, 1)
        try:
            return self._outcome(video, pool.schedule(_call, [video], timeout=self.time_limit), alone)
        finally:
            pool.end()


class _Pool(ProcessPool):
    """Processes that are begun by a thread of their own, which lasts as long as they.

    The kernel ends them with that thread, and of any other thread they would inherit what it has to do at its end.
    """

    def __init__(self, prepare: Callable[[str], Any], workers: int, alone: bool = False) -> None:
        super().__init__(workers, int(alone), initializer=_begin, initargs=(prepare,))
        self.begun, self.ended = threading.Event(), threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()
        self.begun.wait()

    def _keep(self) -> None:
        self.is_active = self.active  # asked for it, pebble begins them
        self.begun.set()
        self.ended.wait()

    def end(self) -> None:
        """End the processes, whatever they do."""
        self.stop()
        self.join()
        self.ended.set()
        self._keeper.join()  # at the end of the interpreter, it would abort the process


def _fate(code: int | None) -> str:
    if code is None:
        return 'the process that read it has died'
    return f'the process that read it {f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"}'


# In the processes


class _Failure(NamedTuple):
    """What is wrong with the work, not with the video; without a trace if it is a mistake of the user's."""

    line: str
    trace: str


_prepare: Callable[[str], Any]


def _begin(prepare: Callable[[str], Any]) -> None:
    global _prepare
    _prepare = prepare
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # pebble has it wait for what the process does
    end_with_parent(signal.SIGKILL)
    if sys.platform == 'linux':
        with suppress(OSError):
            Path('/proc/self/oom_score_adj').write_text(FIRST_TO_DIE)
    torch.set_num_threads(1)  # what computes in threads does not survive a fork


def _call(video: str) -> bytes | str | _Failure:
    """Return what the function returns, pickled, or why the video is broken."""
    try:
        return _pickled(_prepare(video))
    except BrokenVideoError as error:
        return error.reason
    except MemoryError:
        return 'it takes more memory than there is'
    except BaseException as error:
        if (told := mistake(error)) is not None:
            return _Failure(told, '')
        return _Failure(f'{type(error).__name__}: {error}', traceback.format_exc())


def _pickled(value: Any) -> bytes:
    file = io.BytesIO()
    _Pickler(file, pickle.HIGHEST_PROTOCOL).dump(value)
    return file.getvalue()


class _Pickler(pickle.Pickler):
    """Sends tensors as arrays: PyTorch's own way would leave them with the process, which may die."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is torch.Tensor and value.dtype != torch.bfloat16:
            return torch.from_numpy, (value.detach().numpy(),)
        return NotImplemented
