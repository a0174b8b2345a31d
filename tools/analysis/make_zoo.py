#!/usr/bin/env python
"""Write the model zoo, docs/zoo.md, from mmtsf/model-index.yml: python tools/analysis/make_zoo.py

Parameters and multiply-accumulates are computed; all else stands in the index.
"""

import argparse
import logging
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from mmtsf.utils.arguments import mistakes_of, new_parser
from mmtsf.utils.files import check_target, written_whole

ROOT = Path(__file__).parents[2]


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    parser.add_argument('page', nargs='?', type=Path, default=ROOT / 'docs/zoo.md', help='page (default: docs/zoo.md)')
    args = parser.parse_args()
    with mistakes_of(parser):
        check_target(args.page, 'PAGE')
    return args


if __name__ == '__main__':
    parse_args()  # tells mistakes before the imports below, which take seconds

import torch
import yaml
from mmengine.registry import init_default_scope

from mmtsf.config import load_config
from mmtsf.evaluation.model_costs import count_macs, count_parameters
from mmtsf.registry import MODELS

INDEX = ROOT / 'mmtsf/model-index.yml'
HEAD = """\
# Model zoo

*Made from [mmtsf/model-index.yml](../mmtsf/model-index.yml) by `python tools/analysis/make_zoo.py`.*

No weights have been trained at the paper's scale here. What is listed are the paper's results, the weights that others
publish with the results that they give, and what the models of our configs have and cost: parameters, and
multiply-accumulates a view (one clip, one crop), the paper's figure before ours. Accuracies are top-1 / top-5, in
percent.
"""
COLUMNS = ('config', 'paper', 'parameters', 'G MACs: paper / ours', 'weights', 'their result', 'options')
STARTS = """\
`start=NAME` in a config or on the command line, which brings parts, sizes and pixels: [weights.md](weights.md#starts).
"""
TAIL = """
## Commands

`CONFIG` is a file of the tables, or `mmtsf::` and its name; `NAME` is a name of published weights, which are fetched at
the first use, or a file.

```text
# needs the data set, 8 GPUs, and a network for the weights
bash tools/dist_train.sh CONFIG 8
mmtsf test CONFIG NAME --cfg-options OPTIONS
mmtsf convert NAME weights.safetensors
mmtsf convert NAME folder --to huggingface
```

`OPTIONS` are those of the table: how the publishers of the weights tested them. Weights load without being converted;
[weights.md](weights.md) says what differs, and what the converter reports.
"""


@cache  # several weights may be of one config
def cost_of(config_file: str) -> tuple[int, int]:
    """Count parameters and multiply-accumulates per view of a config's model."""
    config = load_config(str(ROOT / config_file))
    with torch.device('meta'):
        model = MODELS.build(config.model).eval()
    return count_parameters(model).total(), count_macs(model, config).total()


def accuracy(metrics: dict[str, float]) -> str:
    """Format top-1 and, if known, top-5 accuracy."""
    return ' / '.join(f'{metrics[key]}' for key in ('Top 1 Accuracy', 'Top 5 Accuracy') if key in metrics)


def table(rows: list[tuple[str, ...]], columns: tuple[str, ...]) -> Iterator[str]:
    """Format a Markdown table."""
    yield f'| {" | ".join(columns)} |'
    yield '|' + '---|' * len(columns)
    for row in rows:
        yield ''.join(f'| {cell} ' if cell else '| ' for cell in row) + '|'


def weights(model: dict) -> str:
    """Link the published weights' name to their address."""
    return f'[`{model["Name"]}`]({model["Weights"]})' if 'Weights' in model else ''


def code(text: str) -> str:
    """Format a text as code; an empty text stays empty."""
    return f'`{text}`' if text else ''


def row_of(model: dict) -> tuple[str, ...]:
    """Make a model's row; further weights of the same config repeat no figures of the paper."""
    result, about = model['Results'][0], model.get('Metadata', {})
    params, macs = cost_of(model['Config'])
    costs = [str(about['FLOPs'])] if 'FLOPs' in about else []
    return (
        f'[`{Path(model["Config"]).name}`](../{model["Config"]})',
        accuracy(result.get('Metrics', {})),
        f'{params:,}',
        ' / '.join([*costs, f'{macs / 1e9:.1f}']),
        weights(model),
        accuracy(result.get('Released', {})),
        code(about.get('Options', '')),
    )


def sections(models: list[dict]) -> Iterator[str]:
    """Make one table for each data set."""
    trained = [model for model in models if 'Results' in model]
    trained.sort(key=lambda model: 'Metrics' not in model['Results'][0])  # those of the paper first
    for dataset in dict.fromkeys(model['Results'][0]['Dataset'] for model in trained):
        yield f'\n## {dataset}\n'
        yield from table([row_of(m) for m in trained if m['Results'][0]['Dataset'] == dataset], COLUMNS)


def memory(models: list[dict]) -> Iterator[str]:
    """Make the table of measured memory."""
    yield '\n## Memory\n\nOf one clip on a CPU, beyond the weights; training has the gradients in it.\n'
    rows = []
    for model in models:
        about = model.get('Metadata', {})
        if 'Memory' in about:
            source = f'[{Path(about["Benchmark"]).stem}](../{about["Benchmark"]})'
            rows.append((code(Path(model['Config']).name), about['Memory'], source))
    yield from table(rows, ('config', 'memory', 'measured'))


def starts(models: list[dict]) -> Iterator[str]:
    """Make the table of models of images, or of videos, to start from."""
    yield '\n## Models to start from\n\n' + STARTS
    rows = []
    for model in models:
        if 'Results' not in model:
            about = model['Metadata']
            terms = f', [terms to accept]({about["Gated"]})' if 'Gated' in about else ''
            rows.append((weights(model), about['Training Data'], about['Licence'] + terms))
    yield from table(rows, ('weights', 'trained on', 'licence'))


def main() -> None:
    args = parse_args()
    logging.disable(logging.WARNING)
    init_default_scope('mmtsf')
    models = yaml.safe_load(INDEX.read_text())['Models']
    lines = [HEAD.rstrip('\n'), *sections(models), *memory(models), *starts(models)]
    with written_whole(args.page) as part:
        part.write_text('\n'.join(lines) + '\n' + TAIL)


if __name__ == '__main__':
    main()
