#!/usr/bin/env python
"""Print a config as the tools see it, and where each value comes from:

python tools/misc/print_config.py configs/timesformer_hr_k600.py --cfg-options clip.num_frames=32 recipe=modern
"""

import argparse

from mmengine.config import DictAction

from mmtsf.config import read_config, resolve
from mmtsf.config.origins import origins


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help="config file, or the name of a shipped one, 'mmtsf::timesformer_base_k400.py'")
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    config = read_config(args.config, args.cfg_options)
    options = [name for name in args.cfg_options if name != 'recipe']
    resolve(config, options)  # refuses options without effect
    for name, value, place, origin in origins(config, options):
        led = f'{place}, ' if place != name else ''
        print(f'{name} = {value!r}  # {led}{origin}')


if __name__ == '__main__':
    main()
