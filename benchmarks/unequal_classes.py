"""Compare ways to make up for classes of unequal size: a small model from scratch on clips thinned to a ratio.

python benchmarks/unequal_classes.py FOLDER out.csv

FOLDER has train_list.txt, val_list.txt and test_list.txt with two classes. Of the training list's first class all clips
are kept, of the others the first ones, as many as the ratio leaves. After the last epoch the model is tested on both of
the other lists: nothing is chosen by them.
"""

import argparse
import tempfile
import time
from pathlib import Path

from mmtsf.config import load_config
from mmtsf.datasets.annotation_list import read_list
from mmtsf.engine.runner import Runner
from mmtsf.utils.tables import new_table

WAYS = {
    'none': {},
    'balance': {'training.balance': 1},
    'logit_adjustment': {'training.logit_adjustment': 1},
    'focal': {'training.focal': 2, 'training.class_weight': 'inverse'},
}
METRICS = ('acc/mean1', 'acc/top1', 'acc/macro_f1', 'acc/ece')


def main() -> None:
    """Train each way with each seed, and write its metrics as they come."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--ratio', type=int, default=10, help='clips of the first class for one of another')
    parser.add_argument('--ways', nargs='+', choices=WAYS, default=list(WAYS))
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--epochs', type=int, default=20)
    parser.add_argument('--config', default='configs/timesformer_tiny_motion.py')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work_dir, new_table(args.out, ['way', 'seed', *METRICS, 'seconds']) as write:
        lists = write_lists(args.folder, args.ratio, Path(work_dir))
        for seed in args.seeds:
            for way in args.ways:
                start = time.perf_counter()
                metrics = train(args, lists | WAYS[way], seed, f'{work_dir}/{way}_{seed}')
                row = [way, seed, *(round(float(metrics[name]), 4) for name in METRICS)]
                write([*row, round(time.perf_counter() - start)])
                print(*row, flush=True)


def write_lists(folder: Path, ratio: int, out: Path) -> dict:
    """Write the thinned training list and the one that is tested on; return the options that name them."""
    rows = {name: read_list(folder / f'{name}_list.txt', folder).rows for name in ('train', 'val', 'test')}
    by_class: dict[str, list] = {}
    for row in rows['train']:
        by_class.setdefault(row.labels[0], []).append(row)
    few = round(len(by_class['0']) / ratio)
    kept = [videos if label == '0' else videos[:few] for label, videos in by_class.items()]
    lists = dict(train=[row for videos in kept for row in videos], val=rows['val'] + rows['test'])
    for name, videos in lists.items():
        Path(out, f'{name}.txt').write_text(''.join(f'{row.path} {row.labels[0]}\n' for row in videos))
    print(f'{" and ".join(str(len(videos)) for videos in kept)} clips to train on, {len(lists["val"])} to test on')
    options = {f'data.{name}_list': str(out / f'{name}.txt') for name in lists}
    return options | {'data.source': 'list', 'data.root': str(folder), 'data.num_classes': len(by_class)}


def train(args: argparse.Namespace, options: dict, seed: int, work_dir: str) -> dict:
    """Train once, and test after the last epoch."""
    config = load_config(args.config, options | {'max_epochs': args.epochs})
    config.work_dir, config.randomness = work_dir, dict(seed=seed)
    config.train_cfg.val_begin = args.epochs + 1
    config.default_hooks.checkpoint = None
    runner = Runner.from_cfg(config)
    runner.train()
    return runner.val_loop.run()


if __name__ == '__main__':
    main()
