"""Text for messages."""

import reprlib
from collections.abc import Iterable


def shorten(keys: Iterable[str], most: int = 5) -> str:
    """The first few keys as text that may be shown, and how many more there are."""
    keys = list(keys)
    shown = [key if str(key).isprintable() and len(str(key)) < 200 else reprlib.repr(key) for key in keys[:most]]
    return ', '.join(map(str, shown)) + (f' and {len(keys) - most} more' if len(keys) > most else '')
