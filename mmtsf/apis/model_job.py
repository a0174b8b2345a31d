"""Decode many videos for a model, and compute what it makes of them, on either engine."""

import argparse
import os

from mmaction.models import BaseRecognizer

from mmtsf.batch.job import Job
from mmtsf.config import load_config
from mmtsf.engine.launch import keep_freed_memory
from mmtsf.utils.arguments import parsed
from mmtsf.utils.locations import is_address
from mmtsf.weights.sources import local_path

from .recognizer import build_pipeline, init_recognizer
from .video_inputs import to_sample

#: Seconds after which a video is taken for broken, unless others are given
TIME_LIMIT = 300


class ModelJob(Job):
    """Base of jobs with a model: decoding is done in processes of its own, ahead of the model.

    Args:
        args (argparse.Namespace): ``config``, ``checkpoint``, ``cfg_options``, ``device`` and ``time_limit``.
    """

    in_order = True
    has_model = True

    def __init__(self, args: argparse.Namespace) -> None:
        self.config, self.checkpoint, self.device = args.config, args.checkpoint, args.device
        self.options, self.time_limit = parsed(args.cfg_options), args.time_limit or TIME_LIMIT

    def load(self) -> None:
        """Load the model, and build the pipeline of its config's test protocol."""
        self._model = init_recognizer(self.config, self.checkpoint, self.device, options=self.options, fused=True)
        self._pipeline = build_pipeline(self._model)
        keep_freed_memory(self._model.data_preprocessor.device)

    @property
    def model(self) -> BaseRecognizer:
        """Return the model that was loaded."""
        return self._model

    def prepare(self, video: str) -> dict:
        """Decode the views of a video."""
        return self._pipeline(to_sample(video))

    def paths(self) -> list[str]:
        """Return config and checkpoint, as far as they are files."""
        named = (self.config, self.checkpoint)
        return [os.path.abspath(name) for name in named if not is_address(name) and os.path.exists(name)]

    def settings(self) -> str:
        """Return all of the model that results depend on."""
        return f'{identity(self.checkpoint)}\n{load_config(self.config, self.options).to_dict()}'


def identity(checkpoint: str) -> str:
    """Identify a checkpoint and its version."""
    path = local_path(checkpoint).resolve()
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return '\n'.join(f'{file} {file.stat().st_size} {file.stat().st_mtime_ns}' for file in files)
