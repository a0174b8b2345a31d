"""Make tables and figures of the study's results, and compare them with the paper's ranking."""

import itertools
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from mmtsf.utils.tables import read_table

#: Accuracies of the seeds by the value that was compared
Accuracies = dict[str, list[float]]
#: The paper's top-1 on K400 and SSv2 (Tables 1 and 4; section 4.7 has the order's as losses)
PAPER = {
    'scheme': {
        'space': (76.9, 36.6),
        'joint': (77.4, 58.5),
        'divided': (78.0, 59.5),
        'local-global': (75.9, 56.3),
        'axial': (73.5, 56.2),
    },
    'position embedding': {'none': (75.4, 45.8), 'space': (77.8, 52.5), 'space-time': (78.0, 59.5)},
    'order': {'time first': (78.0, 59.5), 'space first': (77.5, 59.0), 'parallel': (77.6, 59.1)},
}
#: Of what the paper gives as a trend, from better to worse: Figures 4 and 5, and section 4.7
TRENDS = {
    'patch size': ['8', '12', '16'],
    'frames': ['12', '8', '4'],
    'pixels': ['64', '48', '32'],
    'training videos': ['100%', '50%', '25%'],
}


def write_report(out: Path) -> None:
    """Write ``report.md`` and the pictures, from ``results.csv`` and ``costs.csv`` in the same folder."""
    results = read(out / 'results.csv')
    lines = [
        '# The study',
        '',
        'Top-1 on the test videos: mean of the seeds, the lowest to the highest in brackets.',
        '',
    ]
    for study, columns in results.items():
        picture = f'{study.replace(" ", "_")}.png'
        lines += [f'## {study.capitalize()}', '', *table(study, columns), '', f'![{study}]({picture})', '']
        lines += [line for number, data in enumerate(columns) for line in verdict(study, data, columns[data], number)]
        draw(columns, out / picture)
    if (out / 'costs.csv').exists():
        lines += ['## Costs', '', '![Costs](costs.png)', '']
        draw_costs(read_table(out / 'costs.csv'), out / 'costs.png')
    (out / 'report.md').write_text('\n'.join(lines))


def read(file: Path) -> dict[str, dict[str, Accuracies]]:
    """Read the accuracies by study and data set."""
    results: dict = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for row in read_table(file):
        results[row['study']][row['data']][row['value']].append(float(row['top1']))
    return results


def table(study: str, columns: dict[str, Accuracies], papers: dict = PAPER) -> list[str]:
    """Format a Markdown table: a column for each data set, and the paper's figures."""
    paper = papers.get(study, {})
    head = [study, *columns, *(['paper: K400, SSv2'] if paper else [])]
    rows = [
        [
            value,
            *(shown(column[value]) if value in column else '–' for column in columns.values()),
            *(['{}, {}'.format(*paper[value])] if paper else []),
        ]
        for value in next(iter(columns.values()))
    ]
    return [f'| {" | ".join(row)} |' for row in (head, ['---'] * len(head), *rows)]


def shown(accuracies: list[float]) -> str:
    return f'{statistics.mean(accuracies):.1%} ({min(accuracies):.1%} to {max(accuracies):.1%})'


def verdict(study: str, data: str, accuracies: Accuracies, number: int) -> list[str]:
    """Say for every pair of the paper's ranking whether every seed of the better is above every seed of the worse.

    The ranking is that of SSv2 for the first data set, in which motion tells the class, and that of K400 for others.
    """
    if study in PAPER:
        name, column = ('K400', 0) if number else ('SSv2', 1)
        ranking = sorted(PAPER[study], key=lambda value: -PAPER[study][value][column])
        ranking_name = f"the paper's ranking on {name}"
    else:
        ranking, ranking_name = TRENDS[study], "the paper's trend"
    said: dict[str, list[str]] = {'seen': [], 'the opposite': [], 'within the spread': []}
    for better, worse in itertools.combinations([value for value in ranking if value in accuracies], 2):
        said[relation(accuracies[better], accuracies[worse])].append(f'{better} > {worse}')
    findings = '; '.join(f'{word}: {", ".join(pairs)}' for word, pairs in said.items() if pairs)
    return [f'{data}, {ranking_name}: {findings}.', ''] if findings else []


def relation(better: list[float], worse: list[float]) -> str:
    """Say whether every seed of the better is above every seed of the worse."""
    if min(better) > max(worse):
        return 'seen'
    return 'the opposite' if max(better) < min(worse) else 'within the spread'


def pyplot() -> Any:
    """Import matplotlib when it is needed, with a backend for files."""
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot

    return matplotlib.pyplot


def draw(columns: dict[str, Accuracies], path: Path) -> None:
    """Draw bars of the means, with a dot for every seed."""
    plt, values = pyplot(), list(next(iter(columns.values())))
    figure, axes = plt.subplots(figsize=(1.5 + 1.1 * len(values) * len(columns) ** 0.5, 3.5), layout='constrained')
    width = 0.8 / len(columns)
    for number, (data, column) in enumerate(columns.items()):
        shift = (number - (len(columns) - 1) / 2) * width
        there = {place + shift: column[value] for place, value in enumerate(values) if value in column}
        axes.bar(list(there), list(map(statistics.mean, there.values())), width, label=data, alpha=0.7)
        for place, accuracies in there.items():
            axes.plot([place] * len(accuracies), accuracies, 'k.', markersize=4)
    axes.set_xticks(range(len(values)), values)
    axes.set(ylabel='top-1', ylim=(0, 1.02))
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False, loc='upper left', bbox_to_anchor=(1, 1))
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_costs(rows: list[dict[str, str]], path: Path) -> None:
    """Draw multiply-accumulates and memory against pixels at 8 frames, and against frames at 224 pixels."""
    plt = pyplot()
    figure, axes = plt.subplots(2, 2, figsize=(9, 6), layout='constrained')
    costs = {'gigamacs': '10⁹ multiply-accumulates', 'megabytes': 'memory, MB'}
    for (line, (cost, unit)), (column, (axis, other, fixed)) in itertools.product(
        enumerate(costs.items()), enumerate([('pixels', 'frames', '8'), ('frames', 'pixels', '224')])
    ):
        for scheme in dict.fromkeys(row['scheme'] for row in rows):
            points = [row for row in rows if row['scheme'] == scheme and row[other] == fixed and row[cost]]
            axes[line, column].plot(
                [int(row[axis]) for row in points], [float(row[cost]) for row in points], 'o-', label=scheme
            )
        axes[line, column].set(xlabel=axis, ylabel=unit, ylim=(0, None))
        axes[line, column].spines[['top', 'right']].set_visible(False)
    axes[0, 0].legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
