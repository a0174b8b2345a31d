"""Make the folder of uploads and results, and tell gradio of it; import this before gradio."""

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

PREFIX = 'mmtsf-page-'


def own_folder() -> tempfile.TemporaryDirectory:
    """Make a temporary folder locked by this process, and remove the folders of pages that were killed."""
    for left in Path(tempfile.gettempdir()).glob(f'{PREFIX}*'):
        with suppress(OSError):  # it is another user's, or its page lives
            lock = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left)
            finally:
                os.close(lock)
    while True:
        folder = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
        fcntl.flock(os.open(folder.name, os.O_RDONLY), fcntl.LOCK_EX)
        if Path(folder.name).exists():  # else another page that starts took it for a killed one's
            return folder


FOLDER = own_folder()
CACHE, WORK = Path(FOLDER.name, 'cache').resolve(), Path(FOLDER.name, 'work').resolve()
CACHE.mkdir()
WORK.mkdir()
# read on import
os.environ.update(GRADIO_TEMP_DIR=str(CACHE), GRADIO_EXAMPLES_CACHE=str(CACHE / 'examples'))
os.environ.update(GRADIO_ANALYTICS_ENABLED='False', GRADIO_ANALYTICS_MAX_EVENTS='100')


def below(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """List files and folders below a folder, contents first."""
    for parent, folders, files in os.walk(folder, topdown=False):  # passes over what is deleted meanwhile
        for path in (os.path.join(parent, name) for name in (*files, *folders)):
            with suppress(FileNotFoundError):
                yield path, os.lstat(path)


def delete_old(kept: Collection[str], seconds: float) -> None:
    """Delete what gradio does not delete itself: interrupted uploads, empty folders.

    Args:
        kept (Collection[str]): Files that stay.
        seconds (float): Age above which others go.
    """
    for path, found in below(CACHE):
        if path not in kept and time.time() - found.st_ctime > seconds:
            with suppress(OSError):  # deleted since, or a folder that is not empty
                os.rmdir(path) if stat.S_ISDIR(found.st_mode) else os.unlink(path)


def clean(page: Any) -> None:
    """Delete expired files of a page periodically."""
    frequency, keep = page.delete_cache
    while True:
        time.sleep(frequency)
        kept = {path for block in page.blocks.values() for path in getattr(block, 'keep_in_cache', ())}
        delete_old(kept, keep + 2 * frequency)
