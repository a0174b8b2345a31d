#!/usr/bin/env python
"""Train on a Ray cluster: Ray Train starts the processes, and starts them again, in place of torchrun.

python projects/ray_train/train.py CONFIG --processes 8 --address auto [ARGUMENTS OF mmtsf train]
"""

import argparse
import os
import tempfile
import uuid

from mmtsf.commands.train import add_arguments, check
from mmtsf.utils.arguments import mistakes_of, new_parser, positive


def main() -> None:
    """Read the command line, and train on the cluster."""
    parser = new_parser(__doc__)
    add_arguments(parser)
    parser.add_argument('--processes', type=positive(int), default=1, help='one a GPU, or a CPU where there are none')
    parser.add_argument('--address', default='local', help='of the cluster, e.g. auto (default: begin one here)')
    words = 'how often all may start again from the newest checkpoint (default: 3)'
    parser.add_argument('--max-failures', type=int, default=3, metavar='N', help=words)
    args = parser.parse_args()
    with mistakes_of(parser):
        check(args)
        train(args)


def train(args: argparse.Namespace) -> None:
    """Train in processes that Ray starts.

    Raises:
        ValueError: If the cluster cannot hold so many, or the config cannot be trained.
    """
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from mmtsf.engine.launch import prepare

    os.environ.setdefault('RAY_TRAIN_ENABLE_PRINT_PATCH', '0')  # lines are printed, and not logged as well
    prepare(args)  # mistakes are told before the cluster is asked
    ray.init(address=args.address)
    kind, found = 'GPU', int(ray.cluster_resources().get('GPU', 0))
    if not found:
        kind, found = 'CPU', int(ray.cluster_resources()['CPU'])
    if args.processes > found:
        raise ValueError(f'--processes is {args.processes}, but the cluster has {found} {kind}s; give up to {found}')
    given = dict(args=vars(args) | dict(launcher='pytorch'), folder=os.getcwd(), job=uuid.uuid4().hex)
    scaling = ScalingConfig(num_workers=args.processes, use_gpu=kind == 'GPU')
    with tempfile.TemporaryDirectory() as folder:  # of checkpoints that Ray is given: none, they are in the work dir
        run = RunConfig(storage_path=folder, failure_config=FailureConfig(max_failures=args.max_failures))
        TorchTrainer(train_here, train_loop_config=given, scaling_config=scaling, run_config=run).fit()


def train_here(given: dict) -> None:
    """Train in this process, which has met the others."""
    os.chdir(given['folder'])  # relative names mean what they meant to whoever typed them
    # as torchrun says it of processes that it has started again: they go on from checkpoints of their own job, if any
    os.environ.update(MMTSF_LAUNCH=given['job'], TORCHELASTIC_RESTART_COUNT='1')

    from mmtsf.engine.runs import train

    train(argparse.Namespace(**given['args']))


if __name__ == '__main__':
    main()
