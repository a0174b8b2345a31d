"""Write the model card of a folder for Hugging Face: its metadata, and what the checkpoint and a test tell."""

import math
import re
import reprlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from mmtsf.utils.text import counted, shorten

#: Most letters of a word of the card, and metrics of a test
LETTERS, MOST_METRICS = 500, 200
#: Metrics of a test: their types on Hugging Face, and their names
METRICS = {
    'acc/top1': ('accuracy', 'top-1 accuracy'),
    'acc/top5': ('accuracy', 'top-5 accuracy'),
    'acc/mean1': ('accuracy', 'mean class accuracy'),
    'acc/macro_f1': ('f1', 'macro F1'),
    'acc/mean_average_precision': ('mean_average_precision', 'mean average precision'),
    'acc/ece': ('expected_calibration_error', 'expected calibration error'),
    'acc/nll': ('negative_log_likelihood', 'negative log-likelihood'),
    'acc/brier': ('brier_score', 'Brier score'),
}
#: Names of repositories on the hub
REPOSITORY = re.compile(r'[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}', re.ASCII)
CLASSES = 30
OURS = """```python
import mmtsf
from mmtsf.apis import inference_recognizer

inference_recognizer(mmtsf.from_pretrained('FOLDER'), 'video.mp4').pred_scores.item
```
"""
FEATURES = """Start a training from it (`load_from='FOLDER'` of a config of mmtsf), or take its features:

```python
from transformers import TimesformerModel

TimesformerModel.from_pretrained('FOLDER')
```
"""
LIMITS = 'Say here what it is for and not for, and who and what is in the videos that it was trained on.'
NONE_OF_THESE = 'A video of none of these classes gets one of them all the same. '
#: Space attention alone by Hugging Face's name: its class gives logits of every frame, and its pipeline takes the first
SPACE_ONLY = 'space_only'
BY_FRAMES = """Not with `pipeline('video-classification')`, which answers by the first frame alone for this attention.
The model takes the mean of the frames' features:

```python
import av
import torch
from transformers import AutoImageProcessor, TimesformerForVideoClassification

model = TimesformerForVideoClassification.from_pretrained('FOLDER').eval()
frames = [frame.to_ndarray(format='rgb24') for frame in av.open('video.mp4').decode(video=0)]
pixels = AutoImageProcessor.from_pretrained('FOLDER')(frames[::{interval}][:{frames}], return_tensors='pt')
with torch.no_grad():
    tokens = model.timesformer(**pixels, output_hidden_states=True).hidden_states[-1]  # of each frame
    scores = model.classifier(model.timesformer.layernorm(tokens[:, 0].mean(0))).{scores}
```
"""


@dataclass(frozen=True)
class Card:
    """Hold what a card says that a checkpoint does not tell; None is left out.

    Args:
        name (str, optional): Name of the model.
        dataset (str, optional): Name of the data that it was tested on.
        license (str, optional): Licence of the weights, as the hub names it, e.g. ``apache-2.0``.
        base_model (str, optional): Model of the hub that the training started from, ``OWNER/NAME``.
        language (str, optional): Language of the names of classes.
    """

    name: str | None = None
    dataset: str | None = None
    license: str | None = None
    base_model: str | None = None
    language: str | None = None

    @classmethod
    def parse(cls, words: list[str]) -> 'Card':
        """Parse ``KEY=VALUE`` words.

        Raises:
            ValueError: If a key is none of a card, or a value cannot be one.
        """
        known, told = [one.name for one in fields(cls)], {}
        for word in words:
            key, equals, value = word.partition('=')
            if not equals or key not in known:
                raise ValueError(
                    f'--card has {reprlib.repr(word)}, expected KEY=VALUE with a key of {", ".join(known)}'
                )
            if not value.strip() or len(value) > LETTERS or not value.isprintable():
                raise ValueError(f'--card has {key}={reprlib.repr(value)}, expected a text of 1 to {LETTERS} letters')
            told[key] = value.strip()
        if 'base_model' in told and not REPOSITORY.fullmatch(told['base_model']):
            raise ValueError(f'--card has base_model={told["base_model"]!r}, expected OWNER/NAME of a model of the hub')
        return cls(**told)


def read_metrics(path: str | Path) -> dict[str, float]:
    """Read the metrics that a test wrote, ``metrics.json``: numbers by their names; other values are left out.

    Raises:
        OSError: If there is no such file.
        ValueError: If it is something else.
    """
    from .archive import Refused
    from .read import MOST_JSON, parse_json

    try:
        with Path(path).open('rb') as file:
            told = parse_json(file.read(MOST_JSON + 1))
    except FileNotFoundError:
        raise FileNotFoundError(f'--metrics is {path}, which does not exist; mmtsf test writes metrics.json') from None
    except Refused as error:
        raise ValueError(f'--metrics is {path}, which is no metrics.json: {error}') from None
    numbers = {
        name: float(value) for name, value in told.items() if type(value) in (int, float) and math.isfinite(value)
    }
    if not 0 < len(numbers) <= MOST_METRICS or not all(re.fullmatch(r'[\w./@ -]{1,100}', name) for name in numbers):
        raise ValueError(f'--metrics is {path}, expected the metrics.json of mmtsf test: numbers by names of metrics')
    return numbers


def model_card(config: dict, meta: dict, card: Card, metrics: dict[str, float], number: int) -> str:
    """Return the text of ``README.md``.

    Args:
        config (dict): ``config.json``.
        meta (dict): See :func:`mmtsf.weights.write.write`.
        card (Card): What else is known.
        metrics (dict[str, float]): Of a test; none if there was none.
        number (int): Number of parameters.
    """
    name = card.name or 'TimeSformer'
    has_pipeline = config['attention_type'] != SPACE_ONLY and 'id2label' in config
    head = yaml.safe_dump(_metadata(name, card, metrics, has_pipeline), sort_keys=False, allow_unicode=True)
    labels = list(map(str, config.get('id2label', {}).values()))
    size, frames = config['image_size'], counted(config['num_frames'], 'frame')
    interval, several = config.get('frame_interval'), 'problem_type' in config
    rows = {
        'architecture': f'TimeSformer, {config["attention_type"].replace("_", " ")}',
        'parameters': f'{number / 1e6:.1f} million',
        'input': f'{frames} of {size} x {size}' + (f', one in {interval}' if interval else ''),
        'output': (f'scores of {counted(len(labels), "class")}' if labels else 'features: it has no classifier')
        + (', several of which may be right' if several else ''),
        'start': meta.get('start'),
        'licence of the start': meta.get('start_license'),
        'licence': card.license or 'not told by whoever wrote this folder',
    }
    table = [f'| {key} | {_cell(str(value))} |' for key, value in rows.items() if value]
    scores = [f'| {_cell(METRICS.get(key, (key, key))[1])} | {value:.4f} |' for key, value in metrics.items()]
    where = f' on {_cell(card.dataset)}' if card.dataset else ''
    results = [f'## Results{where}', '', '| metric | value |', '|---|---|', *scores, ''] if metrics else []
    return '\n'.join(
        [
            f'---\n{head}---\n\n# {_cell(name)}\n',
            *('| | |', '|---|---|', *table, ''),
            *results,
            '## Use\n',
            _usage(config),
            *([OURS, f'## Classes\n\n{_cell(shorten(labels, CLASSES))}\n'] if labels else []),
            f'## Limits\n\n{NONE_OF_THESE if labels and not several else ""}{LIMITS}\n',
        ]
    )


def _usage(config: dict) -> str:
    """Say how transformers gives the scores of a video."""
    interval = config.get('frame_interval')
    if 'id2label' not in config:
        return FEATURES
    if config['attention_type'] != SPACE_ONLY:
        rate = f', frame_sampling_rate={interval}' if interval else ''
        call = f"pipeline('video-classification', model='FOLDER')('video.mp4'{rate})"
        return f'```python\nfrom transformers import pipeline\n\n{call}\n```\n'
    scores = 'sigmoid()' if config.get('problem_type') else 'softmax(-1)'
    return BY_FRAMES.format(interval=interval or 1, frames=config['num_frames'], scores=scores)


def _metadata(name: str, card: Card, metrics: dict[str, float], has_pipeline: bool) -> dict:
    """Metadata of a card, in the hub's words."""
    told: dict[str, Any] = dict(language=card.language, license=card.license, base_model=card.base_model)
    told = {key: value for key, value in told.items() if value}
    tag = dict(pipeline_tag='video-classification') if has_pipeline else {}
    told |= dict(library_name='transformers') | tag | dict(tags=['timesformer', 'mmtsf'])
    if metrics:
        task = dict(type='video-classification', name='Video Classification')
        dataset = dict(
            type=re.sub(r'[^\w.-]+', '-', (card.dataset or 'own').lower()), name=card.dataset or 'own videos'
        )
        values = [_metric(key, value) for key, value in metrics.items()]
        told['model-index'] = [dict(name=name, results=[dict(task=task, dataset=dataset, metrics=values)])]
    return told


def _metric(key: str, value: float) -> dict:
    kind, name = METRICS.get(key, (re.sub(r'[^\w.-]+', '_', key), key))
    return dict(type=kind, value=value, name=name)


def _cell(text: str) -> str:
    """Escape a text for a line of Markdown."""
    return re.sub(r'([\\`*_\[\]<>|#])', r'\\\1', ' '.join(text.split()))
