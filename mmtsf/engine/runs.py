"""Train and test as a command line asks."""

import argparse
import copy
import json
import shlex
import shutil
from contextlib import suppress
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process

from mmtsf.utils.locations import is_address
from mmtsf.utils.mistakes import mistake
from mmtsf.utils.screen import ON_SCREEN, log_warnings, say
from mmtsf.utils.text import without_secrets
from mmtsf.visualization import draw_curves

from .dry_run import dry_run
from .launch import prepare, rank_of
from .runner import Runner
from .runner.checkpoint_files import CheckpointFiles
from .runner.job import may_be_restarted
from .runner.mirror import local_folder
from .runner.precision import choose
from .runner.work_dir import claim, refuse_used
from .summary import by_epoch


def train(args: argparse.Namespace) -> None:
    """Train a model, or with ``--dry-run`` say what a training will take."""
    config = prepare(args)
    apply_arguments(config, args)
    if args.dry_run:
        lines = list(dry_run(config))
        if is_main_process():
            print(*lines, sep='\n')
        return
    is_first, work_dir = rank_of(args.launcher) == 0, Path(local_folder(config.work_dir))
    before = set(work_dir.iterdir()) if work_dir.is_dir() else None
    if is_first:  # before anything is written there
        claim(work_dir)
        if not (config.get('resume') or may_be_restarted()):
            refuse_used(CheckpointFiles(work_dir))
    runner = None
    try:
        runner = Runner.from_cfg(config)
        log_warnings(runner.logger)
        runner.train()
    except Exception as error:
        if is_first and not (runner and runner.has_trained) and mistake(error):
            remove_new(work_dir, before)
        raise
    if is_main_process():
        draw_run(runner, work_dir)
        runner.copy_out(alone=True)
        best = runner.message_hub.runtime_info.get('best_ckpt')
        last = work_dir / 'last_checkpoint'
        newest = last.read_text().strip() if last.is_file() else None
        is_there = best and (Path(best).exists() or (runner.mirror and runner.mirror.holds(best)))
        if checkpoint := best if is_there else newest:
            say_next('test', config, checkpoint)


def remove_new(work_dir: Path, before: set[Path] | None) -> None:
    """Remove what a refused training has left in its work dir, which held what was ``before``; None: there was none."""
    for path in set(work_dir.iterdir()) - (before or set()):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if before is None:
        with suppress(OSError):  # another process of the run writes there, still
            work_dir.rmdir()


def draw_run(runner: Runner, work_dir: Path) -> None:
    """Draw the curves of a training over epochs to ``curves.png`` in its work dir; that cannot end a run."""
    if not by_epoch(runner):
        return
    classes = (getattr(runner.train_dataloader.dataset, 'metainfo', None) or {}).get('classes')
    out = work_dir / 'curves.png'
    try:
        draw_curves({out.parent.resolve().name: out.parent}, 1 / len(classes) if classes else None, out)
        runner.logger.info(f'curves: {out}', extra=ON_SCREEN)
    except (OSError, ValueError) as error:  # a log that is half written, too
        runner.logger.warning(f'the curves cannot be drawn: {error}')


def say_next(step: str, config: Config, checkpoint: str) -> None:
    """Say which commands come after a training or a test, with the paths that they have here."""
    work_dir, here, name = config.work_dir, Path(local_folder(config.work_dir)), Path(checkpoint).name
    is_here = is_address(work_dir) or (here / name).exists()
    is_there = is_here and (here / name).resolve() == Path(checkpoint).resolve()
    read = join(work_dir, Path(config.filename or 'config.py').name)
    model = shlex.join([read, join(work_dir, name) if is_there else without_secrets(checkpoint)])
    folder = shlex.quote(work_dir)
    if step == 'test':
        say(f'next: mmtsf test {model} --work-dir {folder}')
    elif Path(here, 'predictions.csv').exists():
        say(f'next: mmtsf report {folder} {shlex.quote(join(work_dir, "report.html"))}')
    say(f'next: mmtsf predict VIDEO {model}')


def join(folder: str, name: str) -> str:
    """Return the path or the address of a file in a work dir."""
    return f'{folder.rstrip("/")}/{name}' if is_address(folder) else str(Path(folder, name))


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


def test(args: argparse.Namespace) -> Config:
    """Test a model, and write its metrics to ``metrics.json`` in the work dir; return the config."""
    config = prepare(args)
    given = copy.deepcopy(config)
    config.load_from = args.checkpoint
    metrics = config.test_evaluator if isinstance(config.test_evaluator, list) else [config.test_evaluator]
    for metric in metrics:
        if metric['type'] == 'VideoAccuracy':
            metric.out_dir = local_folder(config.work_dir)
    dumps = [dict(type='DumpResults', out_file_path=args.dump)] if args.dump else []
    config.test_evaluator = [*metrics, *dumps]
    # a checkpoint's weights are the averaged ones already
    hooks = [hook for hook in config.get('custom_hooks') or [] if hook['type'] != 'EMAHook']
    config.custom_hooks = [*hooks, dict(type='FuseHook')]
    config.default_hooks.ema = None
    runner = Runner.from_cfg(config, given)  # what is left asks for no dump, and starts from no tested checkpoint
    log_warnings(runner.logger)
    results = runner.test()
    if is_main_process():
        out = Path(local_folder(config.work_dir), 'metrics.json')
        out.write_text(json.dumps(results, default=lambda value: value.tolist()))
        runner.copy_out(alone=True)
    return config
