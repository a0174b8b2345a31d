"""Figures show names as they are, whatever they are."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from mmtsf.apis.timeline import Scene
from mmtsf.visualization import draw_attention, draw_clips, draw_confusion_matrix, draw_timeline
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
    for name in ODD:
        drawn = draw(name, how, tmp_path / 'figure.png')
        assert drawn.shape != bare.shape or (drawn != bare).any(), name


def test_a_formula_is_drawn_letter_by_letter(tmp_path):
    formula, letters, dollars = (draw(name, 'clips', tmp_path / 'a.png') for name in ('$xx$', 'xx', '$xx'))
    assert (formula != letters).any()
    assert (formula != dollars).any()
    assert literal('a $b$ \\$') == 'a \\$b\\$ \\\\$'
