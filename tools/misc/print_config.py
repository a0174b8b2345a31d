#!/usr/bin/env python
"""Print the resolved config, and where each value comes from:

python tools/misc/print_config.py configs/timesformer_hr_k600.py --cfg-options clip.num_frames=32 recipe=modern
"""

import argparse

from mmtsf.utils.arguments import add_config, add_options, check_data_root, mistakes_of, new_parser, parsed
from mmtsf.utils.sources import config_path


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add_config(parser)
    add_options(parser)
    args = parser.parse_args()
    with mistakes_of(parser):
        check_data_root(config_path(args.config), args.cfg_options)
    return args


if __name__ == '__main__':
    parse_args()  # tells mistakes before the imports below, which take seconds

from mmtsf.config import read_config, resolve
from mmtsf.config.origins import origins


def main() -> None:
    args = parse_args()
    changes = parsed(args.cfg_options)
    config = read_config(args.config, changes)
    options = [name for name in changes if name != 'recipe']
    resolve(config, options)  # refuses options without effect
    for name, value, place, origin in origins(config, options):
        led = f'{place}, ' if place != name else ''
        print(f'{name} = {value!r}  # {led}{origin}')


if __name__ == '__main__':
    main()
