"""Name a run for a tracker, and tell iterations from epochs in what is logged."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.visualization import BaseVisBackend
from torch import Tensor

#: What MMEngine logs of a validation by the names that it has for training
OF_BOTH = ('time', 'data_time')
#: Counters, which are axes of the curves
COUNTERS = ('iter', 'epoch', 'step')


class Tracker(BaseVisBackend):
    """Send curves, config and clips of a run to a server, or to files that such a server reads.

    It begins when the training does, as then the run has its name: a resumed training goes on in the same run.

    Args:
        save_dir (str): ``WORK_DIR/TIME/vis_data``.
    """

    _env_initialized: bool

    def __init__(self, save_dir: str) -> None:
        super().__init__(save_dir)
        self.config: dict = {}

    def check(self) -> None:
        """Refuse to begin without the package, rights or the server.

        Raises:
            ModuleNotFoundError: If the package is missing.
            OSError: If the server cannot be reached, or refuses.
        """

    def begin(self) -> None:
        """Open the run."""
        if not self._env_initialized:
            self._init_env()
            self._env_initialized = True

    @property
    def work_dir(self) -> Path:
        """The run's work dir."""
        return Path(self._save_dir).parents[1]

    def run_id(self) -> str:
        """Return the name of the run, the same in all its checkpoints; a new one where the work dir has none."""
        from mmtsf.engine.runner.work_dir import name_of  # which imports this package

        return re.sub(r'[^\w-]', '_', name_of(self.work_dir) or uuid.uuid4().hex)[:64]

    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Keep the config until the run begins."""
        self.config = config.to_dict()

    def add_scalar(self, name: str, value: Any, step: int = 0, **kwargs: Any) -> None:
        """Log one value."""
        self.add_scalars({name: value}, step)

    def add_video(self, name: str, frames: list[np.ndarray], step: int, fps: float) -> None:
        """Log a video of an epoch, RGB ``(H, W, 3)`` uint8; nothing where the tracker shows none."""


def curves(scalars: dict[str, Any], step: int) -> tuple[str, dict[str, float]]:
    """Return the axis of what is logged at a time, ``'iteration'`` or ``'epoch'``, and the values by their names."""
    axis = 'iteration' if 'iter' in scalars else 'epoch'
    told = {name: value for name, value in scalars.items() if name not in COUNTERS and is_number(value)}
    return axis, {
        f'val/{name}' if axis == 'epoch' and name in OF_BOTH else name: float(value) for name, value in told.items()
    }


def is_number(value: Any) -> bool:
    """Return whether a value is one number."""
    if isinstance(value, (Tensor, np.ndarray)):
        return value.size == 1 if isinstance(value, np.ndarray) else value.numel() == 1
    return isinstance(value, (int, float, np.number))


@contextmanager
def errors_of(tracker: str, kinds: tuple[type[Exception], ...], remedy: str) -> Iterator[None]:
    """Tell errors of a tracker's package, and of the files that it writes, that are raised inside as one line.

    Raises:
        OSError: In their place.
    """
    met: tuple[type[Exception], ...] = (*kinds, OSError)
    try:
        yield
    except met as error:
        told = ' '.join(str(error).split()) or type(error).__name__
        raise OSError(f'{tracker}: {told[:300]}; {remedy}') from None
