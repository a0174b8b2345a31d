"""Write what a test has found: results by class and by video, confusion matrix, reliability."""

from decimal import Decimal
from pathlib import Path

import numpy as np

from mmtsf.utils.screen import say
from mmtsf.utils.tables import new_table, rounded
from mmtsf.visualization.figures import draw_confusion_matrix, draw_reliability

from .class_metrics import Calibration, ClassTable


def write_results(
    results: list[dict], table: ClassTable, compared: Calibration | None, classes: list[str], out_dir: Path
) -> None:
    """Write ``per_class.csv``; of one label a video ``predictions.csv`` and ``confusion_matrix.png``; of probabilities
    ``calibration.csv`` and ``reliability.png``.

    Args:
        results (list[dict]): Scores, label and name of each video.
        table (ClassTable): Measures of each class.
        compared (Calibration, optional): None of scores that are no probabilities.
        classes (list[str]): Names of the classes.
        out_dir (Path): Folder to write to.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    several = isinstance(results[0]['label'], np.ndarray)
    names = ['per_class.csv']
    _write_classes(table, classes, several, out_dir / 'per_class.csv')
    if not several:
        draw_confusion_matrix(_confusion_matrix(results), classes, out_dir / 'confusion_matrix.png')
        _write_predictions(results, classes, out_dir / 'predictions.csv')
        names += ['confusion_matrix.png', 'predictions.csv']
    singles = ('confusion_matrix.png', 'predictions.csv') if several else ()
    for old in ('calibration.csv', 'reliability.png', *singles):
        Path(out_dir, old).unlink(missing_ok=True)  # of an earlier test, of probabilities or of one label a video
    if compared:
        _write_calibration(compared, out_dir / 'calibration.csv')
        draw_reliability(compared, several, out_dir / 'reliability.png')
        names += ['calibration.csv', 'reliability.png']
    say(f'wrote {", ".join(names)} to {out_dir}')


def _write_classes(table: ClassTable, classes: list[str], several: bool, path: Path) -> None:
    columns = ['recall', 'precision', 'f1', *(['average_precision'] if several else [])]
    with new_table(path, ['label', 'class', 'videos', 'correct', *columns]) as write:
        for label, name in enumerate(classes):
            measures = [getattr(table, column)[label] if table.tested[label] else np.nan for column in columns]
            measures[1] = table.precision[label]
            write([label, name, table.videos[label], table.correct[label], *map(_number, measures)])


def _write_predictions(results: list[dict], classes: list[str], path: Path) -> None:
    with new_table(path, ['video', 'class', 'predicted', 'score', 'score_of_class']) as write:
        for result in results:
            scores, label = result['pred']['item'], int(result['label'])
            best = int(scores.argmax())
            row = [classes[label], classes[best], rounded(float(scores[best])), rounded(float(scores[label]))]
            write([result['filename'], *row])


def _write_calibration(compared: Calibration, path: Path) -> None:
    """Write the bins of a reliability curve."""
    edges = np.linspace(0, 1, len(compared.predictions) + 1)
    with new_table(path, ['from', 'to', 'predictions', 'mean_score', 'share_right']) as write:
        for begin, end, number, *means in zip(edges, edges[1:], *compared[3:]):
            write([rounded(begin), rounded(end), number, *map(_number, means)])


def _confusion_matrix(results: list[dict]) -> np.ndarray:
    """Counts ``(K, K)``, rows the labels and columns the predictions."""
    num_classes = len(results[0]['pred']['item'])
    matrix = np.zeros((num_classes, num_classes), int)
    np.add.at(matrix, tuple(np.array([(int(r['label']), r['pred']['item'].argmax()) for r in results]).T), 1)
    return matrix


def _number(value: float) -> Decimal | None:
    return None if np.isnan(value) else rounded(value)
