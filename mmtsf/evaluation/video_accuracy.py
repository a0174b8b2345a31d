"""Measure accuracy over videos, and count the videos that were read."""

import os
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from mmaction.evaluation import AccMetric
from mmengine.logging import MMLogger

from mmtsf.registry import METRICS
from mmtsf.utils.screen import say
from mmtsf.utils.tables import new_table, rounded
from mmtsf.visualization.figures import draw_confusion_matrix


@METRICS.register_module()
class VideoAccuracy(AccMetric):
    """Top-1, top-5 and mean class accuracy; mean average precision for several labels a video.

    Also counts the videos that were expected, found on disk and scored, and leaves the broken ones out. Classes that
    the data set does not name are called by their numbers.

    Args:
        metric_list (str | tuple[str, ...]): Names of MMAction2's measures; of videos with several labels, those that
            are for them, or the mean average precision. Defaults to top-k and mean class accuracy.
        collect_device (str): Where results of several processes meet, ``'cpu'`` or ``'gpu'``. Defaults to ``'cpu'``.
        metric_options (dict, optional): Options of the measures. Defaults to None: ``topk``.
        prefix (str, optional): Prefix of the names. Defaults to None: ``acc``.
        topk (int | tuple[int, ...], optional): The k of the top-k accuracies. Defaults to None: 1, and 5 where there
            are more than five classes.
        out_dir (str, optional): Folder for ``per_class.csv``, ``predictions.csv`` and
            ``confusion_matrix.png``. Defaults to None: none.
    """

    metrics: tuple[str, ...]

    def __init__(
        self,
        metric_list: str | tuple[str, ...] = ('top_k_accuracy', 'mean_class_accuracy'),
        collect_device: str = 'cpu',
        metric_options: dict | None = None,
        prefix: str | None = None,
        topk: int | tuple[int, ...] | None = None,
        out_dir: str | None = None,
    ) -> None:
        self._drops_top5 = topk is None and metric_options is None
        topk = topk if isinstance(topk, int) else tuple(topk or (1, 5))
        options = metric_options or dict(top_k_accuracy=dict(topk=topk))
        super().__init__(metric_list, collect_device, options, prefix)
        self.out_dir = out_dir

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep scores and labels ``(K,)`` of a batch, their videos, and which of these were broken."""
        super().process(data_batch, data_samples)
        for result, sample in zip(self.results[-len(data_samples) :], data_samples):
            result['broken'] = sample.get('broken', [])
            result['filename'] = sample.get('filename', '')

    def compute_metrics(self, results: list[dict]) -> dict:
        """Metrics by name.

        Raises:
            RuntimeError: If no video was scored.
            ValueError: If a video has a label for which there is no score.
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
        if isinstance(scored[0]['label'], np.ndarray):  # several labels a video
            fit = tuple(name for name in self.metrics if name.endswith('mean_average_precision'))
            self.metrics = fit or ('mean_average_precision',)
            return super().compute_metrics(scored)
        matrix = _confusion_matrix(scored)
        if self.out_dir:
            classes = self._class_names(len(matrix))
            _write_classes(matrix, classes, Path(self.out_dir))
            _write_predictions(scored, classes, Path(self.out_dir))
        metrics = super().compute_metrics(scored)
        if self._drops_top5 and len(matrix) <= 5:
            metrics.pop('top5', None)  # it is always 1
        if 'mean1' in metrics:  # MMAction2 counts classes that have no video but were predicted
            labelled = matrix.sum(1) > 0
            metrics['mean1'] = (matrix.diagonal()[labelled] / matrix.sum(1)[labelled]).mean()
        return metrics

    def _class_names(self, num_classes: int) -> list[str]:
        named = list((self.dataset_meta or {}).get('classes') or ())
        return [named[label] if label < len(named) else str(label) for label in range(num_classes)]


def _confusion_matrix(results: list[dict]) -> np.ndarray:
    """Counts ``(K, K)``, rows the labels and columns the predictions."""
    num_classes = len(results[0]['pred']['item'])
    matrix = np.zeros((num_classes, num_classes), int)
    for result in results:
        if not 0 <= (label := result['label']) < num_classes:
            raise ValueError(
                f'{result["filename"] or "a video"} has the label {label}, but there are scores of {num_classes} '
                'classes, which count from 0; correct the list, or set data.num_classes'
            )
        matrix[label, result['pred']['item'].argmax()] += 1
    return matrix


def _write_classes(matrix: np.ndarray, classes: list[str], out_dir: Path) -> None:
    """Write results by class and the confusion matrix."""
    out_dir.mkdir(parents=True, exist_ok=True)
    header = ['label', 'class', 'videos', 'correct', 'recall', 'precision']
    with new_table(out_dir / 'per_class.csv', header) as write:
        for label, name in enumerate(classes):
            videos, correct, predicted = matrix[label].sum(), matrix[label, label], matrix[:, label].sum()
            write([label, name, videos, correct, _share(correct, videos), _share(correct, predicted)])
    draw_confusion_matrix(matrix, classes, out_dir / 'confusion_matrix.png')


def _write_predictions(results: list[dict], classes: list[str], out_dir: Path) -> None:
    """Write the prediction for every video."""
    header = ['video', 'class', 'predicted', 'score', 'score_of_class']
    with new_table(out_dir / 'predictions.csv', header) as write:
        for result in results:
            scores, label = result['pred']['item'], int(result['label'])
            best = int(scores.argmax())
            row = [classes[label], classes[best], rounded(float(scores[best])), rounded(float(scores[label]))]
            write([result['filename'], *row])
    say(f'wrote per_class.csv, confusion_matrix.png, predictions.csv to {out_dir}')


def _share(part: int, whole: int) -> Decimal | None:
    return rounded(part / whole) if whole else None
