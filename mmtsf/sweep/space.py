"""Parse the words of a search: ``NAME=LOW:HIGH``, ``NAME=log:LOW:HIGH``, ``NAME=LOW:HIGH:STEP`` or ``NAME=A,B,C``."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

#: Most words of a search, and choices of a word
MOST_WORDS, MOST_CHOICES = 50, 100
#: Largest number of a range
MOST = 1e15
EXPECTED = 'expected LOW:HIGH, log:LOW:HIGH, LOW:HIGH:STEP or choices A,B,C'


@dataclass(frozen=True)
class Dimension:
    """Hold the values that a word of a config may have: texts to choose from, or a range of numbers.

    Args:
        name (str): Its dotted name in a config.
        choices (tuple[str, ...]): Values as on the command line. Defaults to ``()``: a range.
        low, high (int | float): The range, both ends included; whole numbers if both are whole.
        step (int | float, optional): Distance of its numbers. Defaults to None: any.
        log (bool): Whether it is searched on a logarithmic scale. Defaults to False.
    """

    name: str
    choices: tuple[str, ...] = ()
    low: int | float = 0
    high: int | float = 0
    step: int | float | None = None
    log: bool = False

    def __str__(self) -> str:
        if self.choices:
            return f'{self.name}={",".join(self.choices)}'
        numbers = [*(['log'] if self.log else []), self.low, self.high, *([] if self.step is None else [self.step])]
        return f'{self.name}={":".join(map(str, numbers))}'

    @property
    def size(self) -> float:
        """How many values there are."""
        if self.choices or not (self.step or isinstance(self.low, int)):
            return len(self.choices) or math.inf
        return math.floor((self.high - self.low) / (self.step or 1) + 1e-9) + 1

    def ends(self) -> tuple[str, ...]:
        """Return the choices, or both ends of the range, as on the command line."""
        return self.choices or (str(self.low), str(self.high))


def parse_space(words: Iterable[str]) -> tuple[Dimension, ...]:
    """Parse the words of a search.

    Raises:
        ValueError: With the word, what is expected and an example.
    """
    words = list(words)
    if not 0 < len(words) <= MOST_WORDS:
        raise ValueError(f'--search has {len(words)} words, expected 1 to {MOST_WORDS}, as lr=log:1e-5:1e-3')
    space = tuple(map(_dimension, words))
    names = [dimension.name for dimension in space]
    for name in names:
        if [other for other in names if f'{other}.'.startswith(f'{name}.')] != [name]:
            raise ValueError(f'--search has {name} twice, or a part of it; give each word once')
    return space


def _dimension(word: str) -> Dimension:
    name, equals, text = word.partition('=')
    if not equals or not re.fullmatch(r'[A-Za-z_]\w*(\.\w+)*', name, re.ASCII):
        raise ValueError(f'--search has {word!r}, expected NAME=VALUES, as lr=log:1e-5:1e-3 or recipe=paper,modern')
    choices = _split(text)
    if len(choices) > 1:
        return _of_choices(word, name, choices)
    parts = text.split(':')
    log = parts[0] == 'log'
    numbers = [_number(part) for part in parts[log:]]
    if not 2 <= len(numbers) <= 3 - log or None in numbers:
        raise ValueError(
            f'--search has {word!r}, {EXPECTED}; a single value belongs behind --cfg-options, a range without a step '
            'has one scale'
        )
    return _of_range(word, name, [number for number in numbers if number is not None], log)


def _of_choices(word: str, name: str, choices: list[str]) -> Dimension:
    values = {choice if (number := _number(choice)) is None else number for choice in choices}
    if '' in choices or len(values) < len(choices) or len(choices) > MOST_CHOICES:
        raise ValueError(f'--search has {word!r}, expected up to {MOST_CHOICES} different choices, none of them empty')
    return Dimension(name, tuple(choices))


def _of_range(word: str, name: str, numbers: list[int | float], log: bool) -> Dimension:
    if not all(isinstance(number, int) for number in numbers):
        numbers = list(map(float, numbers))
    low, high, *step = numbers
    if low >= high or (log and low <= 0) or (step and not 0 < step[0] <= high - low):
        raise ValueError(
            f'--search has {word!r}, expected LOW below HIGH, LOW above 0 on a logarithmic scale, and STEP within them'
        )
    return Dimension(name, (), low, high, step[0] if step else None, log)


def _number(text: str) -> int | float | None:
    """Return the number that a text is, None of another one."""
    if not re.fullmatch(r'[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?', text, re.ASCII) or len(text) > 40:
        return None
    number = int(text) if re.fullmatch(r'[+-]?\d+', text) else float(text)
    return number if math.isfinite(number) and abs(number) <= MOST else None


def _split(text: str) -> list[str]:
    """Split at commas outside brackets and quotes."""
    parts, depth, quote = [''], 0, ''
    for sign in text:
        if quote or sign in '\'"':
            quote = '' if sign == quote else quote or sign
        depth += (sign in '([{') - (sign in ')]}') if not quote else 0
        if sign == ',' and not depth and not quote:
            parts.append('')
        else:
            parts[-1] += sign
    return parts
