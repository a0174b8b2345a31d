"""Search for the words of a config whose training validates best, by Optuna:

mmtsf sweep CONFIG --search lr=log:1e-5:1e-3 recipe=paper,modern model.backbone.drop_path_rate=0:0.3 --trials 20
mmtsf sweep CONFIG --search lr=log:1e-5:1e-3 recipe=paper,modern model.backbone.drop_path_rate=0:0.3 --resume

Each trial is a training in a process and a work dir of its own. The table is trials.csv, the best config best.py.
"""

import argparse
from importlib.util import find_spec

from mmtsf.sweep.space import parse_space
from mmtsf.utils.arguments import add_config, add_options, check_run, positive
from mmtsf.utils.imports import for_training
from mmtsf.utils.locations import is_address

#: Trials if neither their number nor a time is given
TRIALS = 20
#: Words that the search itself gives each of its trainings, and what is given in their place
OWN = {
    'work_dir': '--work-dir',
    'resume': '--resume',
    'randomness.seed': '--seed, for all trials; train best.py with others',
    'launcher': '--gpus',
    'new_data': 'another --work-dir for other data',
    'default_hooks.checkpoint.out_dir': '--work-dir',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_config(parser)
    words = (
        'words of the config and their values: NAME=LOW:HIGH, NAME=log:LOW:HIGH, NAME=LOW:HIGH:STEP (whole numbers if '
        'all of them are) or NAME=A,B,C'
    )
    parser.add_argument('--search', nargs='+', required=True, metavar='NAME=VALUES', help=words)
    words = f'trials, those of an earlier call included (default: {TRIALS}, or as many as --hours has time for)'
    parser.add_argument('--trials', type=positive(int, 100_000), help=words)
    words = 'hours after which the running trial writes a checkpoint and the search stops; --resume goes on'
    parser.add_argument('--hours', type=positive(float, 100_000), help=words)
    parser.add_argument('--resume', action='store_true', help='go on with the search in the work dir, if there is one')
    parser.add_argument('--metric', help='score of a validation, e.g. acc/mean1 (default: its first)')
    words = 'whether more or less is better (default: min for loss, acc/ece, acc/nll and acc/brier, max for others)'
    parser.add_argument('--goal', choices=('max', 'min'), help=words)
    words = "how words are chosen: Optuna's tree-structured Parzen estimator, or at random (default: tpe)"
    parser.add_argument('--sampler', choices=('tpe', 'random'), default='tpe', help=words)
    words = (
        'which trials end early: those that validate worse than the median of the others at the same epoch, those that '
        'successive halving leaves out, or none (default: median)'
    )
    parser.add_argument('--pruner', choices=('median', 'halving', 'none'), default='median', help=words)
    words = 'trials before which none ends early by the median (default: 5)'
    parser.add_argument('--startup', type=positive(int, 100_000), default=5, help=words)
    parser.add_argument('--seed', type=int, default=0, help='seed of the search, and of each training (default: 0)')
    words = 'whose checkpoints stay: of the best trial, or of all (default: best)'
    parser.add_argument('--keep', choices=('best', 'all'), default='best', help=words)
    words = 'processes of a trial, one a GPU, as tools/dist_train.sh starts them (default: one process)'
    parser.add_argument('--gpus', type=positive(int, 1024), help=words)
    parser.add_argument('--amp', choices=('auto', 'bfloat16', 'float16', 'off'), help='precision, as of mmtsf train')
    parser.add_argument('--work-dir', help='folder of the search (default: work_dirs/sweep_NAME_OF_CONFIG)')
    add_options(parser, words='changes to the config of all trials, e.g. data.root=/videos max_epochs=5')


def check(args: argparse.Namespace) -> None:
    """Check the words of the search, and paths.

    Raises:
        OSError: If something does not exist, or cannot be written.
        ValueError: If a word of the search is none, or Optuna is missing.
    """
    space = parse_space(args.search)
    _check_own(args, [dimension.name for dimension in space])
    fixed = [word.split('=', 1)[0] for word in args.cfg_options]
    if twice := [dimension.name for dimension in space if dimension.name in fixed]:
        raise ValueError(f'--cfg-options and --search have {twice[0]}; give it once')
    if args.seed < 0:
        raise ValueError(f'--seed is {args.seed}, expected a whole number from 0 on')
    if args.work_dir and is_address(args.work_dir):
        raise ValueError(f'--work-dir is {args.work_dir}, an address; a search lies on a local disk, in a SQLite file')
    if find_spec('optuna') is None:
        raise ValueError("mmtsf sweep needs Optuna, and that is not installed; pip install 'mmtsf[sweep]'")
    check_run(args)


def _check_own(args: argparse.Namespace, searched: list[str]) -> None:
    """Refuse words that the search itself gives: they would have no effect."""
    own = OWN | (dict(amp='either it or --amp') if args.amp else {})
    for option, names in (
        ('--search', searched),
        ('--cfg-options', [word.split('=', 1)[0] for word in args.cfg_options]),
    ):
        for name in names:
            for word, instead in own.items():
                if f'{name}.'.startswith(f'{word}.') or (word.startswith(f'{name}.') and option == '--search'):
                    raise ValueError(f'{option} has {name}, which the search gives each trial itself; give {instead}')


def run(args: argparse.Namespace) -> int | None:
    """Search, print the table; 1 where no trial has ended well."""
    with for_training():
        from mmtsf.sweep.study import sweep

    return sweep(args, TRIALS)
