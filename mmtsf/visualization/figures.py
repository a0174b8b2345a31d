"""Draw figures of a run: confusion matrix, curves, clips, attention over frames, scores over time."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .overlay import COLOUR_MAP, Box, highest, overlay, relative
from .words import drawable, font_of

if TYPE_CHECKING:
    from mmtsf.apis.timeline import Scene
    from mmtsf.evaluation.class_metrics import Calibration

#: Frames of a clip that are drawn side by side, at most
SHOWN = 8
#: Classes up to which a confusion matrix has counts and shares in its cells, and names at its sides
COUNTED, NAMED = 30, 80
#: Confusions that are listed beside a matrix of more
LISTED = 30
#: Letters of a name that is drawn at a side
LETTERS = 32
#: Name in the log of the mean loss of an epoch
EPOCH_LOSS = 'epoch_loss'


def _figure(size: tuple[float, float], rows: int = 1, columns: int = 1, **more: Any) -> tuple[Any, np.ndarray]:
    """Make a figure and its axes ``(rows, columns)`` without touching pyplot's backend."""
    from matplotlib.figure import Figure  # when something is drawn: it takes long to import

    figure = Figure(size, layout='constrained')
    return figure, figure.subplots(rows, columns, squeeze=False, **more)


def _save(figure: Any, path: Path) -> None:
    """Write a figure, in fonts that have the letters of its words."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        family = font_of(frozenset(drawable(text.get_text())))[1]
        if family != 'DejaVu Sans':
            text.set_fontfamily(['DejaVu Sans', family])
    figure.savefig(path, dpi=120)


def literal(text: str) -> str:
    """Escape a text so that matplotlib does not read it as a formula."""
    return drawable(text).replace('$', r'\$')


def _short(name: str) -> str:
    """Cut a long name, that would take the room of the figure."""
    return literal(name if len(name) <= LETTERS else f'{name[: LETTERS - 1]}…')


def draw_confusion_matrix(matrix: np.ndarray, classes: list[str], path: Path) -> None:
    """Draw counts ``(K, K)``, rows the labels and columns the predictions, coloured by share of the row.

    Up to 30 classes have count and share in each cell, up to 80 their names and counts. Of more, the sides have numbers
    of classes, and the most frequent confusions are listed beside the matrix, with names."""
    num_classes, shares = len(classes), matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    listed = num_classes > NAMED
    side = 10 if listed else max(3.2, (0.62 if num_classes <= COUNTED else 0.24) * num_classes)
    figure, (row,) = _figure((side + 5 + 6 * listed, side + 2), columns=1 + listed, width_ratios=(10, 7)[: 1 + listed])
    image = row[0].imshow(shares, cmap='Blues', vmin=0, vmax=1, interpolation='nearest')
    right, videos = int(matrix.trace()), int(matrix.sum())
    told = f'{right} of {videos} videos right ({right / max(videos, 1):.1%}), {num_classes} classes'
    figure.suptitle(f'Confusion matrix: {told}', x=0.01, ha='left')
    row[0].set(xlabel='predicted class', ylabel='class: right predictions')
    bar = figure.colorbar(image, ax=row[0], shrink=0.5, ticks=np.linspace(0, 1, 5), format='{x:.0%}')
    bar.set_label("share of the class's videos")
    if listed:
        row[0].set(xlabel='number of the predicted class', ylabel='number of the class')
        _list_confusions(row[1], matrix, classes)
    else:
        _name_sides(row[0], matrix, classes)
        _write_cells(row[0], matrix, shares)
    _save(figure, path)


def _name_sides(axes: Any, matrix: np.ndarray, classes: list[str]) -> None:
    places, size = range(len(classes)), 10 if len(classes) <= COUNTED else 8
    axes.set_xticks(places, list(map(_short, classes)), rotation=45, ha='right', rotation_mode='anchor', fontsize=size)
    rates = [_rate(right, videos) for right, videos in zip(matrix.diagonal().tolist(), matrix.sum(1).tolist())]
    axes.set_yticks(places, [f'{_short(name)}: {rate}' for name, rate in zip(classes, rates)], fontsize=size)


def _write_cells(axes: Any, matrix: np.ndarray, shares: np.ndarray) -> None:
    few = len(matrix) <= COUNTED
    for row, column in np.argwhere(matrix + few * np.eye(len(matrix), dtype=int) > 0):
        words = f'{matrix[row, column]}\n{shares[row, column]:.0%}' if few else str(matrix[row, column])
        color = 'white' if shares[row, column] > 0.55 else 'black'
        axes.text(column, row, words, ha='center', va='center', color=color, fontsize=8 if few else 6)


def _rate(part: int, whole: int) -> str:
    return f'{part} of {whole} ({part / max(whole, 1):.0%})'


def _list_confusions(axes: Any, matrix: np.ndarray, classes: list[str]) -> None:
    """List the classes that are least often right, and the pairs that are most often confused."""
    names, videos, right = list(map(_short, classes)), matrix.sum(1), matrix.diagonal()
    recall = np.where(videos, right / np.maximum(videos, 1), 2)
    worst = [place for place in np.argsort(recall, kind='stable')[:LISTED] if recall[place] < 1]
    classes_listed = [f'{place} {names[place]}\n    {_rate(right[place], videos[place])}' for place in worst]
    wrong = matrix - np.diag(right)
    most = [divmod(int(place), len(wrong)) for place in np.argsort(-wrong, axis=None, kind='stable')[:LISTED]]
    pairs = [
        f'{label} {names[label]}\n    as {other} {names[other]}: {_rate(wrong[label, other], videos[label])}'
        for label, other in most
        if wrong[label, other]
    ]
    axes.axis('off')
    for left, title, lines in ((0, 'Least often right', classes_listed), (0.42, 'Most often confused', pairs)):
        place = dict(transform=axes.transAxes, in_layout=False)
        axes.text(left, 1.01, title, va='bottom', fontsize=12, **place)
        words = '\n'.join(lines) or 'none'
        axes.text(left, 1, words, va='top', fontsize=9, linespacing=1.35, **place)


def draw_curves(work_dirs: dict[str, Path], chance: float | None, path: Path) -> None:
    """Draw the mean loss of each epoch and the validation accuracy after it, from the logs of runs.

    Args:
        work_dirs (dict[str, Path]): Work dirs of the runs by their names in the legend. A training that was stopped and
            resumed is one curve: what a later log tells of an epoch takes the place of earlier ones.
        chance (float, optional): Accuracy of guessing, drawn as a line; None draws none.
        path (Path): Image file to write.
    """
    figure, ((loss_axes, accuracy_axes),) = _figure((10, 4.3), columns=2)
    lines, last = {}, 1
    for name, work_dir in work_dirs.items():
        loss, accuracy = _by_epoch(Path(work_dir))
        mark = 'o' if len(loss) < 30 else None  # of one epoch there is a point and no line
        (lines[name],) = loss_axes.plot(list(loss), list(loss.values()), marker=mark, markersize=4)
        accuracy_axes.plot(list(accuracy), list(accuracy.values()), marker=mark, markersize=4)
        last = max([last, *loss])
    if chance is not None:
        lines['chance'] = accuracy_axes.axhline(chance, color='gray', linestyle=':')
    loss_axes.set(title='training loss, mean of the epoch', xlabel='epoch', ylim=(0, None))
    accuracy_axes.set(title='validation top-1', xlabel='epoch', ylim=(0, 1.02))
    accuracy_axes.yaxis.set_major_formatter('{x:.0%}')
    for axes in (loss_axes, accuracy_axes):
        _count_whole(axes, last)
    _add_legend(figure, lines, loc='outside lower center', ncols=min(len(lines), 4))
    _save(figure, path)


def _by_epoch(work_dir: Path) -> tuple[dict[int, float], dict[int, float]]:
    """Return loss and accuracy by epoch, from all logs of a work dir; what goes on at an epoch replaces what was there.

    Raises:
        FileNotFoundError: If there is no log.
    """
    loss: dict[int, float] = {}
    accuracy: dict[int, float] = {}
    logs = sorted(work_dir.glob('*/vis_data/scalars.json'))
    if not logs:
        raise FileNotFoundError(f'{work_dir} has no log of a training; expected */vis_data/scalars.json')
    for log in logs:
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        logged: dict[int, list[float]] = {}
        for row in rows:
            if 'loss' in row and 'epoch' in row:
                logged.setdefault(row['epoch'], []).append(row['loss'])
        means = {row['step']: row[EPOCH_LOSS] for row in rows if EPOCH_LOSS in row}
        begin = min([*logged, *means], default=np.inf)
        loss = {epoch: value for epoch, value in loss.items() if epoch < begin}
        accuracy = {epoch: value for epoch, value in accuracy.items() if epoch < begin}
        loss |= {epoch: float(np.mean(values)) for epoch, values in logged.items()} | means
        accuracy |= {row['step']: row['acc/top1'] for row in rows if 'acc/top1' in row}
    return dict(sorted(loss.items())), dict(sorted(accuracy.items()))


def _add_legend(owner: Any, lines: dict[str, Any], **place: Any) -> None:
    """Add a legend beside what it explains, with all names: Matplotlib leaves out those that begin with ``_``."""
    legend = owner.legend(list(lines.values()), ['name'] * len(lines), frameon=False, **place)
    for text, name in zip(legend.get_texts(), lines):
        text.set_text(_short(name))


def _count_whole(axes: Any, last: int) -> None:
    """Give the axis of epochs 1 to ``last`` whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim(1 - max(0.02 * last, 0.5), last + max(0.02 * last, 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)


def draw_clip_accuracies(clips: Sequence[int], metrics: Sequence[dict[str, float]], path: Path) -> None:
    """Draw metrics against the number of temporal clips of a video (the paper's Figure 6).

    Args:
        clips (Sequence[int]): Numbers of clips.
        metrics (Sequence[dict[str, float]]): Metrics by name, for each of them.
        path (Path): Image file to write.
    """
    figure, ((axes,),) = _figure((5.5, 4.3))
    lines = {name: axes.plot(clips, [values[name] for values in metrics], 'o-')[0] for name in metrics[0]}
    axes.set(xlabel='temporal clips', ylabel='accuracy', xticks=clips)
    axes.yaxis.set_major_formatter('{x:.1%}')
    axes.grid(alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)
    _add_legend(figure, lines, loc='outside lower center', ncols=3)
    _save(figure, path)


def draw_reliability(compared: 'Calibration', several: bool, path: Path) -> None:
    """Draw the share of right predictions against their score, and below how many there are of each score.

    Args:
        compared (Calibration): From :func:`mmtsf.evaluation.class_metrics.calibration`.
        several (bool): Whether each class of a video is judged by itself.
        path (Path): Image file to write.
    """
    figure, axes = _figure((4.6, 5.6), rows=2, sharex=True, height_ratios=(3, 1))
    (above,), (below,) = axes
    edges, full = np.linspace(0, 1, len(compared.predictions) + 1), compared.predictions > 0
    above.bar(edges[:-1], np.where(full, compared.share, 0), 1 / len(full), align='edge', color='0.85', edgecolor='0.6')
    above.plot([0, 1], [0, 1], ':', color='gray')
    above.plot(compared.confidence[full], compared.share[full], 'o-', markersize=4)
    what = 'classes of videos that have it' if several else 'right predictions'
    above.set(title=f'reliability: ECE {compared.ece:.1%}, {len(full)} bins', ylabel=what, xlim=(0, 1), ylim=(0, 1.02))
    below.bar(edges[:-1], compared.predictions, 1 / len(full), align='edge', color='0.7', edgecolor='0.6')
    below.set(xlabel='score' if several else 'score of the predicted class', ylabel='number')
    above.yaxis.set_major_formatter('{x:.0%}')
    below.xaxis.set_major_formatter('{x:.0%}')
    for axis in (above, below):
        axis.spines[['top', 'right']].set_visible(False)
    _save(figure, path)


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
        dots = {}
        for number, name in enumerate(classes):
            chosen = points[np.array([label == name for label in labels])]
            dots[name] = axes.scatter(*chosen.T, s=12, color=colours(number))
        axes.set(xticks=[], yticks=[])
        axes.set_title(literal(title))
    if few:
        _add_legend(row[-1], dots, loc='center left', bbox_to_anchor=(1, 0.5))
    _save(figure, path)


def draw_attention(
    frames: np.ndarray | Sequence[np.ndarray],
    maps: dict[str, np.ndarray],
    title: str,
    path: Path,
    times: Sequence[float] | None = None,
    box: Box | None = None,
) -> None:
    """Draw a clip's frames, and below each the same frame with its attention, with a scale for each row: 1 is what
    every patch has where attention is even.

    Args:
        frames (np.ndarray | Sequence[np.ndarray]): RGB ``(T, H, W, 3)`` uint8.
        maps (dict[str, np.ndarray]): Attention ``(T, h, w)``, not all 0, by the name of its row.
        title (str): Line above.
        path (Path): Image file to write.
        times (Sequence[float], optional): Seconds at which the frames are shown. Defaults to None: numbers are drawn.
        box (Box, optional): What the model saw of each frame; the rest fades. Defaults to None: all.
    """
    height, width = frames[0].shape[:2]
    shown = np.linspace(0, len(frames) - 1, min(len(frames), SHOWN)).round().astype(int)
    rows = {'frame': np.stack([frames[place] for place in shown])}
    rows |= {name: overlay(rows['frame'], relative(weights)[shown], box) for name, weights in maps.items()}
    wide = 1.6 * min(max(width / height, 0.8), 1.4)
    size = (wide * len(shown) + 1.4, (wide * height / width + 0.12) * len(rows) + 0.8)
    figure, axes = _figure(size, len(rows), len(shown))
    for row, (name, images) in zip(axes, rows.items()):
        row[0].set_ylabel(_short(name))
        for axis, image in zip(row, images):
            axis.imshow(image)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        if name in maps:
            _add_scale(figure, row, maps[name])
    for axis, place in zip(axes[0], shown):
        axis.set_title(f'{place}' if times is None else f'{times[place]:.2f} s', fontsize=9)
    figure.suptitle(literal(title))
    if box is not None and (max(box[:2]) > 0.5 or width - box[2] > 0.5 or height - box[3] > 0.5):
        figure.supxlabel('grey margins lie outside of the crop: the model does not see them', fontsize=9)
    _save(figure, path)


def _add_scale(figure: Any, row: Sequence[Any], weights: np.ndarray) -> None:
    """Draw what the colours of a row of frames mean, in multiples of even attention."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    end = highest(weights)
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, end), COLOUR_MAP), ax=list(row), fraction=0.02, pad=0.01, aspect=12, extend='max'
    )
    even = '1' if end < 10 else ''  # that would stand on the 0
    bar.set_ticks([0, 1, end], labels=['0', even, f'{end:.1f}×'], fontsize=8)


def draw_clips(
    clips: Sequence[np.ndarray], titles: Sequence[str], path: Path, times: Sequence[Sequence[float]] | None = None
) -> None:
    """Draw clips, RGB ``(T, H, W, 3)`` uint8, one row each, at most 8 frames, with their times in seconds."""
    figure, rows = _figure((12, 1.95 * len(clips)), len(clips))
    for number, (axis, clip, title) in enumerate(zip(rows[:, 0], clips, titles)):
        shown = np.linspace(0, len(clip) - 1, min(len(clip), SHOWN)).round().astype(int)
        strip = np.concatenate([np.pad(clip[i], ((0, 0), (0, 2), (0, 0)), constant_values=255) for i in shown], axis=1)
        axis.imshow(strip)
        axis.set_title(literal(title), fontsize=9, loc='left')
        axis.spines[:].set_visible(False)
        pitch = strip.shape[1] / len(shown)
        words = [f'{times[number][place]:.2f} s' if times else '' for place in shown]
        axis.set_xticks((np.arange(len(shown)) + 0.5) * pitch, words, fontsize=8)
        axis.tick_params(length=0, pad=2)
        axis.set_yticks([])
    _save(figure, path)


def draw_timeline(scenes: 'Sequence[Scene]', classes: Sequence[str], path: Path, topk: int = 5) -> None:
    """Draw scores over time as bands: above the class that is predicted, below the scores of each of the classes that
    are most often predicted in a video, as the height of its band.

    Args:
        scenes (Sequence[Scene]): Times and scores, from :func:`mmtsf.apis.timeline`.
        classes (Sequence[str]): Names of the classes.
        path (Path): Image file to write.
        topk (int): Classes that are drawn. Defaults to 5.
    """
    from matplotlib import colormaps

    scores = np.stack([scene.scores for scene in scenes])  # (scenes, K)
    edges = np.array([scenes[0].start, *(scene.end for scene in scenes)])
    wins = np.bincount(scores.argmax(axis=1), minlength=scores.shape[1])
    drawn = np.lexsort((scores.mean(axis=0), wins))[::-1][:topk]
    colours = dict(zip(drawn.tolist(), [colormaps['tab10' if topk <= 10 else 'tab20'](n % 20) for n in range(topk)]))
    figure, ((axes,),) = _figure((12, 1.5 + 0.62 * (len(drawn) + 1)))
    for row, label in enumerate(drawn.tolist(), 1):
        axes.stairs(0.85 * scores[:, label] - row, edges, baseline=-row, fill=True, color=colours[label])
        axes.axhline(-row, color='0.8', linewidth=0.8, zorder=0)
    _draw_predicted(axes, scores.argmax(axis=1), edges, classes, colours)
    axes.set_yticks([0.42, *np.arange(-1, -len(drawn) - 1, -1) + 0.42])
    axes.set_yticklabels(['predicted', *(_short(classes[label]) for label in drawn)])
    axes.set(xlabel='time, s', ylim=(-len(drawn) - 0.1, 1), xlim=(edges[0], edges[-1]))
    if edges[-1] > 60:
        axes.set(xlabel='time, min:s', xticks=np.arange(0, edges[-1], _step(edges[-1] / 8)))
        axes.xaxis.set_major_formatter(lambda seconds, _: f'{int(seconds // 60)}:{seconds % 60:02.0f}')
    axes.tick_params(axis='y', length=0)
    axes.spines[['top', 'right', 'left']].set_visible(False)
    shares = axes.secondary_yaxis('right')
    heights = np.array([(-row, 0.85 - row) for row in range(1, len(drawn) + 1)]).ravel()
    shares.set_yticks(heights, ['0 %', '100 %'] * len(drawn), fontsize=7)
    shares.spines[:].set_visible(False)
    _save(figure, path)


def _step(seconds: float) -> float:
    """Round seconds up to a step that one counts in: 10, 15, 20, 30 s, 1, 2, 5 ... minutes."""
    steps = [10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600]
    return next((step for step in steps if step >= seconds), 3600 * np.ceil(seconds / 3600))


def _draw_predicted(axes: Any, best: np.ndarray, edges: np.ndarray, classes: Sequence[str], colours: dict) -> None:
    """Draw the predicted classes as one band along the top, with names where there is room."""
    begins = np.flatnonzero(np.diff(best, prepend=-1))
    for begin, end in zip(begins, [*begins[1:], len(best)]):
        label, span = int(best[begin]), (edges[begin], edges[end])
        axes.fill_between(span, 0, 0.85, color=colours.get(label, '0.6'), linewidth=0)
        letters = int((span[1] - span[0]) / (edges[-1] - edges[0]) * 110)
        name = drawable(classes[label])
        if letters >= min(len(name), 6):
            fit = name if len(name) <= letters else f'{name[: letters - 1]}…'
            axes.text(sum(span) / 2, 0.42, literal(fit), ha='center', va='center', color='white', fontsize=9)
