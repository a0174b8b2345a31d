"""Compare what a file tells of its model, and tensors do not, with the model that takes its weights."""

from typing import Any

from torch import nn

from mmtsf.models.attentions import AttentionScheme
from mmtsf.models.layers import MLP, AttentionStep, ClsKeyStep, RotaryStep
from mmtsf.models.old_names import rename_words
from mmtsf.utils.vits import shipped_vits

from .fitting import fitting_vits, fitting_words
from .geometry import ATTENTIONS, Geometry
from .preprocessing import Preprocessing
from .translate import OURS, Weights

CLASSIFIER = 'cls_head.fc_cls.weight'
#: Positions that have no table
FREE = ('none', 'rotary')


def check_told(weights: Weights, model: nn.Module, preprocessing: str = 'same') -> None:
    """Refuse a model that computes something else with the same weights, as far as their file tells.

    Args:
        weights (Weights): The weights.
        model (nn.Module): A recognizer, or its backbone alone.
        preprocessing (str): See :func:`mmtsf.weights.load_weights`.

    Raises:
        ValueError: With the options to set, of all that differs.
    """
    keeps_head = _keeps_head(weights, model)
    odd = [_of_parts(weights, getattr(model, 'backbone', model), keeps_head)]
    odd += [_of_pixels(weights, model)] if preprocessing == 'same' else []
    odd += [_of_labels(weights, model)] if keeps_head else []
    if found := '; and '.join(filter(None, odd)):
        raise ValueError(f'the checkpoint is of a model {found}')


def _keeps_head(weights: Weights, model: nn.Module) -> bool:
    """Return whether a model takes the file's classifier."""
    there, own = (state.get(CLASSIFIER) for state in (weights.state, model.state_dict()))
    return there is not None and own is not None and there.shape == own.shape


def _of_parts(weights: Weights, backbone: nn.Module, keeps_head: bool) -> str:
    """Say which options of the backbone differ, and how to set them."""
    scheme = next((module for module in backbone.modules() if isinstance(module, AttentionScheme)), None)
    told, has = _told(weights, keeps_head, scheme), _of_backbone(backbone)
    has |= {} if scheme is None else _of_scheme(scheme)
    odd = [name for name in has if name in told and told[name] != has[name]]
    if not odd:
        return ''
    return (
        f'with {", ".join(f"{name} {told[name]}" for name in odd)}, and this one has '
        f'{", ".join(str(has[name]) for name in odd)}; set '
        f'{" ".join(f"model.backbone.{name}={told[name]}" for name in odd)}, or {fitting_words(weights)} for the '
        'architecture of published weights'
    )


def _of_pixels(weights: Weights, model: nn.Module) -> str:
    """Say how frames are normalised otherwise, and how to set it; a backbone that a recognizer starts has the
    recognizer's preprocessor at hand."""
    pixels: Any = getattr(model, 'data_preprocessor', None)
    starts, told = hasattr(model, 'preprocessors'), weights.preprocessing
    if starts:
        (pixels,) = model.preprocessors  # type: ignore[misc]
    if told is None or getattr(pixels, 'mean', None) is None:
        return ''
    means, stds = (tuple(values.flatten().tolist()) for values in (pixels.mean, pixels.std))
    if told.is_as(Preprocessing(means, stds, pixels.to_rgb)):
        return ''
    table = shipped_vits()
    same = [vit for vit in fitting_vits(weights) if told.is_as(Preprocessing(table[vit]['mean'], table[vit]['std']))]
    words = ''.join(f', or vit={vit}' for vit in same)
    words += ', or model.backbone.init_cfg.preprocessing=own to keep those of the config' if starts else ''
    return f'whose frames are normalised otherwise; set {told.options()}{words}'


def _of_labels(weights: Weights, model: nn.Module) -> str:
    """Say that videos have another kind of labels, and how to set it."""
    several = getattr(getattr(model, 'cls_head', None), 'multi_class', weights.multi_class)
    if weights.multi_class is None or several == weights.multi_class:
        return ''
    return (
        f'whose videos have {"several labels" if weights.multi_class else "one label"} each, and this one is not; set '
        f'data.multi_class={weights.multi_class}'
    )


def _told(weights: Weights, keeps_head: bool, scheme: Any) -> dict[str, Any]:
    """Return options that a file tells and tensors do not; a part of which it tells nothing is the usual one.

    What an image model lacks, as an order of steps, and a start may have otherwise, is told where the head is kept."""
    options = rename_words(weights.options) if isinstance(weights.options, dict) else {}
    if weights.origin == OURS and not options:
        return {}
    parts = ('mlp', 'step', 'embedding', 'attention')
    mlp, step, embedding, attention = (options[part] if isinstance(options.get(part), dict) else {} for part in parts)
    told = {name: options[name] for name in ('num_heads', 'norm_eps') if name in options}
    if embedding:
        told['embedding.antialias'] = embedding.get('antialias', False)
    if embedding.get('type') == 'NormEmbedding':
        told['embedding.norm_eps'] = embedding.get('norm_eps', 1e-5)
    if options.get('last_norm_eps') is not None:
        told['last_norm_eps'] = options['last_norm_eps']
    told['embedding.places'] = _places_of(options)
    told['step'] = _words_of(step.get('base', 100.0) if step.get('type') == 'RotaryStep' else None)
    if (activation := mlp.get('activation', 'gelu')) is not None:  # None: the file does not tell
        told['mlp.activation'] = activation
    if 'pool' in options or keeps_head:
        told['pool'] = options.get('pool', 'cls')
    if keeps_head:
        told['token_shift'] = options.get('token_shift', False)
        if options.get('position') in FREE:
            told['position'] = options['position']
        told |= _told_of_scheme(dict(type=ATTENTIONS.get(weights.scheme)) | rename_words(attention), scheme)
    return told


def _told_of_scheme(attention: dict, scheme: Any) -> dict[str, Any]:
    """Return what a file tells of the order of attention steps, and who sees the classification token; nothing where
    the model has another scheme."""
    if attention['type'] != type(scheme).__name__:
        return {}
    order, cls_token = attention.get('order') or '_'.join(scheme.groupings), attention.get('cls_token', 'copies')
    return {'attention.order': order, 'attention.cls_token': cls_token}


def _places_of(options: dict) -> str | None:
    """Return the tubelets that a model's positions number; None if it has none, or a part of one's own."""
    try:
        geometry = Geometry.parse(options)
    except ValueError:
        return None
    if geometry.embedding['type'] != 'TubeletEmbedding':
        return None
    sides = [side // geometry.patch_size for side in geometry.img_size]
    places = geometry.embedding.get('places') or [geometry.num_frames // geometry.embedding.get('tubelet', 2), *sides]
    return _in_a_word(places)


def _in_a_word(numbers: Any) -> str:
    return f'[{",".join(map(str, numbers))}]'


def _words_of(base: Any) -> str:
    return 'None' if base is None else f"dict(type='RotaryStep',base={base})"


def _of_backbone(backbone: Any) -> dict[str, Any]:
    """Return options that tensors do not tell, of a backbone that has them."""
    modules = list(backbone.modules())
    steps = [module for module in modules if isinstance(module, AttentionStep)]
    if not steps:
        return {}
    has: dict[str, Any] = dict(num_heads=steps[0].num_heads, norm_eps=steps[0].norm.eps)
    embedding: Any = getattr(backbone, 'embedding', None)
    has['embedding.antialias'] = getattr(embedding, 'antialias', False)
    if hasattr(embedding, 'norm'):
        has['embedding.norm_eps'] = embedding.norm.eps
    has |= dict(pool=getattr(backbone, 'pool', 'cls'), last_norm_eps=getattr(backbone.norm, 'eps', None))
    if hasattr(embedding, 'places'):
        has['embedding.places'] = _in_a_word(embedding.places)
    has['step'] = _words_of(next((step.base for step in steps if isinstance(step, RotaryStep)), None))
    if mlp := next((module for module in modules if isinstance(module, MLP)), None):
        has['mlp.activation'] = mlp.activation
    has['token_shift'] = any(getattr(step, 'token_shift', False) for step in steps)
    if any(getattr(step, 'rotary', None) for step in steps):
        has['position'] = 'rotary'
    elif getattr(embedding, 'space', ...) is getattr(embedding, 'time', ...) is None:
        has['position'] = 'none'
    return has


def _of_scheme(scheme: AttentionScheme) -> dict[str, Any]:
    """Return the order of a scheme's steps, and who sees the classification token."""
    steps = list(scheme.steps.values())
    keys = any(isinstance(step, ClsKeyStep) for step in steps)
    everywhere = any(getattr(step, 'one_cls', False) for step in steps)
    order = 'parallel' if scheme.parallel else '_'.join(scheme.steps)
    return {'attention.order': order, 'attention.cls_token': 'keys' if keys else 'all' if everywhere else 'copies'}
