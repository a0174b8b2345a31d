"""Find shipped configs by name, ``'mmtsf::timesformer_base_k400.py'``.

The wheel holds them in ``mmtsf/.mim``, where OpenMMLab's packages keep theirs.
"""

import difflib
from pathlib import Path

from mmengine.config import Config

from mmtsf.compat import read_config_file

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


def from_file(path: str | Path) -> Config:
    """Read a config file, as :meth:`mmengine.Config.fromfile` does; ``mmtsf::NAME.py`` is a base, too."""
    return read_config_file(path, lambda base: config_path(base) if base.startswith(PREFIX) else None)
