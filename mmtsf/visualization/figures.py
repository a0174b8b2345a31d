"""Figures of a run: confusion matrix, curves, attention over frames."""

import json
from pathlib import Path

import cv2
import matplotlib
import numpy as np

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402


def draw_confusion_matrix(matrix: np.ndarray, classes: list[str], path: Path) -> None:
    """Draw counts ``(K, K)``, rows the labels and columns the predictions, coloured by share of the row."""
    num_classes = len(classes)
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    size = max(4.0, min(0.5 * num_classes + 2, 30))
    figure, axes = plt.subplots(figsize=(size, size), layout='constrained')
    axes.imshow(shares, cmap='Blues', vmin=0, vmax=1)
    axes.set(xlabel='predicted', ylabel='label')
    if num_classes <= 60:
        axes.set_xticks(range(num_classes), classes, rotation=45, ha='right')
        axes.set_yticks(range(num_classes), classes)
    if num_classes <= 30:
        for row, column in np.ndindex(*matrix.shape):
            color = 'white' if shares[row, column] > 0.5 else 'black'
            axes.text(column, row, str(matrix[row, column]), ha='center', va='center', color=color)
    _save(figure, path)


def draw_curves(work_dirs: dict[str, Path], chance: float, path: Path) -> None:
    """Draw loss and validation accuracy against epochs, from the logs of runs.

    Args:
        work_dirs (dict[str, Path]): Work dirs of the runs by their names in the legend; of each the newest log counts.
        chance (float): Accuracy of guessing, drawn as a line.
        path (Path): Image file to write.
    """
    figure, (loss_axes, accuracy_axes) = plt.subplots(1, 2, figsize=(10, 4), layout='constrained')
    for name, work_dir in work_dirs.items():
        log = max(Path(work_dir).glob('*/vis_data/scalars.json'))
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        loss = [(row['epoch'], row['loss']) for row in rows if 'loss' in row]
        accuracy = [(row['step'], row['acc/top1']) for row in rows if 'acc/top1' in row]
        epochs = sorted({epoch for epoch, _ in loss})
        loss_axes.plot(epochs, [np.mean([value for e, value in loss if e == epoch]) for epoch in epochs], label=name)
        accuracy_axes.plot(*zip(*accuracy), label=name)
    accuracy_axes.axhline(chance, color='gray', linestyle=':', label='chance')
    loss_axes.set(xlabel='epoch', ylabel='training loss')
    accuracy_axes.set(xlabel='epoch', ylabel='validation top-1', ylim=(0, 1.02))
    loss_axes.legend()
    accuracy_axes.legend()
    _save(figure, path)


def draw_attention(frames: np.ndarray, weights: np.ndarray, title: str, path: Path) -> None:
    """Draw a clip's frames, and below each the same frame with its attention.

    Args:
        frames (np.ndarray): RGB ``(T, H, W, 3)`` uint8.
        weights (np.ndarray): Attention ``(T, h, w)``, at least 0.
        title (str): Line above.
        path (Path): Image file to write.
    """
    num_frames, height, width = frames.shape[:3]
    columns = min(num_frames, 8)
    shown = np.linspace(0, num_frames - 1, columns).round().astype(int)
    figure, axes = plt.subplots(2, columns, figsize=(1.6 * columns, 3.6), layout='constrained', squeeze=False)
    for column, frame in enumerate(shown):
        heat = cv2.resize(weights[frame] / weights.max(), (width, height), interpolation=cv2.INTER_CUBIC)
        axes[0, column].imshow(frames[frame])
        axes[0, column].set_title(f'frame {frame}', fontsize=8)
        axes[1, column].imshow(frames[frame])
        axes[1, column].imshow(heat, cmap='jet', alpha=0.5, vmin=0, vmax=1)
    for axis in axes.flat:
        axis.axis('off')
    figure.suptitle(title)
    _save(figure, path)


def _save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, dpi=120)
    plt.close(figure)
