"""The decoder ``faulty``, which does to files of certain names what decoders do to broken files."""

import os
import signal
import time
from pathlib import Path

from mmtsf.datasets.decoders import DECODERS, Limits, VideoReader


def faulty(path: str, limits: Limits = Limits()) -> VideoReader:
    """PyAV's reader; at ``crash.mp4`` the process dies, at ``hang.mp4`` it hangs, at ``wait.mp4`` the first time."""
    name, met = Path(path).stem, Path(path).with_suffix('.met')
    if name == 'crash':
        os.kill(os.getpid(), signal.SIGSEGV)
    if name == 'hang':
        time.sleep(3600)
    if name == 'wait' and not met.exists():
        met.with_suffix('.part').write_text(str(os.getpid()))
        met.with_suffix('.part').rename(met)
        time.sleep(3600)
    return DECODERS['pyav'](path, limits)


DECODERS['faulty'] = faulty
