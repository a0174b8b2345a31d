"""Figures show names as they are, whatever they are, and hide nothing."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmtsf.apis.timeline import Scene
from mmtsf.visualization import draw_attention, draw_clips, draw_confusion_matrix, draw_curves, draw_timeline, figures
from mmtsf.visualization.figures import literal

ODD = ['$\\frac{$', '$x^2$', '\\$', '_hidden', 'a\udce9b', 'an ordinary name', '50$ or 60$', '{\\rm x}', '%s', 'ünï']


def draw(name: str, how: str, path: Path) -> np.ndarray:
    frames = np.zeros((2, 16, 16, 3), np.uint8)
    scenes = [Scene(i, i + 1, np.array([0.6, 0.4])) for i in range(2)]
    if how == 'matrix':
        draw_confusion_matrix(np.eye(2, dtype=int), [name, 'b'], path)
    elif how == 'timeline':
        draw_timeline(scenes, [name, 'b'], path)
    elif how == 'attention':
        draw_attention(frames, {name: np.ones((2, 4, 4))}, name, path)
    else:
        draw_clips([frames], [name], path)
    return cv2.imread(str(path))


@pytest.mark.filterwarnings('ignore:Glyph')
@pytest.mark.parametrize('how', ['matrix', 'timeline', 'attention', 'clips'])
def test_every_name_is_drawn(how, tmp_path):
    bare = draw(' ', how, tmp_path / 'bare.png')
    for name in ODD if how == 'clips' else ('$\\frac{$', '_hidden', 'a\udce9b'):  # all are made literal in one place
        drawn = draw(name, how, tmp_path / 'figure.png')
        assert drawn.shape != bare.shape or (drawn != bare).any(), name


def test_a_formula_is_drawn_letter_by_letter(tmp_path):
    formula, letters, dollars = (draw(name, 'clips', tmp_path / 'a.png') for name in ('$xx$', 'xx', '$xx'))
    assert (formula != letters).any()
    assert (formula != dollars).any()
    assert literal('a $b$ \\$') == 'a \\$b\\$ \\\\$'


@pytest.fixture
def drawn(monkeypatch):
    """Figures that were written."""
    kept, save = [], figures._save
    monkeypatch.setattr(figures, '_save', lambda figure, path: kept.append(figure) or save(figure, path))
    return kept


def words_of(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize('epochs', [1, 3, 120])
def test_epochs_are_whole_numbers_and_the_legend_lies_beside_the_curves(epochs, drawn, tmp_path):
    rows = [dict(epoch=number, loss=1.0) for number in range(1, epochs + 1)]
    rows += [{'acc/top1': 0.5, 'step': number} for number in range(1, epochs + 1)]
    log = tmp_path / 'run/20260101/vis_data/scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text('\n'.join(map(json.dumps, rows)))
    draw_curves({'_a run': tmp_path / 'run'}, 0.25, tmp_path / 'curves.png')
    (figure,) = drawn
    for axes in figure.axes:
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert ticks
        assert all(tick == round(tick) for tick in ticks)
        assert not axes.bbox.overlaps(figure.legends[0].get_window_extent())
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['_a run', 'chance']


def test_a_training_that_was_stopped_and_resumed_is_one_curve(drawn, tmp_path):
    runs = {
        '20260101': [
            *({'epoch': 1, 'loss': loss} for loss in (4.0, 2.0)),
            {'step': 1, 'epoch_loss': 3.0},
            {'step': 1, 'acc/top1': 0.1},
            {'epoch': 2, 'loss': 9.0},
        ],
        '20260102': [{'epoch': 2, 'loss': 2.0}, {'step': 2, 'epoch_loss': 2.5}, {'step': 2, 'acc/top1': 0.4}],
    }
    for run, rows in runs.items():
        log = tmp_path / run / 'vis_data/scalars.json'
        log.parent.mkdir(parents=True)
        log.write_text('\n'.join(map(json.dumps, rows)))
    draw_curves({'a': tmp_path}, None, tmp_path / 'curves.png')
    loss, accuracy = ([*map(tuple, axes.lines[0].get_xydata())] for axes in drawn[0].axes)
    assert loss == [(1, 3.0), (2, 2.5)]
    assert accuracy == [(1, 0.1), (2, 0.4)]


@pytest.mark.parametrize('num_classes', [4, 60, 400])
def test_a_confusion_matrix_tells_counts_and_rates(num_classes, drawn, tmp_path):
    matrix = 8 * np.eye(num_classes, dtype=int)
    matrix[1, 2] = 2
    names = [f'name {number}' for number in range(num_classes)]
    draw_confusion_matrix(matrix, names, tmp_path / 'matrix.png')
    axes, *others = drawn[0].axes
    total = 8 * num_classes
    assert f'{total} of {total + 2} videos right' in drawn[0].get_suptitle()
    if num_classes == 400:
        listed = '\n'.join(words_of(others[0]))
        assert '1 name 1\n    8 of 10 (80%)' in listed
        assert '1 name 1\n    as 2 name 2: 2 of 10 (20%)' in listed
    else:
        assert 'name 1: 8 of 10 (80%)' in [label.get_text() for label in axes.get_yticklabels()]
        assert ('2\n20%' if num_classes == 4 else '2') in words_of(axes)


def test_a_timeline_names_the_bands_of_its_classes(drawn, tmp_path):
    scores = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.3, 0.7, 0]])
    scenes = [Scene(number, number + 1, row) for number, row in enumerate(scores)]
    draw_timeline(scenes, ['fight', 'noFight', 'none'], tmp_path / 'timeline.png', topk=2)
    (axes,) = drawn[0].axes
    assert words_of(axes) == ['fight', 'noFight']  # one band a run of scenes
    assert [label.get_text() for label in axes.get_yticklabels()] == ['predicted', 'noFight', 'fight']


def test_attention_has_times_and_a_scale(drawn, tmp_path):
    frames, weights = np.zeros((2, 32, 64, 3), np.uint8), np.zeros((2, 4, 4))
    weights[:, 0, 0] = 1
    draw_attention(frames, {'space': weights}, 'title', tmp_path / 'a.png', [0.5, 1.25], (16, 0, 48, 32))
    panels, bar = drawn[0].axes[:4], drawn[0].axes[4]
    assert [axes.get_title() for axes in panels] == ['0.50 s', '1.25 s', '', '']
    assert [label.get_text() for label in bar.get_yticklabels()] == ['0', '', '16.0×']
