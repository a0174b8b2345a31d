"""Write what a run logs to files, and to the trackers that its config names."""

import difflib
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
from mmaction.visualization import ActionVisualizer
from mmengine.config import Config
from mmengine.dist import is_main_process, master_only

from mmtsf.registry import VISUALIZERS

from .loggable import without_secret_values
from .tracker import Tracker

#: The word for files alone
FILES = 'files'
#: Packages of backends that are imported when they are used
PACKAGES = {'TensorboardVisBackend': 'tensorboard', 'WandbBackend': 'wandb', 'MLflowBackend': 'mlflow'}


@VISUALIZERS.register_module()
class RunVisualizer(ActionVisualizer):
    """MMAction2's visualizer, with backends by the names of a table, and with configs that hold no secrets.

    A backend that cannot work is told when the run is built. What is logged goes to files always. The main process
    alone logs.

    Args:
        name (str): Its name in MMEngine. Defaults to ``'visualizer'``.
        log_to (str | Iterable[str]): Names of backends in ``logs``, or ``'files'``. Defaults to ``'files'``.
        logs (dict[str, dict]): Configs of backends by their names. Defaults to ``{}``.
        save_dir (str, optional): ``WORK_DIR/TIME``. Defaults to None: nothing is written.

    Raises:
        ModuleNotFoundError: If a package is missing.
        OSError: If a server cannot be reached, or refuses.
        ValueError: If there is no backend of a name.
    """

    def __init__(
        self,
        name: str = 'visualizer',
        log_to: str | Iterable[str] = FILES,
        logs: dict[str, dict] = {},
        save_dir: str | None = None,
    ) -> None:
        names = names_of_trackers(log_to, logs)
        for package in filter(None, (PACKAGES.get(str(logs[name]['type'])) for name in names)):
            import_module(package)
        #: Whether anything but files is logged to, which pictures are drawn for
        self.shows_pictures = bool(names)
        backends = [dict(type='LocalVisBackend'), *(dict(logs[name]) for name in names)]
        super().__init__(name, backends, save_dir)
        for tracker in self._trackers() if is_main_process() else ():
            tracker.check()

    def _trackers(self) -> Iterator[Tracker]:
        yield from (backend for backend in self._vis_backends.values() if isinstance(backend, Tracker))

    @master_only
    def begin(self) -> None:
        """Open the runs of trackers."""
        for tracker in self._trackers():
            tracker.begin()

    @master_only
    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Log the config without its secrets."""
        super().add_config(Config(without_secret_values(config.to_dict())), **kwargs)

    @master_only
    def add_video(self, name: str, frames: list[np.ndarray], step: int, fps: float = 4) -> None:
        """Log a video to trackers. Files have the picture, and TensorBoard would need another package (moviepy).

        Args:
            name (str): Its name.
            frames (list[np.ndarray]): RGB ``(H, W, 3)`` uint8.
            step (int): Epoch.
            fps (float): Frames a second. Defaults to 4.
        """
        for tracker in self._trackers():
            tracker.add_video(name, frames, step, fps)


def names_of_trackers(log_to: Any, logs: dict[str, dict]) -> list[str]:
    """Return the names of backends that a word or a list of words chooses, without ``'files'``.

    Raises:
        ValueError: If there is none of a name, or it has no type.
    """
    words = [log_to] if isinstance(log_to, str) else list(log_to) if isinstance(log_to, (list, tuple)) else None
    if not words or not all(isinstance(word, str) for word in words):
        raise ValueError(f'log_to is {log_to!r}, expected one of {", ".join([FILES, *logs])}, or a list of them')
    for word in words:
        if word != FILES and word not in logs:
            close = difflib.get_close_matches(word, [FILES, *logs], n=1)
            hint = f'did you mean {close[0]!r}?' if close else f'expected one of {", ".join([FILES, *logs])}'
            raise ValueError(f'log_to names {word!r}; {hint}')
        if word != FILES and not (isinstance(logs[word], dict) and 'type' in logs[word]):
            raise ValueError(f"logs.{word} is {logs[word]!r}, expected the config of a backend, dict(type='...')")
    return [word for word in dict.fromkeys(words) if word != FILES]
