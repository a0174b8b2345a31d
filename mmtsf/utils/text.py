"""Text for messages."""

import re
import reprlib
from collections.abc import Iterable


def shorten(keys: Iterable[str], most: int = 5) -> str:
    """The first few keys as text that may be shown, and how many more there are."""
    keys = list(keys)
    shown = [key if str(key).isprintable() and len(str(key)) < 200 else reprlib.repr(key) for key in keys[:most]]
    return ', '.join(map(str, shown)) + (f' and {len(keys) - most} more' if len(keys) > most else '')


def without_secrets(source: str) -> str:
    """Name a source in messages: of an address no user, no password, and nothing behind ``?``, ``;`` and ``#``."""
    is_address = re.match(r'\s*([a-z][\w+.-]*:|//)', source, re.IGNORECASE)
    return cleaned(re.sub(r'\s', '%20', source.strip())) if is_address else source


def cleaned(text: object) -> str:
    """Remove from a message what may be secret in the addresses in it, and what steers a terminal."""
    shown = re.sub(r'(\b[a-z][\w+.-]*:/*|//)\S*@', r'\1***@', str(text), flags=re.IGNORECASE)
    shown = re.sub(r'\s+', ' ', re.sub(r'([?;#])\S+', r'\1***', shown))
    return ''.join(sign if sign.isprintable() else '�' for sign in shown)[:1000]
