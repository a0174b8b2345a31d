"""Write words on frames, and find fonts that have their letters."""

import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

#: Height of letters: this part of a frame's shorter side, but no less than so many pixels
LETTERS, LEAST = 1 / 24, 11
#: Part of the frame's height that a strip may take
STRIP = 0.5
#: How much of the frame is left under a strip
SHINES_THROUGH = 0.3


def drawable(text: str) -> str:
    """Replace what no font can draw: line breaks, control characters, bytes that are no text."""
    known = text.encode(errors='replace').decode()
    return ''.join(letter if letter.isprintable() else ' ' for letter in known)


@lru_cache
def font_of(letters: frozenset[str]) -> tuple[str, str]:
    """Find a font's file and family: DejaVu Sans of Matplotlib, or else the first installed one that has all letters.

    Where none has them, DejaVu Sans draws boxes, and a warning says for which."""
    import matplotlib  # with font_manager, half a second

    own = Path(matplotlib.get_data_path(), 'fonts/ttf/DejaVuSans.ttf')
    codes = {ord(letter) for letter in letters}
    if missing := codes - _letters_of(str(own)):
        from matplotlib import font_manager

        for font in font_manager.fontManager.ttflist:
            if 'Last Resort' not in font.name and codes <= _letters_of(font.fname):
                return font.fname, font.name
        signs = ''.join(map(chr, sorted(missing)[:10]))
        warnings.warn(
            f'no installed font has {signs!r}, which are drawn as boxes; install one, e.g. Noto', stacklevel=2
        )
    return str(own), 'DejaVu Sans'


@lru_cache
def _letters_of(file: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError):  # a font of another kind, or one that is gone
        return frozenset()


def with_words(frame: np.ndarray, lines: list[str]) -> np.ndarray:
    """Write lines on a dark strip along the upper edge of a frame ``(H, W, 3)`` uint8.

    The letters' size follows the frame's. A line that is too long is cut before its last word, which may be a score;
    of lines that would cover more than half of the frame, the last ones are counted instead.
    """
    if not lines:
        return frame
    strip = _strip(tuple(lines), *frame.shape[:2])
    frame, height = frame.copy(), len(strip)
    below = frame[:height] * SHINES_THROUGH
    frame[:height] = below + strip[..., None] / 255 * (255 - below)
    return frame


@lru_cache
def _strip(lines: tuple[str, ...], height: int, width: int) -> np.ndarray:
    """Draw white lines on black, ``(height of the strip, width)``."""
    size = max(round(min(height, width) * LETTERS), LEAST)
    pitch, margin = round(1.4 * size), size // 2
    room = max(int((height * STRIP - margin) // pitch), 1)
    if len(lines) > room:
        lines = (*lines[: room - 1], f'+ {len(lines) - room + 1}') if room > 1 else lines[:1]
    image = Image.new('L', (width, min(pitch * len(lines) + margin, height)))
    for number, line in enumerate(map(drawable, lines)):
        font = ImageFont.truetype(font_of(frozenset(line))[0], size)
        fit = _fitted(line, font, width - 2 * margin)
        ImageDraw.Draw(image).text((margin, margin + number * pitch), fit, 255, font)
    return np.asarray(image)


def _fitted(line: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Cut a line in front of its last word until it is no wider than so many pixels."""
    begin, _, last = line.rpartition(' ')
    if not begin or len(last) > 6:
        begin, last = line, ''
    whole = line
    while begin and font.getlength(line) > width:
        begin = begin[:-1]
        line = f'{begin.rstrip()}… {last}'.rstrip()
    return line if font.getlength(line) <= width else whole
