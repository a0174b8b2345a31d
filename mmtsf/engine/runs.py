"""Train and test as a command line asks."""

import argparse
import copy
import json
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process

from mmtsf.utils.screen import log_warnings

from .dry_run import dry_run
from .launch import prepare, rank_of
from .runner import Runner
from .runner.checkpoint_files import CheckpointFiles
from .runner.job import may_be_restarted
from .runner.precision import choose
from .runner.work_dir import claim, refuse_used


def train(args: argparse.Namespace) -> None:
    """Train a model, or with ``--dry-run`` say what a training will take."""
    config = prepare(args)
    apply_arguments(config, args)
    if args.dry_run:
        lines = list(dry_run(config))
        if is_main_process():
            print(*lines, sep='\n')
        return
    if rank_of(args.launcher) == 0:  # before anything is written there
        claim(Path(config.work_dir))
        if not (config.get('resume') or may_be_restarted()):
            refuse_used(CheckpointFiles(Path(config.work_dir)))
    runner = Runner.from_cfg(config)
    log_warnings(runner.logger)
    runner.train()


def apply_arguments(config: Config, args: argparse.Namespace) -> None:
    """Apply the command line's options to the config."""
    if args.seed is not None:
        config.randomness.seed = args.seed
    if args.resume == 'auto':
        config.resume = 'auto'
    elif args.resume:
        config.resume, config.load_from = True, args.resume
    config.new_data = args.new_data
    if args.amp:
        choose(args.amp)  # refuses what this machine does not have, before anything is written
        config.amp = args.amp
    if args.auto_scale_lr:
        config.auto_scale_lr.enable = True


def test(args: argparse.Namespace) -> None:
    """Test a model, and write its metrics to ``metrics.json`` in the work dir."""
    config = prepare(args)
    given = copy.deepcopy(config)
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
    runner = Runner.from_cfg(config)
    runner.given_cfg = given  # what is left in the work dir asks for no dump, and starts from no tested checkpoint
    runner.dump_config()
    log_warnings(runner.logger)
    results = runner.test()
    if is_main_process():
        Path(config.work_dir, 'metrics.json').write_text(json.dumps(results, default=lambda value: value.tolist()))
