"""Write weights to files that other implementations read."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from mmtsf.utils.files import PART, check_empty, checksum, give_usual_rights, written_whole
from mmtsf.utils.screen import say
from mmtsf.utils.text import shorten, without_any_secrets

from .geometry import ATTENTION_TYPES, ATTENTIONS, Attention, Geometry, Hidden
from .model_card import SPACE_ONLY, Card, model_card
from .origins import ORIGINS, State
from .preprocessing import Preprocessing, to_hugging_face
from .translate import translate_back

FORMATS = ('mmtsf', 'released', 'huggingface', 'adapters')
#: What else other formats have no word for, with the values that are theirs
PLAIN: dict[str, tuple] = dict(
    embedding=(dict(type='ClipEmbedding'), dict(type='ClipEmbedding', antialias=False)),
    step=(None, dict(type='AttentionStep')),
    pool=('cls',),
    layer_scale=(None,),
    token_shift=(False,),
)
#: What is said of a folder for Hugging Face
FRAMES = (
    "frames: the pipeline of transformers takes a video's first ones, one after another; give it frame_sampling_rate="
    "INTERVAL, the training's clip.frame_interval, for clips of the same length (docs/from_huggingface.md has the rest)"
)
FEATURES = 'the model has no classifier, and the folder none: the pipeline of transformers would make one at random'
FIRST_FRAME = (
    "frames: with space attention the pipeline of transformers answers by a video's first frame alone; do not use it: "
    'README.md of the folder has the lines that take the mean of the frames, as the model does'
)
SCHEMES = {attention: scheme for scheme, attention in ATTENTIONS.items() if scheme != 'image'}


def write(
    state: State,
    meta: dict,
    path: Path,
    to: str = 'mmtsf',
    card: Card | None = None,
    metrics: dict[str, float] | None = None,
) -> list[Path]:
    """Write weights and their model's metadata.

    Args:
        state (dict[str, Tensor]): Weights by our names.
        meta (dict): ``backbone``, its config; ``classes``, names of the classes, and what :class:`Record` holds, if
            known.
        path (Path): A ``.pth``, ``.pyth`` or ``.safetensors`` file; for ``huggingface`` a folder.
        to (str): Format, one of ``FORMATS``; adapters are written as ``'mmtsf'``. Defaults to ``'mmtsf'``.
        card (Card, optional): What a card for Hugging Face says. Defaults to None: what the checkpoint tells.
        metrics (dict[str, float], optional): Metrics of a test, for the card. Defaults to None: there was none.

    Returns:
        list[Path]: The files; beside the weights lies their checksum in a file that ends in ``.sha256``.

    Raises:
        ValueError: If the format has no place for the weights.
    """
    state = {key: value.contiguous() for key, value in state.items()}
    if to == 'huggingface':
        return _write_hugging_face(state, meta, path, card or Card(), metrics or {})
    if path.suffix not in ('.pth', '.pyth', '.safetensors'):
        raise ValueError(f'{path} ends in {path.suffix!r}, expected .pth, .pyth or .safetensors')
    if to == 'released':
        state = _translated(state, meta, to)
    meta = meta | dict(backbone=without_any_secrets(meta['backbone'])) if 'backbone' in meta else meta
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as part:
        if path.suffix == '.safetensors':
            save_file(state, part, metadata=dict(format='pt', mmtsf=json.dumps(meta if to == 'mmtsf' else {})))
            give_usual_rights(part)
        else:
            torch.save(dict(model_state=state) if to == 'released' else dict(state_dict=state, meta=meta), part)
    return [path, _write_checksum(path)]


def _write_hugging_face(state: State, meta: dict, folder: Path, card: Card, metrics: dict[str, float]) -> list[Path]:
    """Write the model and the processors that ``transformers.pipeline('video-classification')`` wants."""
    config, told = hugging_face_config(state, meta), Preprocessing.parse(meta.get('preprocessing') or {})
    if told.to_rgb:  # the format has RGB frames only: its patch embedding takes them in the other order
        patch = 'backbone.embedding.patch.weight'
        state = state | {patch: state[patch].flip(1).contiguous()}
        told = replace(told, mean=told.mean[::-1], std=told.std[::-1], to_rgb=False)
    texts = {'config.json': config} | to_hugging_face(told, config['image_size'])
    theirs = _translated(state, meta, 'huggingface')
    number = sum(value.numel() for value in theirs.values())
    page = model_card(config, meta, card, metrics, number)
    with _whole_folder(folder) as part:
        save_file(theirs, part / 'model.safetensors', metadata=dict(format='pt'))
        give_usual_rights(part / 'model.safetensors')
        _write_checksum(part / 'model.safetensors')
        for name, text in texts.items():
            (part / name).write_text(json.dumps(text, indent=2))
        (part / 'README.md').write_text(page, encoding='utf-8')
    names = ('model.safetensors', *texts, 'README.md', 'model.safetensors.sha256')
    say(FEATURES if 'id2label' not in config else FIRST_FRAME if config['attention_type'] == SPACE_ONLY else FRAMES)
    return [folder / name for name in names]


@contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to write to, beside the one whose name it gets when all of it is there.

    Raises:
        FileExistsError: If that one holds something: it would be a mixture of two models.
    """
    check_empty(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f'.{folder.name}.', suffix=PART, dir=folder.parent))
    try:
        give_usual_rights(part)
        yield part
        part.replace(folder)  # also in the place of an empty one
    finally:
        shutil.rmtree(part, ignore_errors=True)


def hugging_face_config(state: State, meta: dict) -> dict:
    """Make ``config.json`` for ``TimesformerForVideoClassification``.

    Raises:
        ValueError: If it cannot say what the model is.
    """
    geometry = Geometry.parse(meta['backbone'])
    height, width = geometry.img_size
    if height != width:
        raise ValueError(f'Hugging Face has square frames only, and these are {height} x {width}')
    classifier = state.get('cls_head.fc_cls.weight')
    classes = meta.get('classes') or [str(label) for label in range(0 if classifier is None else len(classifier))]
    labels = dict(id2label=dict(enumerate(classes)), label2id={name: label for label, name in enumerate(classes)})
    return dict(
        architectures=['TimesformerModel' if classifier is None else 'TimesformerForVideoClassification'],
        model_type='timesformer',
        attention_type=ATTENTION_TYPES[_scheme(geometry)],
        image_size=height,
        patch_size=state['backbone.embedding.patch.weight'].shape[-1],
        num_channels=3,
        num_frames=geometry.num_frames,
        hidden_size=len(state['backbone.norm.weight']),
        num_hidden_layers=geometry.num_layers,
        num_attention_heads=geometry.num_heads,
        intermediate_size=len(state['backbone.blocks.0.mlp.0.bias']),
        hidden_act='gelu',
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        drop_path_rate=0,
        layer_norm_eps=geometry.norm_eps,
        qkv_bias=geometry.attention.qkv_bias,
        **{name: meta[name] for name in ('frame_interval', 'average_clips') if meta.get(name)},
        **(dict(problem_type='multi_label_classification') if meta.get('multi_class') else {}),
        **({} if classifier is None else labels),
    )


def _scheme(geometry: Geometry) -> str:
    attention, usual = geometry.attention, Attention(geometry.attention.type)
    is_own = attention.order not in (None, 'time_space') or replace(attention, order=None, qkv_bias=True) != usual
    own = [f'attention={asdict(attention)}'] if attention.type not in SCHEMES or is_own else []
    own += [f'mlp={asdict(geometry.mlp)}'] if replace(geometry.mlp, ratio=4) != Hidden() else []
    words = PLAIN | dict(last_norm_eps=(None, geometry.norm_eps))
    own += [f'{name}={value}' for name in words if (value := getattr(geometry, name)) not in words[name]]
    if own:
        raise ValueError(
            f'{", ".join(own)} exists in mmtsf only; other formats have {", ".join(SCHEMES)} in their own '
            'order, of patches of one frame, as the paper has them'
        )
    return SCHEMES[attention.type]


def _translated(state: State, meta: dict, to: str) -> State:
    scheme = _scheme(Geometry.parse(meta['backbone']))
    theirs = translate_back(state, to, scheme)
    lacking = [name for name in ORIGINS[to].tables[scheme].missing(list(theirs)) if not _is_optional(name)]
    if lacking:
        raise ValueError(f'{to} needs weights that this model does not have: {shorten(lacking)}')
    return theirs


def _is_optional(name: str) -> bool:
    return 'head' in name or 'classifier' in name


def _write_checksum(path: Path) -> Path:
    """Write the checksum to ``path`` with ``.sha256`` appended, as ``sha256sum -c`` reads it."""
    target = path.with_name(f'{path.name}.sha256')
    with written_whole(target) as part:
        part.write_text(f'{checksum(path)}  {path.name}\n')
    return target
