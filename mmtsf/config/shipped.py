"""Shipped configs by name, ``'mmtsf::timesformer_base_k400.py'``, here and in MMEngine.

The wheel holds them in ``mmtsf/.mim``, where MMEngine looks for a package's configs. But MMEngine 0.10.7 knows the
packages by a list of its own, asks that configs lie in folders, and needs ``pkg_resources``, which setuptools 82 no
longer has. So once mmtsf is imported, the questions that MMEngine asks about ``mmtsf::`` are answered here; those about
other packages stay MMEngine's.
"""

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hub import hub

PREFIX = 'mmtsf::'
PACKAGE = Path(__file__).parents[1]


def config_path(config: str | Path) -> Path:
    """Path of a config file, or of a shipped config by its name.

    Args:
        config (str | Path): A path, or ``'mmtsf::NAME.py'``.

    Raises:
        FileNotFoundError: If there is none.
    """
    if str(config).startswith(PREFIX):
        return _shipped(str(config).removeprefix(PREFIX))
    if not Path(config).is_file():
        raise FileNotFoundError(f'the config {config} does not exist; those of the paper lie in configs/')
    return Path(config)


def _shipped(name: str) -> Path:
    """Path of a shipped config: in the installed package, or in the checkout."""
    installed = PACKAGE / '.mim/configs'
    folder = installed if installed.is_dir() else PACKAGE.parent / 'configs'
    if (folder / name).is_file():
        return folder / name
    known = sorted(path.name for path in folder.glob('*.py'))
    close = difflib.get_close_matches(name, known, n=1)
    hint = f'did you mean {PREFIX}{close[0]}?' if close else f'known are {", ".join(known)}'
    raise FileNotFoundError(f'mmtsf has no config {name!r}; {hint}')


def _first_ask(ours: Callable, usual: Callable) -> Callable:
    """``ours`` for names of mmtsf, ``usual`` for all others."""

    def answer(name: str, *rest: Any) -> Any:
        return ours(name) if name.partition('::')[0] == 'mmtsf' else usual(name, *rest)

    return answer


def extend_mmengine() -> None:
    """Let MMEngine find configs of mmtsf, as a ``_base_`` and in ``mmengine.hub.get_config``."""
    bases = _first_ask(lambda name: (str(config_path(name)), None), Config._get_cfg_path)
    Config._get_cfg_path = staticmethod(bases)
    answers: dict[str, Callable] = {
        '_get_package_and_cfg_path': lambda name: tuple(name.split('::')),
        'install_package': lambda name: None,
        'get_installed_path': lambda name: str(PACKAGE),
    }
    for question, ours in answers.items():
        setattr(hub, question, _first_ask(ours, getattr(hub, question)))
