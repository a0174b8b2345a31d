"""Read config files whose bases may be shipped ones by name, ``'mmtsf::timesformer_base_k400.py'``."""

from pathlib import Path

from mmengine.config import Config

from mmtsf.compat import read_config_file
from mmtsf.utils.sources import PREFIX, config_path


def from_file(path: str | Path) -> Config:
    """Read a config file, as :meth:`mmengine.Config.fromfile` does; ``mmtsf::NAME.py`` is a base, too."""
    return read_config_file(path, lambda base: config_path(base) if base.startswith(PREFIX) else None)
