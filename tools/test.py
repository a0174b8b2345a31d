#!/usr/bin/env python
"""Test a model: python tools/test.py configs/timesformer_base_k400.py CHECKPOINT"""

import argparse
import json
from pathlib import Path

from mmtsf.utils.arguments import add_model, add_run_arguments, check_model, check_run, mistakes_of, new_parser
from mmtsf.utils.files import check_folder


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add_model(parser)
    parser.add_argument('--dump', metavar='FILE.pkl', help='write all predictions to this file')
    add_run_arguments(parser)
    args = parser.parse_args()
    with mistakes_of(parser):
        if args.dump and not args.dump.endswith(('.pkl', '.pickle')):
            raise ValueError(f'--dump is {args.dump}, expected a name that ends in .pkl')
        check_run(args)
        check_model(args)
        if args.dump:
            check_folder(Path(args.dump).parent, "--dump's folder")
    if args.check:
        parser.exit()
    return args


if __name__ == '__main__':
    parse_args()  # tells mistakes before the imports below, which take seconds

from mmengine.dist import is_main_process

from mmtsf.engine.launch import prepare
from mmtsf.engine.runner import Runner


def main() -> None:
    args = parse_args()
    config = prepare(args)
    config.load_from = args.checkpoint
    metrics = config.test_evaluator if isinstance(config.test_evaluator, list) else [config.test_evaluator]
    for metric in metrics:
        if metric['type'] == 'VideoAccuracy':
            metric.out_dir = config.work_dir
    dumps = [dict(type='DumpResults', out_file_path=args.dump)] if args.dump else []
    config.test_evaluator = [*metrics, *dumps]
    # a checkpoint's weights are the averaged ones already
    hooks = [hook for hook in config.get('custom_hooks') or [] if hook['type'] != 'EMAHook']
    config.custom_hooks = [*hooks, dict(type='FuseHook')]
    config.default_hooks.ema = None
    results = Runner.from_cfg(config).test()
    if is_main_process():
        Path(config.work_dir, 'metrics.json').write_text(json.dumps(results, default=lambda value: value.tolist()))


if __name__ == '__main__':
    main()
