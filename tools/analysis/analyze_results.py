#!/usr/bin/env python
"""Write an HTML report of a test: the columns of the paper's Table 2 (training hours, accuracy, inference TFLOPs,
parameters), results by class, confusion matrix, and the wrong predictions of highest score:

python tools/test.py CONFIG CHECKPOINT --work-dir WORK_DIR
python tools/analysis/analyze_results.py WORK_DIR report.html

Training hours, of all processes together, are known where WORK_DIR is that of the training, too. TFLOPs are
multiply-accumulates of all views of a video, as in the paper.

The page stands alone: pictures are in it, and it opens without a network.
"""

import argparse
import base64
from pathlib import Path

from mmtsf.utils.arguments import mistakes_of, new_parser
from mmtsf.utils.files import check_target
from mmtsf.utils.tables import read_table


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    parser.add_argument('work_dir', type=Path, help="the test's work dir, with predictions.csv")
    parser.add_argument('out', type=Path, help='page to write')
    parser.add_argument('--errors', type=int, default=20, help='errors that are shown (default: 20)')
    args = parser.parse_args()
    file = args.work_dir / 'predictions.csv'
    with mistakes_of(parser):
        if not file.exists():
            raise FileNotFoundError(f'{file} does not exist; tools/test.py writes it to its --work-dir')
        check_target(args.out, 'OUT', [file])
    return args


if __name__ == '__main__':
    parse_args()  # tells mistakes before the imports below, which take seconds

import cv2
import jinja2
import numpy as np

from mmtsf.datasets.decoders import BrokenVideoError, open_video
from mmtsf.datasets.transforms.read_video import blamed_on
from mmtsf.evaluation.run_costs import costs_of

FRAMES, HEIGHT = 4, 96  # of a thumbnail, pixels
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ title }}</title>
<style>
 body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
 table { border-collapse: collapse } td, th { padding: .2rem .8rem; border-bottom: 1px solid #ddd; text-align: left }
 td.n { text-align: right; font-variant-numeric: tabular-nums } img { max-width: 100%; vertical-align: middle }
 .bar { display: inline-block; height: .7em; background: #4878a8 }
</style>
<h1>{{ title }}</h1>
<p>{{ correct }} of {{ rows | length }} videos right: <b>{{ '%.1f' % (100 * correct / rows | length) }} %</b> top-1.</p>
<table><tr>{% for name in costs %}<th>{{ name }}{% endfor %}</tr>
<tr>{% for value in costs.values() %}<td class="n">{{ value }}{% endfor %}</tr></table>
<h2>Classes, the worst first</h2>
<table><tr><th>class<th>videos<th>right<th>recall<th>precision<th>most often taken for</tr>
{% for c in classes %}<tr><td>{{ c.name }}<td class="n">{{ c.videos }}<td class="n">{{ c.right }}
<td><span class="bar" style="width: {{ 6 * c.recall }}rem"></span> {{ '%.1f' % (100 * c.recall) }} %
<td class="n">{{ '%.1f %%' % (100 * c.precision) if c.predicted else '' }}<td>{{ c.taken_for }}</tr>
{% endfor %}</table>
{% if matrix %}<h2>Confusion matrix</h2><img alt="confusion matrix" src="data:image/png;base64,{{ matrix }}">{% endif %}
<h2>Wrong predictions with the highest scores</h2>
<table><tr><th>video<th>is<th>taken for<th>score</tr>
{% for e in errors %}<tr><td>{% if e.picture %}<img alt="" src="data:image/jpeg;base64,{{ e.picture }}"><br>{% endif %}
{{ e.video }}{% if e.missing %} ({{ e.missing }}){% endif %}
<td>{{ e['class'] }}<td>{{ e.predicted }}<td class="n">{{ '%.1f' % (100 * e.score | float) }} %</tr>
{% else %}<tr><td>none</tr>{% endfor %}</table>
"""


def main() -> None:
    args = parse_args()
    rows = read_table(args.work_dir / 'predictions.csv')
    wrong = sorted((row for row in rows if row['class'] != row['predicted']), key=lambda row: -float(row['score']))
    matrix = args.work_dir / 'confusion_matrix.png'
    costs = costs_of(args.work_dir, len(rows) - len(wrong), len(rows))
    page = (
        jinja2.Environment(autoescape=True)
        .from_string(PAGE)
        .render(
            title=f'Test of {args.work_dir.resolve().name}',
            rows=rows,
            correct=len(rows) - len(wrong),
            costs=costs,
            classes=sorted(by_class(rows), key=lambda c: c['recall']),
            matrix=base64.b64encode(matrix.read_bytes()).decode() if matrix.exists() else None,
            errors=[row | thumbnail(row['video']) for row in wrong[: args.errors]],
        )
    )
    args.out.write_text(page, encoding='utf-8')
    print(f'wrote {args.out}: {len(rows)} videos, {len(wrong)} errors')
    print('\n'.join(f'| {" | ".join(cells)} |' for cells in (costs, ['---'] * len(costs), costs.values())))


def by_class(rows: list[dict]) -> list[dict]:
    """Count correct and wrong predictions of every class that has videos."""
    results = []
    for name in sorted({row['class'] for row in rows}):
        predicted_for = [row['predicted'] for row in rows if row['class'] == name]
        predicted = sum(row['predicted'] == name for row in rows)
        right, others = predicted_for.count(name), [other for other in predicted_for if other != name]
        results.append(
            dict(
                name=name,
                videos=len(predicted_for),
                right=right,
                predicted=predicted,
                recall=right / len(predicted_for),
                precision=right / max(predicted, 1),
                taken_for=max(set(others), key=others.count) if others else '',
            )
        )
    return results


def thumbnail(path: str) -> dict:
    """Return a strip of a video's frames as ``picture``, or as ``missing`` the reason why there is none."""
    try:
        with blamed_on(path):
            reader = open_video(path)
            frames = reader.read(np.linspace(0, reader.num_frames - 1, FRAMES + 2).astype(int)[1:-1])
    except BrokenVideoError as error:
        return dict(missing=error.reason)
    width = HEIGHT * frames.shape[2] // frames.shape[1]
    strip = np.concatenate(
        [cv2.resize(frame, (width, HEIGHT), interpolation=cv2.INTER_AREA) for frame in frames], axis=1
    )
    return dict(picture=base64.b64encode(cv2.imencode('.jpg', strip[..., ::-1])[1]).decode())


if __name__ == '__main__':
    main()
