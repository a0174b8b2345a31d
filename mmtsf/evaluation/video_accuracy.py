"""Measure accuracy and calibration over videos, and count the videos that were read."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmaction.evaluation import AccMetric, mmit_mean_average_precision
from mmengine.logging import MMLogger
from torch import Tensor

from mmtsf.registry import METRICS
from mmtsf.utils.ranking import ranks_of
from mmtsf.utils.text import counted, shorten

from .class_metrics import ClassTable, are_probabilities, calibration, class_table
from .result_files import write_results

#: Measures beside MMAction2's
OF_CLASSES = ('macro_f1', 'calibration')
#: MMAction2's, of one label a video, and of several
OF_ONE = ('top_k_accuracy', 'mean_class_accuracy')
OF_SEVERAL = ('mean_average_precision', 'mmit_mean_average_precision')


@METRICS.register_module()
class VideoAccuracy(AccMetric):
    """Top-1, top-5 and mean class accuracy (``mean1``), macro F1 and calibration (``ece``, ``nll``, ``brier``); mean
    average precision in the place of accuracies for several labels a video.

    Also counts the videos that were expected, found on disk and scored, and leaves the broken ones out. Means over
    classes are over those that have videos; the others are named in the log. Scores that are no probabilities have no
    calibration. Classes that the data set does not name are called by their numbers. Of classes with the same score the
    one with the lowest number comes first, in all that is measured and written.

    Args:
        metric_list (str | tuple[str, ...]): Names of MMAction2's measures; of videos with several labels, those that
            are for them, or the mean average precision. Beside them ``'macro_f1'`` and ``'calibration'``. Defaults to
            top-k and mean class accuracy and both of these.
        collect_device (str): Where results of several processes meet, ``'cpu'`` or ``'gpu'``. Defaults to ``'cpu'``.
        metric_options (dict, optional): Options of the measures. Defaults to None: ``topk``.
        prefix (str, optional): Prefix of the names. Defaults to None: ``acc``.
        topk (int | tuple[int, ...], optional): The k of the top-k accuracies. Defaults to None: 1, and 5 where there
            are more than five classes.
        out_dir (str, optional): Folder for the files of :func:`mmtsf.evaluation.result_files.write_results`. Defaults
            to None: none.

    Raises:
        ValueError: If there is no measure of a name, or a k is none.
    """

    metrics: tuple[str, ...]

    def __init__(
        self,
        metric_list: str | tuple[str, ...] = ('top_k_accuracy', 'mean_class_accuracy', *OF_CLASSES),
        collect_device: str = 'cpu',
        metric_options: dict | None = None,
        prefix: str | None = None,
        topk: int | tuple[int, ...] | None = None,
        out_dir: str | None = None,
    ) -> None:
        self._drops_top5 = topk is None and metric_options is None
        topk = (1, 5) if topk is None else topk
        options = metric_options or dict(top_k_accuracy=dict(topk=topk))
        self.topk = _checked_topk(options.get('top_k_accuracy', {}).get('topk', (1, 5)))
        names = (metric_list,) if isinstance(metric_list, str) else tuple(metric_list)
        known = (*OF_ONE, *OF_SEVERAL, *OF_CLASSES)
        if odd := [name for name in names if name not in known]:
            raise ValueError(f'metric_list has {odd[0]!r}, expected names of {", ".join(known)}')
        self.of_classes = [name for name in names if name in OF_CLASSES]
        super().__init__(tuple(name for name in names if name not in OF_CLASSES), collect_device, options, prefix)
        self.out_dir = out_dir

    @property
    def names(self) -> list[str]:
        """Names of the metrics that there may be, whatever the labels."""
        found = dict(
            top_k_accuracy=[f'top{k}' for k in self.topk], mean_class_accuracy=['mean1'], macro_f1=['macro_f1']
        )
        found['calibration'] = ['ece', 'nll', 'brier']
        of_several = [name for name in self.metrics if name in OF_SEVERAL] or ['mean_average_precision']
        asked = [name for metric in (*self.metrics, *self.of_classes) for name in found.get(metric, [])]
        return [f'{self.prefix}/{name}' for name in (*asked, *of_several)]

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep scores and labels ``(K,)`` of a batch, their videos, and which of these were broken."""
        super().process(data_batch, data_samples)
        for result, sample in zip(self.results[-len(data_samples) :], data_samples):
            result['broken'] = sample.get('broken', [])
            result['filename'] = sample.get('filename', '')
            result['average_clips'] = sample.get('average_clips')

    def compute_metrics(self, results: list[dict]) -> dict:
        """Metrics by name.

        Raises:
            RuntimeError: If no video was scored.
            ValueError: If a video has a label for which there is no score, or in a test a score that is not finite, or
                none has any label, or the measures are for another number of labels a video.
        """
        scored = [result for result in results if not result['broken']]
        missing = sum(not os.path.exists(path) for result in results for path, _ in result['broken'])
        logger = MMLogger.get_current_instance()
        words = f'videos: {len(results)} expected, {len(results) - missing} found, {len(scored)} scored'
        shown = bool(self.out_dir) or len(scored) < len(results)
        logger.info(words, extra=dict(on_screen=shown))
        for _, reason in (entry for result in results for entry in result['broken']):
            logger.warning(f'not scored: {reason}')
        if not scored:
            raise RuntimeError(f'none of the {len(results)} videos could be read; check that data.root points at them')
        scores, labels = _stacked(scored)
        unusable = None if scores.isfinite().all() else _not_finite(scored)
        if unusable and self.out_dir:
            raise ValueError(f'{unusable}: test an earlier checkpoint, or in float32 (amp=off)')
        scores = scores.nan_to_num(0, 0, 0)
        several, logits = labels.ndim == 2, _are_logits(scored[0])
        table = class_table(scores, labels, logits)
        self._say_untested(table, shown=bool(self.out_dir))
        metrics = (self._of_several if several else self._of_one)(scores, labels, table)
        if 'macro_f1' in self.of_classes:
            metrics['macro_f1'] = _mean(table.f1, table)
        fits = 'calibration' in self.of_classes and not logits and are_probabilities(scores, several)
        compared = calibration(scores, labels) if fits else None
        if compared:
            metrics |= dict(ece=compared.ece, nll=compared.nll, brier=compared.brier)
        elif 'calibration' in self.of_classes and self.out_dir:
            logger.info('calibration is left out: scores are no probabilities, as with average_clips=score')
        if self.out_dir:
            write_results(scored, table, compared, self._class_names(len(table.videos)), Path(self.out_dir))
        if unusable:  # in a validation, whose training says itself what becomes of it
            logger.warning(f'nothing is measured: {unusable}')
            return dict.fromkeys(metrics, float('nan'))
        return metrics

    def _of_one(self, scores: Tensor, labels: Tensor, table: ClassTable) -> dict[str, float]:
        """Accuracies that were asked for; MMAction2's take the last of classes with the same score for the first."""
        if odd := [name for name in self.metrics if name in OF_SEVERAL]:
            raise ValueError(
                f'metric_list has {odd[0]!r}, which is of videos with several labels (data.multi_class=True), but '
                f'these have one; take {" or ".join(OF_ONE)}'
            )
        ranks, found = ranks_of(scores, labels), {}
        if 'top_k_accuracy' in self.metrics:  # a top-5 of five classes is always 1
            topk = [k for k in self.topk if k != 5 or not self._drops_top5 or scores.shape[1] > 5]
            found = {f'top{k}': float((ranks < k).double().mean()) for k in topk}
        return found | (dict(mean1=_mean(table.recall, table)) if 'mean_class_accuracy' in self.metrics else {})

    def _of_several(self, scores: Tensor, labels: Tensor, table: ClassTable) -> dict[str, float]:
        """Mean average precisions that were asked for, or that of classes."""
        if not table.tested.any():
            raise ValueError(
                f'none of the {len(labels)} scored videos has a label, so there is no average precision; add some '
                'that have one'
            )
        found = {name: _mean(table.average_precision, table) for name in self.metrics if name in OF_SEVERAL}
        if 'mmit_mean_average_precision' in found:  # of videos in the place of classes
            pairs = [(row.numpy(), own.numpy()) for row, own in zip(scores, labels) if own.any()]
            found['mmit_mean_average_precision'] = float(mmit_mean_average_precision(*zip(*pairs)))
        return found or dict(mean_average_precision=_mean(table.average_precision, table))

    def _say_untested(self, table: ClassTable, shown: bool) -> None:
        """Name the classes that have no test video."""
        names = self._class_names(len(table.videos))
        if untested := [name for name, tested in zip(names, table.tested) if not tested]:
            MMLogger.get_current_instance().info(
                f'{counted(len(untested), "class")} of {len(names)} without a test video, left out of means: '
                f'{shorten(untested)}',
                extra=dict(on_screen=shown),
            )

    def _class_names(self, num_classes: int) -> list[str]:
        named = list((self.dataset_meta or {}).get('classes') or ())
        return [named[label] if label < len(named) else str(label) for label in range(num_classes)]


def _mean(values: np.ndarray, table: ClassTable) -> float:
    """Mean over the classes that have videos."""
    return float(values[table.tested].mean())


def _are_logits(result: dict) -> bool | None:
    """Whether scores are logits, as far as the head says how it combines views, which other heads do not."""
    return {'score': True, 'prob': False}.get(result['average_clips'])


def _checked_topk(topk: Any) -> tuple[int, ...]:
    numbers = tuple(topk) if isinstance(topk, (list, tuple)) else (topk,)
    if not all(isinstance(k, int) and not isinstance(k, bool) and k > 0 for k in numbers):
        raise ValueError(f'topk is {topk!r}, expected a number from 1, or a list of them')
    return numbers


def _not_finite(results: list[dict]) -> str:
    """Name the first video whose scores are not finite."""
    name, scores = next(
        (result['filename'] or 'a video', result['pred']['item'])
        for result in results
        if not np.isfinite(result['pred']['item']).all()
    )
    return (
        f'{name} has the scores {scores[:3].tolist()}..., which are not all finite; the weights may not be, or its '
        'values overflow'
    )


def _stacked(results: list[dict]) -> tuple[Tensor, Tensor]:
    """Scores ``(N, K)``, and labels ``(N,)``, or of several a video ``(N, K)``.

    Raises:
        ValueError: If a video has scores for each view, or a label that has no score.
    """
    for result in results:
        scores, label, video = result['pred']['item'], result['label'], result['filename'] or 'a video'
        if scores.ndim != 1:
            raise ValueError(
                f'{video} has scores {scores.shape}, expected one for each class; set model.cls_head.average_clips to '
                "'prob' or 'score'"
            )
        if not isinstance(label, (int, np.ndarray)) or (isinstance(label, np.ndarray) and label.shape != scores.shape):
            raise ValueError(
                f'{video} has 0 or 1 for {np.size(label)} classes, and scores for {len(scores)}; both must be the '
                'same, and 2 or more: set data.num_classes'
            )
        if isinstance(label, int) and not 0 <= label < len(scores):
            raise ValueError(
                f'{video} has the label {label}, but there are scores of {len(scores)} classes, which count from 0; '
                'correct the list, or set data.num_classes'
            )
    scores = np.stack([result['pred']['item'] for result in results]).astype(np.float64)
    return torch.from_numpy(scores), torch.from_numpy(np.stack([result['label'] for result in results]))
