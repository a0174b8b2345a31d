"""Write an HTML report of a test, with the videos that were taken for something else."""

import base64
import json
import os
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import cv2
import jinja2
import numpy as np

from mmtsf.datasets.decoders import BrokenVideoError, open_video
from mmtsf.datasets.transforms.read_video import blamed_on
from mmtsf.utils.files import write_text
from mmtsf.utils.remote_path import RemotePath
from mmtsf.utils.tables import read_table
from mmtsf.utils.text import counted, shorten

from .run_costs import costs_of

FRAMES, HEIGHT = 4, 96  # of a strip, pixels
STRIPS = 100  # errors that have one: pictures make the page large
PLAYED = ('.mp4', '.m4v', '.webm', '.mov', '.mkv', '.ogv')  # that browsers may play
MEANS = {'Mean class accuracy': 'recall', 'macro F1': 'f1'}  # over classes, by their names
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
 :root { color-scheme: light dark; --line: light-dark(#ddd, #444); --bar: light-dark(#4878a8, #6fa3d8) }
 body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
 div.wide { overflow-x: auto } table { border-collapse: collapse }
 td, th { padding: .2rem .8rem; border-bottom: 1px solid var(--line); text-align: left }
 td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
 .bar { display: inline-block; height: .7em; background: var(--bar) }
 img { max-width: 100%; background: #fff } img.whole { max-width: none; cursor: zoom-out } img.fit { cursor: zoom-in }
 nav { position: sticky; top: 0; z-index: 1; background: Canvas; padding: .6rem 0 }
 nav { border-bottom: 1px solid var(--line) }
 nav select { font: inherit; max-width: 60vw }
 #errors { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: 1.2rem }
 figure { margin: 0; border: 1px solid var(--line); border-radius: .5rem; overflow: hidden }
 figure video, figure img { width: 100%; display: block; background: #000 }
 figure video { aspect-ratio: 16 / 9 } figcaption { padding: .5rem .8rem; overflow-wrap: anywhere }
 th { white-space: nowrap } figcaption small { opacity: .7; display: block } [hidden] { display: none !important }
</style>
<h1>{{ title }}</h1>
<p>{% if several %}{{ told | capitalize }}.
{% else %}{{ correct }} of {{ rows | length }} videos right: \
<b>{{ '%.1f' % (100 * correct / rows | length) }} %</b> top-1.
{% endif %}
{% for name, value in measures.items() %}{{ name }} <b>{{ value }}</b>{{ ', ' if not loop.last else '.' }} {% endfor %}\
{% if untested %}Left out of means, without a test video: {{ untested }}.{% endif %}</p>
<div class="wide"><table><tr>{% for name in costs %}<th>{{ name }}{% endfor %}</tr>
<tr>{% for value in costs.values() %}<td class="n">{{ value }}{% endfor %}</tr></table></div>
<nav><label>Class <select id="filter"><option value="">all {{ classes | length }}</option>
{% for c in names %}<option>{{ c }}</option>{% endfor %}</select></label> <span id="told"></span></nav>
<h2>Classes, the worst first</h2>
<div class="wide"><table>
<tr><th>class<th>videos<th>right<th>recall<th>precision<th>F1<th>\
{{ 'average precision' if several else 'most often taken for' }}</tr>
{% for c in classes %}<tr data-classes="{{ [c.name] | tojson | forceescape }}"><td>{{ c.name -}}
<td class="n">{{ c.videos }}<td class="n">{{ c.right }}
<td><span class="bar" style="width: {{ 6 * c.recall }}rem"></span> {{ '%.1f' % (100 * c.recall) }} %
<td class="n">{{ '%.1f %%' % (100 * c.precision) if c.predicted else '' }}
<td class="n">{{ '%.3f' % c.f1 }}
{%- if several %}<td class="n">{{ '%.1f %%' % (100 * c.average_precision) }}
{%- else %}<td>{{ c.taken_for }}{% endif %}</tr>
{% endfor %}</table></div>
{% if matrix %}<h2>Confusion matrix</h2>
<div class="wide"><img id="matrix" class="fit" alt="confusion matrix" src="data:image/png;base64,{{ matrix }}"></div>
{% endif %}
{% if reliability %}<h2>Reliability</h2>
<p>How often {{ 'videos have a class' if several else 'predictions' }} of each score\
{{ '' if several else ' are right' }}: below the dotted line the model is surer than it is right.</p>
<div class="wide"><img alt="reliability curve" src="data:image/png;base64,{{ reliability }}"></div>
{% endif %}
{% if not several %}<h2>Wrong predictions with the highest scores</h2>
<p>Of each class at most {{ limit }}. Videos play from where they lie, as seen from this page.</p>
<div id="errors">
{% for e in errors %}<figure data-classes="{{ [e['class'], e.predicted] | tojson | forceescape }}">
{% if e.source %}
<video controls loop muted playsinline preload="metadata" src="{{ e.source }}#t=0.04"></video>{% endif %}
{% if e.picture %}<img alt="four frames" src="data:image/jpeg;base64,{{ e.picture }}">{% endif %}
<figcaption><b>{{ e['class'] }}</b>, taken for <b>{{ e.predicted }}</b>: {{ '%.1f' % (100 * e.score | float) }} %
<small>{{ e.video }}{% if e.missing %} ({{ e.missing }}){% endif %}</small></figcaption></figure>
{% else %}<p>none</p>{% endfor %}
</div>{% endif %}
<script>
const filter = document.getElementById('filter'), shown = document.querySelectorAll('[data-classes]');
function choose() {
  let left = 0;
  for (const one of shown) {
    one.hidden = filter.value && !JSON.parse(one.dataset.classes).includes(filter.value);
    left += !one.hidden && one.tagName == 'FIGURE';
  }
  if (!document.getElementById('errors')) return;
  document.getElementById('told').textContent = `${left} wrong prediction${left == 1 ? '' : 's'} shown below`;
}
filter.onchange = choose;
choose();
const matrix = document.getElementById('matrix');
if (matrix) matrix.onclick = () => { matrix.classList.toggle('whole'); matrix.classList.toggle('fit'); };
</script>
"""


class Report(NamedTuple):
    """What a report says in numbers.

    Attributes:
        told (str): What was tested, in words.
        costs (dict): Columns of the paper's Table 2 by name.
    """

    told: str
    costs: dict[str, str]


def write_report(work_dir: Path, out: Path | RemotePath, errors: int = 5) -> Report:
    """Write a page about a test.

    Args:
        work_dir (Path): Its work dir, with ``predictions.csv``; of several labels a video ``per_class.csv`` alone.
        out (Path | RemotePath): Page to write; at an address it has pictures, and no videos of this machine.
        errors (int): Errors of each class that are shown. Defaults to 5.
    """
    several = not (work_dir / 'predictions.csv').exists()
    found = _of_several(work_dir) if several else _of_one(work_dir, out, errors)
    costs = costs_of(work_dir, found['accuracy'])
    page = (
        jinja2.Environment(autoescape=True)
        .from_string(PAGE)
        .render(
            found,
            title=f'Test of {work_dir.resolve().name}',
            several=several,
            costs=costs,
            reliability=_picture(work_dir / 'reliability.png'),
            untested=shorten(_untested(work_dir)),
            limit=errors,
        )
    )
    write_text(out, page)
    return Report(found['told'], costs)


def _of_one(work_dir: Path, out: Path | RemotePath, errors: int) -> dict[str, Any]:
    """What the page says of a test with one label a video, by its predictions."""
    rows = read_table(work_dir / 'predictions.csv')
    wrong = sorted((row for row in rows if row['class'] != row['predicted']), key=lambda row: -float(row['score']))
    correct, classes = len(rows) - len(wrong), sorted(by_class(rows), key=lambda c: c['recall'])
    return dict(
        told=f'{counted(len(rows), "video")}, {counted(len(wrong), "error")}',
        accuracy={'top-1': f'{correct / len(rows):.1%}'},
        rows=rows,
        correct=correct,
        classes=classes,
        names=sorted({row[key] for row in rows for key in ('class', 'predicted')}),
        matrix=_picture(work_dir / 'confusion_matrix.png'),
        measures=measures_of(work_dir, classes),
        errors=[
            row | source_of(row['video'], out) | (strip_of(row['video']) if place < STRIPS else {})
            for place, row in enumerate(surest(wrong, errors))
        ],
    )


def _of_several(work_dir: Path) -> dict[str, Any]:
    """What the page says of a test with several labels a video, by its table of classes."""
    classes: list[dict[str, Any]] = [
        dict(
            name=row['class'],
            videos=int(row['videos']),
            right=int(row['correct']),
            predicted=bool(row['precision']),
            **{key: float(row[key] or 0) for key in ('recall', 'precision', 'f1', 'average_precision')},
        )
        for row in read_table(work_dir / 'per_class.csv')
        if row['videos'] != '0'
    ]
    classes.sort(key=lambda c: c['average_precision'])
    measures = measures_of(work_dir, classes, {'Mean average precision': 'average_precision', 'macro F1': 'f1'})
    return dict(
        told=f'{counted(len(classes), "class")} with several labels a video',
        accuracy={'mean average precision': measures['Mean average precision']},
        classes=classes,
        names=sorted(c['name'] for c in classes),
        measures=measures,
    )


def measures_of(work_dir: Path, classes: list[dict], means: dict[str, str] = MEANS) -> dict[str, str]:
    """Format means over classes, and the calibration where the test has written one."""
    found = {name: (key, sum(c[key] for c in classes) / len(classes)) for name, key in means.items()}
    shown = {name: f'{value:.3f}' if key == 'f1' else f'{value:.1%}' for name, (key, value) in found.items()}
    file = work_dir / 'metrics.json'
    told = json.loads(file.read_text()) if file.exists() else {}
    names = {'ece': 'expected calibration error', 'brier': 'Brier score', 'nll': 'negative log-likelihood'}
    for key, name in names.items():
        value = next((value for metric, value in told.items() if metric.rpartition('/')[2] == key), None)
        if isinstance(value, (int, float)):
            shown[name] = f'{value:.1%}' if key == 'ece' else f'{value:.3f}'
    return shown


def _untested(work_dir: Path) -> list[str]:
    """Names of the classes that have no test video, where the test has written a table of classes."""
    file = work_dir / 'per_class.csv'
    return [row['class'] for row in read_table(file) if row['videos'] == '0'] if file.exists() else []


def _picture(file: Path) -> str | None:
    return base64.b64encode(file.read_bytes()).decode() if file.exists() else None


def surest(wrong: list[dict], most: int) -> list[dict]:
    """Keep the first few rows of each class."""
    counts: dict[str, int] = {}
    kept = []
    for row in wrong:
        counts[row['class']] = counts.get(row['class'], 0) + 1
        if counts[row['class']] <= most:
            kept.append(row)
    return kept


def by_class(rows: list[dict]) -> list[dict]:
    """Count correct and wrong predictions of every class that has videos, and measure it by them."""
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
                f1=2 * right / (len(predicted_for) + predicted),
                taken_for=max(set(others), key=others.count) if others else '',
            )
        )
    return results


def source_of(video: str, out: Path | RemotePath) -> dict[str, Any]:
    """Return a video's address as seen from the page as ``source``, if a browser may play it."""
    if not isinstance(out, Path) or not os.path.isfile(video) or Path(video).suffix.lower() not in PLAYED:
        return {}
    return dict(source=quote(os.fsencode(os.path.relpath(os.path.realpath(video), os.path.realpath(out.parent)))))


def strip_of(path: str) -> dict[str, Any]:
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
    return dict(picture=base64.b64encode(cv2.imencode('.jpg', strip[..., ::-1])[1].tobytes()).decode())
