"""Print the resolved config, and where each value comes from:

mmtsf config configs/timesformer_hr_k600.py --cfg-options clip.num_frames=32 recipe=modern
"""

import argparse

from mmtsf.utils.arguments import add_config, add_options, check_data_root, parsed
from mmtsf.utils.imports import for_prediction
from mmtsf.utils.sources import config_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_config(parser)
    add_options(parser)


def check(args: argparse.Namespace) -> None:
    """Check that the config exists, and of a shipped one that there are data."""
    check_data_root(config_path(args.config), args.cfg_options)


def run(args: argparse.Namespace) -> None:
    """Print a line for each value."""
    with for_prediction():
        from mmtsf.config import read_config, resolve
        from mmtsf.config.origins import origins

    changes = parsed(args.cfg_options)
    config = read_config(args.config, changes)
    options = [name for name in changes if name != 'recipe']
    resolve(config, options)  # refuses options without effect
    for name, value, place, origin in origins(config, options):
        led = f'{place}, ' if place != name else ''
        print(f'{name} = {value!r}  # {led}{origin or "option recipe"}')
