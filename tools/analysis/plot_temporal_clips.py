#!/usr/bin/env python
"""Plot accuracy against the number of temporal clips, one crop each, as in the paper's Figure 6:

python tools/analysis/plot_temporal_clips.py CONFIG CHECKPOINT clips.png

Takes the config's test list and decodes every video once. The accuracies, those of tools/test.py with view=Kx1, are
written beside the picture, clips.csv.
"""

import argparse
from pathlib import Path

from mmtsf.utils.arguments import add_model, add_options, check_model, mistakes_of, new_parser, parsed
from mmtsf.utils.files import check_target


def arguments() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    add_model(parser)
    parser.add_argument('out', type=Path, help='picture to write, e.g. clips.png')
    parser.add_argument(
        '--clips', type=int, nargs='+', default=[1, 3, 5, 10], metavar='K', help='(default: 1 3 5 10, as the paper)'
    )
    add_options(parser)
    return parser


def parse_args() -> argparse.Namespace:
    parser = arguments()
    args = parser.parse_args()
    with mistakes_of(parser):
        if min(args.clips) < 1 or len(set(args.clips)) < len(args.clips):
            raise ValueError(f'--clips is {args.clips}, expected different numbers of at least 1')
        if own := [word for word in args.cfg_options if word.startswith(('view=', 'views.num_'))]:
            raise ValueError(f'--cfg-options has {own[0]}, which this tool sets itself; leave it out, and give --clips')
        if args.out.suffix != '.png':
            raise ValueError(f'OUT is {args.out}, expected a name that ends in .png')
        check_model(args)
        for target in (args.out, args.out.with_suffix('.csv')):
            check_target(target, 'OUT', [Path(args.config), Path(args.checkpoint)])
    return args


if __name__ == '__main__':
    parse_args()  # tells mistakes before the imports below, which take seconds

import sys
from copy import deepcopy

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from rich.progress import track

from mmtsf.apis import init_recognizer
from mmtsf.config import load_config
from mmtsf.datasets.transforms.read_video import OPENERS
from mmtsf.engine.launch import keep_freed_memory
from mmtsf.engine.runner import Runner
from mmtsf.utils.tables import new_table, rounded
from mmtsf.visualization import draw_clip_accuracies


class SampleEach:
    """Sample what several protocols take of a video, to be decoded together; the clips of the first come first.

    Args:
        samplings (list[list[dict]]): Transforms of each protocol that choose frames.
    """

    def __init__(self, samplings: list[list[dict]]) -> None:
        self.samplings = [Compose(sampling) for sampling in samplings]

    def __call__(self, results: dict) -> dict:
        sampled = [sampling(dict(results)) for sampling in self.samplings]
        frames = np.concatenate([one['frame_inds'] for one in sampled])
        return dict(sampled[0], frame_inds=frames, num_clips=sum(one['num_clips'] for one in sampled))


@torch.no_grad()
def main() -> None:
    args = parse_args()
    options = parsed(args.cfg_options)
    with mistakes_of(arguments()):
        configs = [
            load_config(args.config, options | {'views.num_clips': number, 'views.num_crops': 1})
            for number in args.clips
        ]
        init_default_scope(configs[0].get('default_scope') or 'mmtsf')
        decoded = decoded_once(configs)
        check_target(args.out.with_suffix('.csv'), "OUT's table", lists_of(decoded.dataset))
    model = init_recognizer(configs[0], args.checkpoint, fused=True)
    keep_freed_memory(model.data_preprocessor.device)
    loader = Runner.build_dataloader(decoded, seed=0)
    evaluators = [Evaluator(metrics_of(configs[0])) for _ in args.clips]
    scored = 0
    for batch in track(loader, 'testing', disable=not sys.stdout.isatty()):
        for inputs, sample in zip(batch['inputs'], batch['data_samples'], strict=True):
            scored += not sample.get('broken')
            for evaluator, views in zip(evaluators, inputs.split(args.clips), strict=True):
                data = dict(inputs=[views], data_samples=[sample])
                evaluator.process(model.test_step(data), data)
    for evaluator in evaluators:
        evaluator.dataset_meta = loader.dataset.metainfo
    write(args, [evaluator.evaluate(len(loader.dataset)) for evaluator in evaluators])
    print(f'wrote {args.out} and {args.out.with_suffix(".csv")}: {scored} videos')


def write(args: argparse.Namespace, metrics: list[dict[str, float]]) -> None:
    """Write and print the metrics of each number of clips, and draw them."""
    with new_table(args.out.with_suffix('.csv'), ['clips', *metrics[0]]) as add:
        for number, values in zip(args.clips, metrics, strict=True):
            add([number, *(rounded(float(value)) for value in values.values())])
            print(f'{number:3} clips: ' + ', '.join(f'{name} {float(value):.1%}' for name, value in values.items()))
    draw_clip_accuracies(args.clips, metrics, args.out)


def metrics_of(config: Config) -> list[dict]:
    """Return a config's metrics without files to write: a config that a run leaves names the results of that run."""
    metrics = config.test_evaluator if isinstance(config.test_evaluator, list) else [config.test_evaluator]
    metrics = [metric for metric in metrics if metric['type'].rpartition('.')[2] != 'DumpResults']
    return [{key: deepcopy(value) for key, value in metric.items() if key != 'out_dir'} for metric in metrics]


def lists_of(dataset: dict) -> list[Path]:
    """Return the annotation list of a data set, if it has one."""
    return [Path(dataset.get('data_root') or '', dataset['ann_file'])] if dataset.get('ann_file') else []


def decoded_once(configs: list[Config]) -> dict:
    """Make a data loader's config whose samples have the clips of all configs, one after the other.

    Raises:
        ValueError: If the pipelines differ in more than how they sample clips, there is none to change, or the length
            of a video decides how many clips it has.
    """
    datasets = [config.test_dataloader.dataset for config in configs]
    if not all(dataset.get('pipeline') for dataset in datasets):
        raise ValueError(
            f'test_dataloader.dataset, a {datasets[0].type}, has no pipeline of its own, in which clips are sampled; '
            'give the data set that it wraps'
        )
    parts = [split(dataset.pipeline) for dataset in datasets]
    opening, _, rest = parts[0]
    if any(transform.get('start') == 'cover' for _, sampling, _ in parts for transform in sampling):
        raise ValueError(
            "the config's clips cover a video (data.sampling=cover): they are as many as its length takes; give "
            'data.sampling=rate, in which --clips says how many'
        )
    if any((first, last) != (opening, rest) for first, _, last in parts):
        raise ValueError(
            'the number of clips changes more of the test pipeline than the sampling; test with each apart'
        )
    loader = deepcopy(configs[0].test_dataloader)
    loader.dataset.pipeline = [*opening, SampleEach([sampling for _, sampling, _ in parts]), *rest]
    return loader


def split(pipeline: list[dict]) -> tuple[list[dict], list[dict], list[dict]]:
    """Split a pipeline into what opens a video, what chooses frames, and what decodes them and follows.

    Raises:
        ValueError: If it has no such parts.
    """
    names = [transform['type'].rpartition('.')[2] for transform in pipeline]
    opens = next((place for place, name in enumerate(names) if name in OPENERS.values()), None)
    decodes = next((place for place, name in enumerate(names) if name in OPENERS), None)
    if opens is None or decodes is None:
        raise ValueError(
            f'the test pipeline is {names}, expected one that opens a video, samples clips and decodes them'
        )
    return pipeline[: opens + 1], pipeline[opens + 1 : decodes], pipeline[decodes:]


if __name__ == '__main__':
    main()
