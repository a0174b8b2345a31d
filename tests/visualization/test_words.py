"""Words on frames can be read, whatever the frame and the words."""

import numpy as np
import pytest

from mmtsf.visualization import with_words
from mmtsf.visualization.words import _fitted, font_of


def rows_of(frame: np.ndarray) -> np.ndarray:
    """Which rows have white letters."""
    return (frame.min(axis=2) > 200).any(axis=1)


@pytest.mark.parametrize(('height', 'width'), [(128, 170), (360, 640), (1080, 1920), (1920, 1080)])
def test_letters_are_white_on_dark_and_as_large_as_the_frame_asks(height, width):
    frame = np.full((height, width, 3), 255, np.uint8)
    drawn = with_words(frame, ['HHHH'])
    strip = (drawn.max(axis=2) < 100).any(axis=1)
    assert strip[: strip.sum()].all()
    rows = np.flatnonzero((drawn[: strip.sum()].min(axis=2) > 200).any(axis=1))
    assert len(rows) == pytest.approx(0.73 * max(min(height, width) / 24, 11), rel=0.15, abs=1)
    assert (frame == 255).all()  # the frame itself is left alone
    assert (drawn[strip.sum() :] == 255).all()


def test_a_long_name_keeps_its_score_and_many_lines_are_counted():
    from PIL import ImageFont

    font = ImageFont.truetype(font_of(frozenset('a'))[0], 11)
    fit = _fitted('playing a musical instrument in the street 87%', font, 120)
    assert fit.startswith('playing')
    assert fit.endswith('… 87%')
    assert font.getlength(fit) <= 120
    black = np.zeros((128, 170, 3), np.uint8)
    many = with_words(black, [f'class {number} 1%' for number in range(9)])
    assert not rows_of(many)[64:].any()
    assert (many == with_words(black, ['class 0 1%', 'class 1 1%', '+ 7'])).all()


def test_letters_without_a_font_are_boxes_and_a_warning_says_which(monkeypatch):
    from matplotlib import font_manager

    monkeypatch.setattr(font_manager.fontManager, 'ttflist', [])
    with pytest.warns(UserWarning, match="no installed font has '冰溜'"):
        font_of(frozenset('溜冰 x'))
    assert rows_of(with_words(np.zeros((128, 170, 3), np.uint8), ['溜冰 3%', 'a\udce9\nb'])).any()
    font_of.cache_clear()
