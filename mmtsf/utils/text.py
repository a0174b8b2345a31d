"""Format keys, sources and messages, without secrets and control characters."""

import re
import reprlib
from collections.abc import Iterable
from typing import Any

#: An address in a text: up to the quotation mark that it begins behind, or up to a space
ADDRESS = re.compile(r"""(?<=(['"]))([a-z][\w+.-]*://(?:(?!\1).)*)(?=\1)|\b([a-z][\w+.-]*://[^\s'"]+)""", re.IGNORECASE)


def shorten(keys: Iterable[str], most: int = 5) -> str:
    """List the first few keys as safe text, and the number of the others."""
    keys = list(keys)
    shown = [key if str(key).isprintable() and len(str(key)) < 200 else reprlib.repr(key) for key in keys[:most]]
    return ', '.join(map(str, shown)) + (f' and {len(keys) - most} more' if len(keys) > most else '')


def counted(number: int, noun: str) -> str:
    """Format a number with its noun, of which there may be several: 1 epoch, 2 processes."""
    ending = '' if number == 1 else 'es' if noun.endswith('s') else 's'
    return f'{number} {noun}{ending}'


def scaled(number: float, unit: str = '') -> str:
    """Format a large number in thousands or millions: 5.4 MB, 299.3 k."""
    return f'{number / 1e6:.1f} M{unit}' if number >= 1e6 else f'{number / 1e3:.1f} k{unit}'


def without_secrets(source: str) -> str:
    """Remove user, password and everything after ``?``, ``;`` and ``#`` from an address."""
    is_address = re.match(r'\s*([a-z][\w+.-]*:|//)', source, re.IGNORECASE)
    return cleaned(re.sub(r'\s', '%20', source.strip())) if is_address else source


def without_any_secrets(value: Any) -> Any:
    """Remove secrets from the addresses in a config, and from those in its text."""
    if isinstance(value, dict):
        return type(value)({key: without_any_secrets(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return type(value)(without_any_secrets(item) for item in value)
    if not isinstance(value, str) or '://' not in value:
        return value
    if '\n' not in value and re.match(r'\s*[a-z][\w+.-]*://', value, re.IGNORECASE):
        return without_secrets(value)
    return ADDRESS.sub(lambda found: without_secrets(found[2] or found[3]), value)


def cleaned(text: object) -> str:
    """Remove secrets in addresses, and terminal control characters, from a message."""
    shown = re.sub(r'(\b[a-z][\w+.-]*:/*|//)\S*@', r'\1***@', str(text), flags=re.IGNORECASE)
    shown = re.sub(r'\s+', ' ', re.sub(r'([?;#])\S+', r'\1***', shown))
    return ''.join(sign if sign.isprintable() else '�' for sign in shown)[:1000]
