"""Translate weight names between two implementations."""

import re
from collections.abc import Mapping

PLACEHOLDERS = {'i': r'\d+', 'p': 'weight|bias'}


class KeyTable:
    """Hold pairs of names, theirs and ours, and translate in both directions.

    Args:
        names (Mapping[str, str]): Their name to ours. ``{i}`` stands for the number of a block, ``{p}`` for ``weight``
            or ``bias``.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = dict(names)
        self._to_ours = [(_pattern(theirs), ours) for theirs, ours in names.items()]
        self._to_theirs = [(_pattern(ours), theirs) for theirs, ours in names.items()]

    def to_ours(self, key: str) -> str | None:
        """Return our name of their ``key``, or None."""
        return _translate(key, self._to_ours)

    def to_theirs(self, key: str) -> str | None:
        """Return their name of our ``key``, or None."""
        return _translate(key, self._to_theirs)

    def missing(self, keys: list[str]) -> list[str]:
        """Return their required names that none of ``keys`` matches."""
        patterns = zip(self.names, (pattern for pattern, _ in self._to_ours))
        return [name for name, pattern in patterns if not any(pattern.fullmatch(key) for key in keys)]


def _pattern(template: str) -> re.Pattern:
    parts = re.split(r'\{(\w)\}', template)
    for index, part in enumerate(parts):
        parts[index] = f'(?P<{part}>{PLACEHOLDERS[part]})' if index % 2 else re.escape(part)
    return re.compile(''.join(parts))


def _translate(key: str, rules: list[tuple[re.Pattern, str]]) -> str | None:
    for pattern, template in rules:
        if match := pattern.fullmatch(key):
            return template.format(**match.groupdict())
    return None
