"""Draw figures of a run: confusion matrix, curves, clips, attention over frames."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from mmtsf.apis.timeline import Scene


def _figure(size: tuple[float, float], rows: int = 1, columns: int = 1) -> tuple[Any, np.ndarray]:
    """Make a figure and its axes ``(rows, columns)`` without touching pyplot's backend."""
    from matplotlib.figure import Figure  # when something is drawn: it takes long to import

    figure = Figure(size, layout='constrained')
    return figure, figure.subplots(rows, columns, squeeze=False)


def literal(text: str) -> str:
    """Escape a text so that matplotlib does not read it as a formula."""
    return text.encode(errors='replace').decode().replace('$', r'\$')


def draw_confusion_matrix(matrix: np.ndarray, classes: list[str], path: Path) -> None:
    """Draw counts ``(K, K)``, rows the labels and columns the predictions, coloured by share of the row."""
    num_classes, names = len(classes), list(map(literal, classes))
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    size = max(4.0, min(0.5 * num_classes + 2, 30))
    figure, ((axes,),) = _figure((size, size))
    axes.imshow(shares, cmap='Blues', vmin=0, vmax=1)
    axes.set(xlabel='predicted', ylabel='label')
    if num_classes <= 60:
        axes.set_xticks(range(num_classes), names, rotation=45, ha='right')
        axes.set_yticks(range(num_classes), names)
    if num_classes <= 30:
        for row, column in np.ndindex(*matrix.shape):
            color = 'white' if shares[row, column] > 0.5 else 'black'
            axes.text(column, row, str(matrix[row, column]), ha='center', va='center', color=color)
    figure.savefig(path, dpi=120)


def draw_curves(work_dirs: dict[str, Path], chance: float, path: Path) -> None:
    """Draw loss and validation accuracy against epochs, from the logs of runs.

    Args:
        work_dirs (dict[str, Path]): Work dirs of the runs by their names in the legend; of each the newest log counts.
        chance (float): Accuracy of guessing, drawn as a line.
        path (Path): Image file to write.
    """
    figure, ((loss_axes, accuracy_axes),) = _figure((10, 4), columns=2)
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
    figure.savefig(path, dpi=120)


def draw_clip_accuracies(clips: Sequence[int], metrics: Sequence[dict[str, float]], path: Path) -> None:
    """Draw metrics against the number of temporal clips of a video (the paper's Figure 6).

    Args:
        clips (Sequence[int]): Numbers of clips.
        metrics (Sequence[dict[str, float]]): Metrics by name, for each of them.
        path (Path): Image file to write.
    """
    figure, ((axes,),) = _figure((5, 4))
    for name in metrics[0]:
        axes.plot(clips, [values[name] for values in metrics], 'o-', label=name)
    axes.set(xlabel='temporal clips', ylabel='accuracy', xticks=clips)
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def draw_points(panels: dict[str, np.ndarray], labels: Sequence[str], path: Path) -> None:
    """Draw points in two dimensions, coloured by class (the paper's Figure 8).

    Args:
        panels (dict[str, np.ndarray]): Points ``(N, 2)`` by the title of their panel.
        labels (Sequence[str]): Class of each point.
        path (Path): Image file to write.
    """
    from matplotlib import colormaps

    classes = list(dict.fromkeys(labels))
    few = len(classes) <= 20  # that have names and colours of their own
    colours = colormaps['tab10' if len(classes) <= 10 else 'tab20' if few else 'hsv'].resampled(len(classes))
    figure, (row,) = _figure((4 * len(panels) + 2 * few, 4), columns=len(panels))
    for axes, (title, points) in zip(row, panels.items()):
        for number, name in enumerate(classes):
            chosen = points[np.array([label == name for label in labels])]
            axes.scatter(*chosen.T, s=12, color=colours(number), label=literal(name))
        axes.set(xticks=[], yticks=[])
        axes.set_title(literal(title))
    if few:
        row[-1].legend(loc='center left', bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(path, dpi=120)


def draw_attention(frames: np.ndarray, maps: dict[str, np.ndarray], title: str, path: Path) -> None:
    """Draw a clip's frames, and below each the same frame with its attention.

    Args:
        frames (np.ndarray): RGB ``(T, H, W, 3)`` uint8.
        maps (dict[str, np.ndarray]): Attention ``(T, h, w)``, not all 0, by the name of its row.
        title (str): Line above.
        path (Path): Image file to write.
    """
    num_frames, height, width = frames.shape[:3]
    shown = np.linspace(0, num_frames - 1, min(num_frames, 8)).round().astype(int)
    rows = {'frame': frames} | {name: overlay(frames, weights / weights.max()) for name, weights in maps.items()}
    size = (1.6 * len(shown) + 0.6, 1.65 * len(rows) * height / width + 0.5)
    figure, axes = _figure(size, len(rows), len(shown))
    for row, (name, images) in zip(axes, rows.items()):
        row[0].set_ylabel(literal(name))
        for axis, frame in zip(row, shown):
            axis.imshow(images[frame])
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
    for axis, frame in zip(axes[0], shown):
        axis.set_title(f'{frame}', fontsize=8)
    figure.suptitle(literal(title))
    figure.savefig(path, dpi=120)


def draw_clips(clips: Sequence[np.ndarray], titles: Sequence[str], path: Path) -> None:
    """Draw clips, RGB ``(T, H, W, 3)`` uint8, one row each, with at most 8 frames."""
    figure, rows = _figure((12, 1.9 * len(clips)), len(clips))
    for axis, clip, title in zip(rows[:, 0], clips, titles):
        shown = np.linspace(0, len(clip) - 1, min(len(clip), 8)).round().astype(int)
        axis.imshow(
            np.concatenate([np.pad(clip[i], ((0, 0), (0, 2), (0, 0)), constant_values=255) for i in shown], axis=1)
        )
        axis.set_title(literal(title), fontsize=9, loc='left')
        axis.axis('off')
    figure.savefig(path, dpi=120)


def overlay(frames: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Overlay frames ``(T, H, W, 3)`` uint8 with attention ``(T, h, w)``, from blue (0) to red (1)."""
    heat = (np.clip(weights, 0, 1) * 255).astype(np.uint8)
    height, width = frames.shape[1:3]
    coloured = []
    for frame, values in zip(frames, heat):
        values = cv2.resize(values, (width, height), interpolation=cv2.INTER_CUBIC)
        jet = cv2.cvtColor(cv2.applyColorMap(values, cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)
        coloured.append(cv2.addWeighted(frame, 0.5, jet, 0.5, 0))
    return np.stack(coloured)


def draw_timeline(scenes: 'Sequence[Scene]', classes: Sequence[str], path: Path, topk: int = 5) -> None:
    """Draw scores over time, of the classes that are most often predicted in a video.

    Args:
        scenes (Sequence[Scene]): Times and scores, from :func:`mmtsf.apis.timeline`.
        classes (Sequence[str]): Names of the classes.
        path (Path): Image file to write.
        topk (int): Classes that are drawn. Defaults to 5.
    """
    scores = np.stack([scene.scores for scene in scenes])  # (scenes, K)
    edges = np.array([scenes[0].start, *(scene.end for scene in scenes)])
    wins = np.bincount(scores.argmax(axis=1), minlength=scores.shape[1])
    drawn = np.lexsort((scores.mean(axis=0), wins))[::-1][:topk]
    figure, ((axes,),) = _figure((12, 4))
    steps = [axes.stairs(scores[:, label], edges, baseline=None, linewidth=2) for label in drawn]
    if edges[-1] > 60:
        axes.xaxis.set_major_formatter(lambda seconds, _: f'{int(seconds // 60)}:{seconds % 60:02.0f}')
    unit = 'min:s' if edges[-1] > 60 else 's'
    axes.set(xlabel=f'time, {unit}', ylabel='score', ylim=(0, 1.02), xlim=(edges[0], edges[-1]))
    axes.spines[['top', 'right']].set_visible(False)
    legend = axes.legend(steps, ['class'] * len(steps), loc='center left', bbox_to_anchor=(1, 0.5), frameon=False)
    for text, label in zip(legend.get_texts(), drawn):
        text.set_text(literal(classes[label]))  # a name that begins with _ would be left out
    figure.savefig(path, dpi=120)
