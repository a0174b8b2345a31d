from .data_source import settle
from .load import load_config, read_config
from .references import resolve

__all__ = ['load_config', 'read_config', 'resolve', 'settle']
