"""Classify many videos, in MMEngine's form of an inferencer."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmaction.models import BaseRecognizer
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.infer import BaseInferencer

from mmtsf.datasets.decoders import BrokenVideoError
from mmtsf.registry import INFERENCERS
from mmtsf.utils.devices import find_device

from .recognizer import build_pipeline, init_recognizer, resolved
from .video_inputs import name_of, to_sample, to_samples


@INFERENCERS.register_module()
class TimeSformerInferencer(BaseInferencer):
    """Classify videos, by the test protocol of a config.

    Args:
        model (str | Path | Config | dict): Config file, name of a shipped config, or config in any state.
        weights (str, optional): Checkpoint of any known origin. Defaults to None: random weights, and
            a warning that says so.
        device (str, optional): Where it computes. Defaults to None: the best there is, see
            :func:`mmtsf.utils.devices.find_device`.
        scope (str): Where names of the config are looked up first. Defaults to ``'mmtsf'``.
        show_progress (bool): Whether a progress bar is drawn. Defaults to False.
        options (dict, optional): Changes to the config by dotted keys, e.g. ``{'views.num_clips': 10}``. Defaults to
            None.
        fused (bool): Whether neighbouring linear layers are merged. Defaults to False.

    Examples:
        >>> inferencer = TimeSformerInferencer('configs/timesformer_base_k400.py', 'checkpoint.pth')
        >>> inferencer(['one.mp4', 'two.mp4'], batch_size=2)['predictions'][0]['names']
    """

    preprocess_kwargs = {'skip_broken'}
    postprocess_kwargs = {'topk'}

    def __init__(
        self,
        model: str | Path | Config | dict,
        weights: str | Path | None = None,
        device: str | None = None,
        scope: str = 'mmtsf',
        show_progress: bool = False,
        options: dict | None = None,
        fused: bool = False,
    ) -> None:
        self._fused, place = fused, str(find_device(device))
        config = resolved(model, options)
        super().__init__(config, None if weights is None else str(weights), place, scope, show_progress)

    def __call__(
        self,
        inputs: Any,
        return_datasamples: bool = False,
        batch_size: int = 1,
        topk: int = 5,
        skip_broken: bool = False,
    ) -> dict:
        """Classify videos.

        Args:
            inputs: A video in any form that :func:`to_sample` takes, a folder of videos, a pattern of paths, or a list
                of these. A list of frames is one video.
            return_datasamples (bool): Whether predictions are MMAction2's data samples. Defaults to False.
            batch_size (int): Videos at once. Defaults to 1.
            topk (int): Classes named of each video. Defaults to 5.
            skip_broken (bool): Whether a video that cannot be read gets a prediction with nothing but ``error``.
                Defaults to False.

        Raises:
            BrokenVideoError: If a video cannot be read, without ``skip_broken``.

        Returns:
            dict: ``predictions``, one a video: ``video``, the best classes' ``labels``, ``names`` and ``scores``, and
            ``times``, beginning and end of every clip in seconds (None where nothing tells the rate); or ``video`` and
            ``error``. ``visualization`` is empty.
        """
        return super().__call__(inputs, return_datasamples, batch_size, topk=topk, skip_broken=skip_broken)

    def _init_model(self, cfg: Config, weights: str | None, device: str = 'cpu') -> BaseRecognizer:
        return init_recognizer(cfg, weights, device, fused=self._fused)

    def _init_pipeline(self, cfg: Config) -> Callable:
        return build_pipeline(self.model)

    def _init_collate(self, cfg: Config) -> Callable:
        return pseudo_collate

    def _init_visualizer(self, cfg: Config) -> None:
        return None

    def _inputs_to_list(self, inputs: Any) -> list:
        return to_samples(inputs)

    def preprocess(self, inputs: list, batch_size: int = 1, skip_broken: bool = False) -> Iterator[list[dict]]:
        """Samples of so many videos at once; of a broken one, the error under ``data_samples``."""
        for first in range(0, len(inputs), batch_size):
            yield [self._read(video, skip_broken) for video in inputs[first : first + batch_size]]

    def _read(self, video: Any, skip_broken: bool) -> dict:
        try:
            return self.read(video)
        except BrokenVideoError as error:
            if not skip_broken:
                raise BrokenVideoError(name_of(video), error.reason) from error
            return self.refusal(name_of(video), error.reason)

    def read(self, video: Any) -> dict:
        """Decode the views of a video, and pack them as a sample.

        Raises:
            BrokenVideoError: If it cannot be read.
        """
        sample = self.pipeline(to_sample(video))
        sample['data_samples'].set_metainfo(dict(filename=name_of(video)))  # not every pipeline packs it
        return sample

    @staticmethod
    def refusal(name: str, reason: str) -> dict:
        """Return what stands for the sample of a video that cannot be read."""
        return dict(inputs=torch.empty(0), data_samples=ActionDataSample(metainfo=dict(filename=name, error=reason)))

    @torch.no_grad()
    def forward(self, inputs: list[dict]) -> list[ActionDataSample]:
        """Data samples with scores; views of one shape are classified together."""
        results: list[ActionDataSample] = []
        for shape, group in groupby(inputs, lambda sample: sample['inputs'].shape):
            samples = list(group)
            is_broken = not shape.numel()
            results += (
                [s['data_samples'] for s in samples] if is_broken else self.model.test_step(self.collate_fn(samples))
            )
        return results

    def visualize(self, inputs: list, preds: list, **_: Any) -> list:
        """Nothing; ``mmtsf attention`` draws."""
        return []

    def postprocess(
        self, preds: list[ActionDataSample], visualization: list, return_datasamples: bool = False, topk: int = 5
    ) -> dict:
        """Predictions as plain values."""
        predictions = preds if return_datasamples else [self._plain(sample, topk) for sample in preds]
        return dict(predictions=predictions, visualization=visualization)

    def _plain(self, sample: ActionDataSample, topk: int) -> dict:
        if 'error' in sample:
            return dict(video=sample.filename, error=sample.error)
        best = best_classes(sample.pred_scores.item.cpu().numpy(), self.model.dataset_meta['classes'], topk)
        return dict(video=sample.filename, **best, times=_times(sample))


def best_classes(scores: np.ndarray, classes: Sequence[str], topk: int) -> dict:
    """``labels``, ``names`` and ``scores`` of the best classes, of the scores ``(K,)`` of all."""
    labels = np.argsort(-scores, kind='stable')[:topk].tolist()
    return dict(labels=labels, names=[classes[label] for label in labels], scores=scores[labels].tolist())


def _times(sample: ActionDataSample) -> list[tuple[float, float]] | None:
    """Beginning and end of every clip in seconds; None where the pipeline does not tell."""
    times, num_clips = sample.get('frame_times'), sample.get('num_clips')
    if num_clips and times is None and sample.get('avg_fps') and sample.get('frame_inds') is not None:
        times = (sample.frame_inds[:, None] + np.array([0, 1])) / sample.avg_fps  # decoded by a transform of MMAction2
    if not num_clips or times is None:
        return None
    return [(float(clip.min()), float(clip.max())) for clip in np.split(times, num_clips)]
