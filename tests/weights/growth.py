"""How much memory a call takes."""

import multiprocessing
import resource
from collections.abc import Callable


def growth(call: Callable[[], object]) -> tuple[str, float]:
    """The error of ``call`` in a process of its own, and by how many megabytes its memory grew."""

    def measure(queue) -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            call()
            error = ''
        except ValueError as refused:
            error = str(refused)
        queue.put((error, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))

    context = multiprocessing.get_context('fork')
    queue = context.Queue()
    process = context.Process(target=measure, args=(queue,))
    process.start()
    found = queue.get(timeout=60)
    process.join()
    return found
