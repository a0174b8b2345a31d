"""Tables and pictures of the study's results."""

import csv
import statistics
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402

Results = dict[tuple[str, str], dict[str, list[float]]]


def write_report(out: Path) -> None:
    """Write ``report.md`` and a picture of each study, from ``results.csv`` in the same folder."""
    results = read(out / 'results.csv')
    lines = [
        '# The study',
        '',
        'Top-1 on the test videos: mean over the seeds, from the least to the most in brackets.',
        '',
    ]
    schemes = {data: values for (study, data), values in results.items() if study == 'scheme'}
    if schemes:
        lines += ['## Attention schemes', '', *table('scheme', schemes), '', '![Schemes](schemes.png)', '']
        draw(schemes, out / 'schemes.png')
    for (study, data), values in results.items():
        if study != 'scheme':
            picture = f'{study.replace(" ", "_")}.png'
            lines += [f'## {study.capitalize()}', '', *table(study, {data: values}), '', f'![{study}]({picture})', '']
            draw({data: values}, out / picture)
    (out / 'report.md').write_text('\n'.join(lines))


def read(file: Path) -> Results:
    """Accuracies of the seeds by study and data set, and by the value that was compared."""
    results: Results = defaultdict(lambda: defaultdict(list))
    with file.open(newline='') as rows:
        for row in csv.DictReader(rows):
            results[row['study'], row['data']][row['value']].append(float(row['top1']))
    return results


def table(head: str, columns: dict[str, dict[str, list[float]]]) -> list[str]:
    """Lines of a Markdown table, a column for each data set."""
    values = list(next(iter(columns.values())))
    rows = [[value, *(shown(column[value]) for column in columns.values())] for value in values]
    return [f'| {" | ".join(row)} |' for row in ([head, *columns], ['---'] * (len(columns) + 1), *rows)]


def shown(accuracies: list[float]) -> str:
    return f'{statistics.mean(accuracies):.1%} ({min(accuracies):.1%} to {max(accuracies):.1%})'


def draw(columns: dict[str, dict[str, list[float]]], path: Path) -> None:
    """Bars of the means, with a dot for every seed."""
    values = list(next(iter(columns.values())))
    figure, axes = plt.subplots(figsize=(1.5 + 1.1 * len(values) * len(columns) ** 0.5, 3.5), layout='constrained')
    width = 0.8 / len(columns)
    for number, (data, column) in enumerate(columns.items()):
        places = [place + (number - (len(columns) - 1) / 2) * width for place in range(len(values))]
        axes.bar(places, [statistics.mean(column[value]) for value in values], width, label=data, alpha=0.7)
        for place, value in zip(places, values):
            axes.plot([place] * len(column[value]), column[value], 'k.', markersize=4)
    axes.set_xticks(range(len(values)), values)
    axes.set(ylabel='top-1', ylim=(0, 1.02))
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False, loc='upper left', bbox_to_anchor=(1, 1))
    figure.savefig(path, dpi=120)
    plt.close(figure)
