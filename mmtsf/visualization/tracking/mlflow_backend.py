"""Log a run to MLflow: to a server, or to a database file."""

import atexit
import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from mmtsf.registry import VISBACKENDS
from mmtsf.visualization.video_writer import write_video

from .tracker import Tracker, curves, errors_of

REMEDY = (
    'MLFLOW_TRACKING_URI, or logs.mlflow.uri, names a server, or a file that can be written, as sqlite:///mlflow.db'
)
#: Tag with the name of the run in our checkpoints
TAG = 'mmtsf.run_id'
#: Times that a server is asked again, where MLflow's own is 7, which take four minutes
RETRIES = {'MLFLOW_HTTP_REQUEST_MAX_RETRIES': '3'}
#: Most letters of a parameter, and parameters that are sent at a time
LETTERS, AT_A_TIME = 6000, 100


@VISBACKENDS.register_module()
class MLflowBackend(Tracker):
    """Log to MLflow: the config, curves over iterations and epochs, validation clips as pictures and videos.

    In the place of MMEngine's ``MLflowVisBackend``, which begins a new run when a training is resumed, logs the config
    at the end alone, and to a folder of files by default, which MLflow refuses since version 3.

    Args:
        save_dir (str): See :class:`Tracker`.
        experiment (str): Name of the experiment. Defaults to ``'mmtsf'``.
        name (str, optional): Name of the run. Defaults to None: that of the work dir.
        uri (str, optional): Server, or database. Defaults to None: ``MLFLOW_TRACKING_URI``, or ``mlflow.db`` in the
            current folder.
    """

    def __init__(
        self, save_dir: str, experiment: str = 'mmtsf', name: str | None = None, uri: str | None = None
    ) -> None:
        super().__init__(save_dir)
        self.told = dict(experiment=experiment, name=name, uri=uri)
        self.client: Any = None
        self.run: str | None = None
        self.experiment_id: str | None = None

    def check(self) -> None:
        """Ask for the experiment, which is made if there is none.

        Raises:
            OSError: If the server or the database does not answer.
        """
        import mlflow
        from mlflow.tracking import MlflowClient

        for name, value in RETRIES.items():
            os.environ.setdefault(name, value)
        with errors_of('log_to=mlflow', _errors(), REMEDY):
            self.client = MlflowClient(self.told['uri'] or mlflow.get_tracking_uri())
            found = self.client.get_experiment_by_name(self.told['experiment'])
            self.experiment_id = found.experiment_id if found else self._new_experiment()

    def _new_experiment(self) -> str:
        """Make the experiment; clips lie beside a database file, wherever the command runs."""
        place = re.fullmatch(r'sqlite:///([^?]+)', self.client.tracking_uri)
        clips = (Path(place[1]).resolve().parent / 'mlruns').as_uri() if place else None
        return self.client.create_experiment(self.told['experiment'], artifact_location=clips)

    def _init_env(self) -> None:
        if self.client is None:
            self.check()
        name = self.told['name'] or self.work_dir.resolve().name
        with errors_of('log_to=mlflow', _errors(), REMEDY):
            found = self.client.search_runs([self.experiment_id], f"tags.`{TAG}` = '{(own := self.run_id())}'")
            run = found[0] if found else self.client.create_run(self.experiment_id, tags={TAG: own}, run_name=name)
            self.run = run.info.run_id
            self.client.update_run(self.run, 'RUNNING')
            self.client.log_dict(self.run, _plain(self.config), 'config.json')
            self._log_parameters(run.data.params)
        atexit.register(self._leave)

    def _log_parameters(self, known: dict[str, str]) -> None:
        """Log the config's values that the run does not have, which MLflow does not change."""
        from mlflow.entities import Param

        from mmtsf.engine.runner.run_record import flat  # which imports this package

        told = {_name(name): str(value)[:LETTERS] for name, value in flat(_plain(self.config))}
        params = [Param(name, value) for name, value in told.items() if name not in known]
        for start in range(0, len(params), AT_A_TIME):
            self.client.log_batch(self.run, params=params[start : start + AT_A_TIME])

    @property
    def experiment(self) -> Any:
        """MLflow's client, which logs by the name of the run (``run``)."""
        self.begin()
        return self.client

    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: str | None = None, **kwargs: Any) -> None:
        """Log values at the iteration or the epoch that they are of."""
        from mlflow.entities import Metric

        client, now = self.experiment, int(1000 * time.time())
        metrics = [Metric(_name(name), value, now, step) for name, value in curves(scalar_dict, step)[1].items()]
        with errors_of('log_to=mlflow', _errors(), REMEDY):
            client.log_batch(self.run, metrics=metrics)

    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs: Any) -> None:
        """Log a picture of an epoch."""
        client = self.experiment
        with errors_of('log_to=mlflow', _errors(), REMEDY):
            client.log_image(self.run, image, f'clips/{name}_{step}.png')

    def add_video(self, name: str, frames: list[np.ndarray], step: int, fps: float) -> None:
        """Log a video of an epoch."""
        client = self.experiment
        with tempfile.TemporaryDirectory() as folder, errors_of('log_to=mlflow', _errors(), REMEDY):
            path = Path(folder, f'{name}_{step}.mp4')
            write_video(path, frames, fps)
            client.log_artifact(self.run, str(path), 'clips')

    def close(self) -> None:
        """End the run."""
        self._end('FINISHED')

    def _leave(self) -> None:
        """Mark a run that the process leaves before its end."""
        self._end('FAILED')

    def _end(self, status: str) -> None:
        if self.run is not None:
            atexit.unregister(self._leave)
            run, self.run, self._env_initialized = self.run, None, False
            with errors_of('log_to=mlflow', _errors(), REMEDY):
                self.client.set_terminated(run, status)


def _errors() -> tuple[type[Exception], ...]:
    from mlflow.exceptions import MlflowException

    return (MlflowException,)


def _name(name: str) -> str:
    """Return a name with the letters that MLflow takes."""
    return re.sub(r'[^\w\-. /]', '_', name, flags=re.ASCII)[:250]


def _plain(config: dict) -> dict:
    from mmtsf.engine.runner.run_record import plain_settings  # which imports this package

    return plain_settings(config)
