"""Log a run to Weights & Biases, or to files of it that are sent later."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmtsf.registry import VISBACKENDS
from mmtsf.visualization.video_writer import write_video

from .tracker import Tracker, curves, errors_of

#: What to do where W&B does not answer
REMEDY = 'wandb login, or WANDB_API_KEY, gives a key; WANDB_MODE=offline writes files that wandb sync sends later'
#: Modes that ask no server
WITHOUT_SERVER = ('offline', 'disabled', 'dryrun')


@VISBACKENDS.register_module()
class WandbBackend(Tracker):
    """Log to Weights & Biases: the config, curves over iterations and epochs, validation clips as pictures and videos.

    In the place of MMEngine's ``WandbVisBackend``, which begins a new run when a training is resumed, has no epochs,
    uploads the code in the current folder, and ends by ``wandb.join``, which wandb has no longer. Neither code, the
    command line, the state of git, the list of packages nor the screen is sent.

    Args:
        save_dir (str): See :class:`Tracker`.
        project (str): Project. Defaults to ``'mmtsf'``.
        entity (str, optional): User or team. Defaults to None: W&B's own default.
        name (str, optional): Name of the run. Defaults to None: that of the work dir.
        group (str, optional): Group of runs. Defaults to None: ``WANDB_RUN_GROUP``.
        tags (Iterable[str]): Tags. Defaults to ``()``.
        mode (str, optional): ``'online'``, ``'offline'`` or ``'disabled'``. Defaults to None: ``WANDB_MODE``, or
            online.
    """

    def __init__(
        self,
        save_dir: str,
        project: str = 'mmtsf',
        entity: str | None = None,
        name: str | None = None,
        group: str | None = None,
        tags: Iterable[str] = (),
        mode: str | None = None,
    ) -> None:
        super().__init__(save_dir)
        self.told: dict[str, Any] = dict(project=project, entity=entity, name=name, group=group, tags=list(tags))
        self.mode: Any = mode or os.environ.get('WANDB_MODE') or 'online'
        self.axes: set[str] = set()
        self.run: Any = None

    def check(self) -> None:
        """Ask the server whether the key is valid, if there is to be a server.

        Raises:
            OSError: If there is no key, it is not valid, or the server cannot be reached.
        """
        import wandb

        if self.mode not in WITHOUT_SERVER:
            with errors_of('log_to=wandb', (wandb.Error,), REMEDY):
                if not wandb.login(prompt=False):
                    raise wandb.Error('there is no API key')

    def _init_env(self) -> None:
        import wandb

        settings = wandb.Settings(
            console='off',
            disable_code=True,
            disable_git=True,
            save_code=False,
            silent=True,
            x_disable_meta=True,
            x_save_requirements=False,
        )
        told = self.told | dict(name=self.told['name'] or self.work_dir.resolve().name)
        self.work_dir.mkdir(parents=True, exist_ok=True)
        with errors_of('log_to=wandb', (wandb.Error,), REMEDY):
            self.run = wandb.init(
                **told,
                id=self.run_id(),
                resume='allow',
                dir=str(self.work_dir),
                config=self.config,
                mode=self.mode,
                settings=settings,
                allow_val_change=True,
            )

    @property
    def experiment(self) -> Any:
        """The run of wandb."""
        self.begin()
        return self.run

    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: str | None = None, **kwargs: Any) -> None:
        """Log values over the iteration or the epoch that they are of."""
        axis, values = curves(scalar_dict, step)
        self._log(axis, values, step)

    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs: Any) -> None:
        """Log a picture of an epoch."""
        import wandb

        with tempfile.TemporaryDirectory() as folder:  # wandb's own goes with the first process that forked and ended
            path = Path(folder, f'{name}.png')
            Image.fromarray(image).save(path)
            self._log('epoch', {name: wandb.Image(str(path))}, step)

    def add_video(self, name: str, frames: list[np.ndarray], step: int, fps: float) -> None:
        """Log a video of an epoch."""
        import wandb

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f'{name}.mp4')
            write_video(path, frames, fps)
            self._log('epoch', {f'{name}_video': wandb.Video(str(path), format='mp4')}, step)

    def _log(self, axis: str, values: dict[str, Any], step: int) -> None:
        import wandb

        run = self.experiment
        with errors_of('log_to=wandb', (wandb.Error,), REMEDY):
            for name in values.keys() - self.axes:
                run.define_metric(name, step_metric=axis)
            run.log(values | {axis: step})
        self.axes |= values.keys()

    def close(self) -> None:
        """End the run."""
        if self.run is not None:
            self.run.finish()
            self.run = None
