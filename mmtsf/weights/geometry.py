"""Parse a file's model options as data: numbers within stated ranges, and names of this package."""

import reprlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from mmtsf.models.old_names import rename_words

#: Attention schemes by what other implementations call them
ATTENTIONS = {
    'divided': 'DividedAttention',
    'joint': 'JointAttention',
    'space': 'SpaceAttention',
    'image': 'SpaceAttention',
}
#: What Hugging Face calls them
ATTENTION_TYPES = {'divided': 'divided_space_time', 'joint': 'joint_space_time', 'space': 'space_only'}
#: Words of a backbone that say how it runs or starts, not what it is: they are left in the file
LEFT_OUT = ('init_cfg', 'compiled', 'residual_dtype', 'with_cp')
#: Words of a backbone that are configs of parts
PARTS = ('attention', 'mlp', 'embedding', 'step')
#: Words of Hugging Face's config and ours
HUGGING_FACE_NAMES = {
    'num_frames': 'num_frames',
    'image_size': 'img_size',
    'patch_size': 'patch_size',
    'hidden_size': 'embed_dims',
    'num_hidden_layers': 'num_layers',
    'num_attention_heads': 'num_heads',
    'layer_norm_eps': 'norm_eps',
    'drop_path_rate': 'drop_path_rate',
    'initializer_range': 'init_std',
}
#: Its activations and ours
ACTIVATIONS = dict(gelu='gelu', quick_gelu='quick_gelu', silu='silu', swish='silu', relu='relu')
#: Its tasks: one label a video, or several
PROBLEMS = (None, 'single_label_classification', 'multi_label_classification')
DROPOUTS = ('hidden_dropout_prob', 'attention_probs_dropout_prob', 'attention_dropout')
Part = TypeVar('Part')


@dataclass(frozen=True)
class Rule:
    """Describe the values that an option may have.

    Args:
        expected (str): In words.
        accepts (Callable): Whether a value is that.
    """

    expected: str
    accepts: Callable[[Any], bool]

    def check(self, name: str, value: Any) -> None:
        """Raise ``ValueError`` unless the value is allowed."""
        if not self.accepts(value):
            raise ValueError(f'{name} is {reprlib.repr(value)}, expected {self.expected}')


def whole(low: int, high: int) -> Rule:
    """Allow an integer in a range."""
    return Rule(f'a whole number from {low} to {high:,}', lambda value: type(value) is int and low <= value <= high)


def number(low: float, high: float) -> Rule:
    """Allow a number in a closed range."""
    return Rule(f'a number from {low} to {high}', lambda value: type(value) in (int, float) and low <= value <= high)


def one_of(*names: str) -> Rule:
    """Allow one of several names."""
    return Rule(f'one of {", ".join(names)}', lambda value: type(value) is str and value in names)


def optional(rule: Rule) -> Rule:
    """Allow None, or what a rule allows."""
    return Rule(f'None or {rule.expected}', lambda value: value is None or rule.accepts(value))


def told(default: Any, rule: Rule) -> Any:
    """Make a dataclass field with its rule."""
    return field(default=default, metadata=dict(rule=rule))


BACKBONE = one_of('TimeSformer')
FLAG = Rule('True or False', lambda value: type(value) is bool)
PIXELS = whole(1, 100_000)
SIZE = Rule(
    f'{PIXELS.expected}, or two for height and width',
    lambda value: (
        PIXELS.accepts(value) or (type(value) in (list, tuple) and len(value) == 2 and all(map(PIXELS.accepts, value)))
    ),
)


PLACES = Rule(
    'three whole numbers from 1 to 10,000',
    lambda value: type(value) in (list, tuple) and len(value) == 3 and all(map(whole(1, 10_000).accepts, value)),
)


@dataclass(frozen=True)
class Attention:
    """Hold the options of :class:`mmtsf.models.AttentionScheme`."""

    type: str = told(
        '', Rule('the name of an attention scheme of mmtsf', lambda value: type(value) is str and value in _schemes())
    )
    order: str | None = told(None, optional(Rule('a text', lambda value: type(value) is str)))
    cls_token: str = told('copies', one_of('copies', 'keys', 'all'))
    temporal_fc: bool = told(True, FLAG)
    head_dims: int | None = told(None, optional(whole(1, 100_000)))
    qkv_bias: bool = told(True, FLAG)

    def __post_init__(self) -> None:
        steps = _schemes()[self.type]
        orders = Rule(
            f'{", ".join(steps)} in some order, joined by _, or parallel',
            lambda order: (
                order in (None, 'parallel') or (len(order) < 100 and sorted(order.split('_')) == sorted(steps))
            ),
        )
        orders.check('attention.order', self.order)


@dataclass(frozen=True)
class Hidden:
    """Hold the options of an MLP."""

    type: str = told('MLP', one_of('MLP', 'GatedMLP'))
    ratio: float = told(4, number(1e-3, 1000))
    activation: str = told('gelu', one_of('gelu', 'quick_gelu', 'silu', 'relu'))

    def __post_init__(self) -> None:
        if self.type == 'GatedMLP':
            one_of('gelu', 'silu').check('mlp.activation', self.activation)


#: Options of each kind of embedding and of attention step
EMBEDDINGS: dict[str, dict[str, Rule]] = dict(
    ClipEmbedding=dict(antialias=FLAG),
    NormEmbedding=dict(norm_eps=number(0, 1), antialias=FLAG),
    RegisterEmbedding=dict(num_registers=whole(1, 10_000), antialias=FLAG),
    TubeletEmbedding=dict(tubelet=whole(1, 1000), places=optional(PLACES)),
)
STEPS: dict[str, dict[str, Rule]] = dict(AttentionStep={}, RotaryStep=dict(base=number(1, 1e9)))


@dataclass(frozen=True)
class Geometry:
    """Hold the options of :class:`mmtsf.models.TimeSformer`."""

    attention: Attention
    mlp: Hidden
    embedding: dict
    step: dict | None
    img_size: tuple[int, int]
    type: str = told('TimeSformer', BACKBONE)
    num_frames: int = told(8, whole(1, 100_000))
    patch_size: int = told(16, whole(1, 10_000))
    embed_dims: int = told(768, whole(1, 100_000))
    num_heads: int = told(12, whole(1, 10_000))
    num_layers: int = told(12, whole(1, 1_000))
    drop_path_rate: float = told(0.0, number(0, 0.99))
    init_std: float = told(0.02, number(0, 100))
    position: str = told('space_time', one_of('none', 'space', 'time', 'space_time', 'rotary'))
    position_init: str = told('image', one_of('image', 'noise', 'sinusoid'))
    pool: str = told('cls', one_of('cls', 'mean'))
    layer_scale: float | None = told(None, optional(number(0, 1000)))
    token_shift: bool = told(False, FLAG)
    norm_eps: float = told(1e-6, number(0, 1))
    last_norm_eps: float | None = told(None, optional(number(0, 1)))

    @classmethod
    def parse(cls, config: Any) -> 'Geometry':
        """Parse a file's backbone options.

        Raises:
            ValueError: If it is not a config of our backbone with values that one may have.
        """
        options = rename_words(_named(config, 'the config of the backbone'))
        BACKBONE.check('type', options.get('type', 'TimeSformer'))
        size = options.pop('img_size', 224)
        SIZE.check('img_size', size)
        return _parse(
            cls,
            {key: value for key, value in options.items() if key not in (*LEFT_OUT, *PARTS)},
            attention=_parse(Attention, dict(type='') | rename_words(_named(options.get('attention'), 'attention'))),
            mlp=_parse(Hidden, _named(options.get('mlp', {}), 'mlp')),
            embedding=_part('embedding', options.get('embedding', {}), EMBEDDINGS),
            step=None if options.get('step') is None else _part('step', options['step'], STEPS),
            img_size=(size, size) if isinstance(size, int) else tuple(size),
        )

    def config(self) -> dict:
        """Return the config from which the registry builds the backbone."""
        return asdict(self)


def hugging_face_options(config: dict, scheme: str) -> dict:
    """Translate the ``config.json`` of ``TimesformerForVideoClassification`` to our backbone's options.

    Args:
        config (dict): The file's content.
        scheme (str): Attention by the names of its weights.

    Raises:
        ValueError: If it tells of another model than its weights, or of one that we do not have.
    """
    expected = dict(model_type='timesformer', attention_type=ATTENTION_TYPES[scheme])
    attention = dict(type=ATTENTIONS[scheme], qkv_bias=config.get('qkv_bias', True))
    return told_options(config, expected, dict(num_heads=12, attention=attention))


def told_options(
    config: dict, expected: dict[str, Any], options: dict[str, Any], names: Mapping[str, str] = HUGGING_FACE_NAMES
) -> dict:
    """Translate a ``config.json`` of Hugging Face to our backbone's options.

    Args:
        config (dict): The file's content.
        expected (dict[str, Any]): Words of it, and the only values that they may have, if they are there.
        options (dict[str, Any]): Options of ours that follow from the weights, or are usual; ``attention`` among them.
        names (Mapping[str, str]): Its words for ours. Defaults to those that most models share.

    Raises:
        ValueError: If it tells of another model than its weights, or of one that we do not have.
    """
    for name, value in (dict(hidden_act='gelu', num_channels=3) | expected).items():
        if (there := config.get(name, value)) != value:
            raise ValueError(f'config.json has {name} {reprlib.repr(there)}, expected {value!r} for these weights')
    if config.get('problem_type') not in PROBLEMS:
        raise ValueError(f'config.json has problem_type {reprlib.repr(config["problem_type"])}, expected {PROBLEMS}')
    if dropped := [name for name in DROPOUTS if config.get(name, 0) != 0]:
        warnings.warn(
            f'config.json has {dropped[0]} {reprlib.repr(config[dropped[0]])}, which has no place here: predictions '
            'are the same, but a training drops no activations',
            stacklevel=2,
        )
    options = options | {ours: config[name] for name, ours in names.items() if name in config}
    if isinstance(patch := options.get('patch_size'), list) and len(patch) == 2 and patch[0] == patch[1]:
        options['patch_size'] = patch[0]
    try:
        geometry = Geometry.parse(options).config()
    except ValueError as error:
        raise ValueError(f'config.json is not taken: {error}') from None
    return {name: options[name] if name in PARTS else geometry[name] for name in options}


def told_activation(config: dict, usual: str) -> str:
    """Translate the activation of a ``config.json`` of Hugging Face.

    Raises:
        ValueError: If we do not have it.
    """
    name = config.get('hidden_act', usual)
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise ValueError(f'config.json has hidden_act {reprlib.repr(name)}, expected one of {", ".join(ACTIVATIONS)}')
    return ACTIVATIONS[name]


def check_hugging_face(config: dict, state: dict) -> None:
    """Compare what ``config.json`` tells of biases and hidden channels with the weights.

    Args:
        config (dict): The file's content.
        state (dict): Weights by our names.

    Raises:
        ValueError: If they are others.
    """
    there: dict[str, Any] = dict(qkv_bias=any(key.endswith('qkv.bias') for key in state))
    if (hidden := state.get('backbone.blocks.0.mlp.0.weight')) is not None:
        there['intermediate_size'] = len(hidden)
    for name, value in there.items():
        told = config.get(name, value)
        if told != value:
            raise ValueError(f'config.json has {name} {reprlib.repr(told)}, expected {value!r} for these weights')


def _named(value: Any, what: str) -> dict:
    """Copy a dict after checking that its keys are strings."""
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ValueError(f'{what} is {reprlib.repr(value)}, expected a dict with names')
    return dict(value)


def _parse(kind: type[Part], options: dict, **parts: Any) -> Part:
    rules = {one.name: one.metadata['rule'] for one in fields(kind) if 'rule' in one.metadata}  # type: ignore[arg-type]
    for name, value in options.items():
        if name not in rules:
            raise ValueError(f'{reprlib.repr(name)} is no option of {kind.__name__}, expected {", ".join(rules)}')
        rules[name].check(name, value)
    return kind(**options, **parts)


def _part(what: str, config: Any, kinds: dict[str, dict[str, Rule]]) -> dict:
    """Parse the config of a part that is of one of several kinds; without a type of the first."""
    options = dict(type=next(iter(kinds))) | _named(config, what)
    one_of(*kinds).check(f'{what}.type', options['type'])
    rules = kinds[options['type']]
    for name, value in options.items():
        if name != 'type' and name not in rules:
            known = ', '.join(rules) or 'none'
            raise ValueError(f'{reprlib.repr(name)} is no option of {options["type"]}, expected {known}')
        if name != 'type':
            rules[name].check(f'{what}.{name}', value)
    return options


def _schemes() -> dict[str, tuple[str, ...]]:
    """Return this package's attention schemes and their steps, without those that users register."""
    from mmtsf.models import attentions

    names = [name for name in attentions.__all__ if name != 'AttentionScheme']
    return {name: tuple(getattr(attentions, name).groupings) for name in names}
