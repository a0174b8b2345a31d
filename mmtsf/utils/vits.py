"""Find the architecture that a config asks for by name, without slow imports."""

import difflib
import runpy
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from .sources import config_path

#: What a config says whose architecture is that of its weights, and the architecture of all weights that have no own
AUTO, PLAIN = 'auto', 'vit_base_patch16'


def vits_path() -> Path:
    """Return the path of the table of architectures."""
    return config_path('mmtsf::_base_/models/vits.py')


@cache
def shipped_vits() -> dict[str, dict]:
    """Read the table of architectures, by their names."""
    return runpy.run_path(str(vits_path()))['vits']


def check_vit(name: Any, known: Iterable[str]) -> None:
    """Refuse a name that no architecture has.

    Raises:
        ValueError: With the nearest names.
    """
    known = list(known)
    if name in known:
        return
    close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    hint = f'did you mean {" or ".join(map(repr, close))}?' if close else f'known are {", ".join(known)}'
    raise ValueError(f'vit is {name!r}, and there is no architecture of that name; {hint}')


def published_of(starts: Iterable[Any], table: dict[str, dict]) -> str | None:
    """Return the first of several names of weights that a table of architectures has; None if there is none."""
    return next((start for start in starts if isinstance(start, str) and start in table), None)


def vit_of(vit: Any, starts: Iterable[Any], table: dict[str, dict]) -> str:
    """Return the name of an architecture.

    Args:
        vit (str): What the config says: a name, or ``'auto'`` for that of the weights.
        starts (Iterable): What the config's weights are taken from; the first that is a name of the table counts.
        table (dict[str, dict]): Architectures by their names.

    Raises:
        ValueError: If there is no such architecture, or the weights are of another one.
    """
    published = published_of(starts, table)
    if vit == AUTO:
        return published or PLAIN
    check_vit(vit, [AUTO, *table])
    shipped = shipped_vits()
    if published and {vit, published} <= set(shipped) and shipped[vit]['backbone'] != shipped[published]['backbone']:
        raise ValueError(f'vit is {vit!r}, and start={published} is of another architecture; set vit={published}')
    return vit
