"""Accuracy over videos, and how many videos it was taken over."""

import os
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from mmaction.evaluation import AccMetric
from mmengine.logging import MMLogger

from mmtsf.registry import METRICS
from mmtsf.utils.tables import new_table, rounded


@METRICS.register_module()
class VideoAccuracy(AccMetric):
    """Top-1, top-5 and mean class accuracy; mean average precision for several labels a video.

    Also counts the videos that were expected, found on disk and scored, and leaves the broken ones out.

    Args:
        topk (tuple[int, ...]): The k of the top-k accuracies. Defaults to (1, 5).
        out_dir (str, optional): Folder for ``per_class.csv``, ``predictions.csv`` and
            ``confusion_matrix.png``. Defaults to None: none.
        collect_device (str): Where results of several processes meet, ``'cpu'`` or ``'gpu'``. Defaults to ``'cpu'``.
        prefix (str, optional): Prefix of the names. Defaults to None: ``acc``.
    """

    def __init__(
        self,
        topk: tuple[int, ...] = (1, 5),
        out_dir: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(
            ('top_k_accuracy',),
            collect_device,
            dict(top_k_accuracy=dict(topk=tuple(topk))),
            prefix,
        )
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
        """
        scored = [result for result in results if not result['broken']]
        missing = sum(not os.path.exists(path) for result in results for path, _ in result['broken'])
        logger = MMLogger.get_current_instance()
        logger.info(f'videos: {len(results)} expected, {len(results) - missing} found, {len(scored)} scored')
        for _, reason in (entry for result in results for entry in result['broken']):
            logger.warning(f'not scored: {reason}')
        if not scored:
            raise RuntimeError(f'none of the {len(results)} videos could be read; check that data.root points at them')
        several = isinstance(scored[0]['label'], np.ndarray)
        if several:
            self.metrics = ('mean_average_precision',)
            return super().compute_metrics(scored)
        matrix = self._confusion_matrix(scored)
        if self.out_dir:
            self._report(matrix, self.out_dir)
            self._list(scored, self.out_dir)
        labelled = matrix.sum(1) > 0
        recall = matrix.diagonal()[labelled] / matrix.sum(1)[labelled]
        return dict(super().compute_metrics(scored), mean1=recall.mean())

    def _confusion_matrix(self, results: list[dict]) -> np.ndarray:
        """Counts ``(K, K)``, rows the labels and columns the predictions."""
        matrix = np.zeros((len(self.dataset_meta['classes']),) * 2, int)
        for result in results:
            matrix[result['label'], result['pred']['item'].argmax()] += 1
        return matrix

    def _report(self, matrix: np.ndarray, out_dir: str) -> None:
        """Write results by class and the confusion matrix."""
        from mmtsf.visualization import draw_confusion_matrix  # matplotlib costs every start-up, a report is rare

        classes = self.dataset_meta['classes']
        Path(out_dir).mkdir(parents=True, exist_ok=True)
        header = ['label', 'class', 'videos', 'correct', 'recall', 'precision']
        with new_table(Path(out_dir, 'per_class.csv'), header) as write:
            for label, name in enumerate(classes):
                videos, correct, predicted = matrix[label].sum(), matrix[label, label], matrix[:, label].sum()
                write([label, name, videos, correct, _share(correct, videos), _share(correct, predicted)])
        draw_confusion_matrix(matrix, classes, Path(out_dir, 'confusion_matrix.png'))

    def _list(self, results: list[dict], out_dir: str) -> None:
        """Write the prediction for every video."""
        classes = self.dataset_meta['classes']
        header = ['video', 'class', 'predicted', 'score', 'score_of_class']
        with new_table(Path(out_dir, 'predictions.csv'), header) as write:
            for result in results:
                scores, label = result['pred']['item'], int(result['label'])
                best = int(scores.argmax())
                row = [classes[label], classes[best], rounded(float(scores[best])), rounded(float(scores[label]))]
                write([result['filename'], *row])
        MMLogger.get_current_instance().info(f'wrote per_class.csv, confusion_matrix.png, predictions.csv to {out_dir}')


def _share(part: int, whole: int) -> Decimal | None:
    return rounded(part / whole) if whole else None
