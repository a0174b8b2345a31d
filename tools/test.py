#!/usr/bin/env python
"""Test a model: python tools/test.py configs/timesformer_base_k400.py CHECKPOINT"""

import argparse
import json
from pathlib import Path

from mmengine.dist import is_main_process

from mmtsf.engine.launch import add_common_arguments, prepare
from mmtsf.engine.runner.runner import Runner


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file, e.g. configs/timesformer_base_k400.py')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--dump', metavar='FILE.pkl', help='write all predictions to this file')
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.dump and not args.dump.endswith(('.pkl', '.pickle')):
        raise ValueError(f'--dump is {args.dump}, expected a name that ends in .pkl')
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
