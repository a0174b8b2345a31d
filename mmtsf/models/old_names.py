"""What version 0.1 called otherwise: names of weights, and words of configs."""

import re
from collections.abc import Iterable
from typing import Any

#: Attention steps' last linear layer
WEIGHTS = (re.compile(r'(^|\.steps\.\w+\.)fc\.(weight|bias)'), r'\1temporal_fc.\2')
#: Words of backbones and of their ``attention``
WORDS = dict(extension='temporal_fc', position_start='position_init')
#: Words of MMAction2's TimeSformer
MMACTION = dict(
    attention_type="attention=dict(type='DividedAttention'), 'JointAttention' or 'SpaceAttention'",
    dropout_ratio='left out, as in the released code,',
    in_channels='always 3',
    norm_cfg='norm_eps',
    pretrained="init_cfg=dict(type='mmtsf.Pretrained', checkpoint=...)",
    transformer_layers='attention and mlp',
)


def rename(name: str) -> str:
    """Today's name of a weight, which may have words before and after it."""
    return WEIGHTS[0].sub(WEIGHTS[1], name)


def rename_keys(module: Any, state: dict, prefix: str, *_: Any) -> None:
    """Before a state dict is loaded into an attention step, give its keys today's names."""
    for key in [key for key in state if key.startswith(prefix)]:
        state[prefix + rename(key.removeprefix(prefix))] = state.pop(key)


def rename_in_checkpoint(checkpoint: dict) -> None:
    """Give averaged weights and the optimizer's parameters in a checkpoint today's names; its weights are renamed where
    they are read (:func:`mmtsf.weights.translate`)."""
    averages, run = checkpoint.get('ema_state_dict'), checkpoint.get('meta', {}).get('run')
    if isinstance(averages, dict):
        checkpoint['ema_state_dict'] = {rename(key): value for key, value in averages.items()}
    names = run.get('parameters') if isinstance(run, dict) else None
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        run['parameters'] = [rename(name) for name in names]


def rename_words(options: dict) -> dict:
    """Options of a config of version 0.1 by today's words.

    Raises:
        ValueError: If an option is there by both.
    """
    if twice := [word for word, now in WORDS.items() if word in options and now in options]:
        raise ValueError(f'{twice[0]} is called {WORDS[twice[0]]} now, and the config has both; leave {twice[0]} out')
    return {WORDS.get(word, word): value for word, value in options.items()}


def refuse_unknown(module: Any, words: Iterable[str]) -> None:
    """Refuse arguments that a constructor does not have.

    Raises:
        TypeError: If there are any; one of version 0.1 or of MMAction2 is named with its successor.
    """
    for word in words:
        now = f'; {word} is called {WORDS[word]} now' if word in WORDS else ''
        now = now or (f"; MMAction2's {word} is {MMACTION[word]} here" if word in MMACTION else '')
        raise TypeError(f'{type(module).__name__}.__init__() got an unexpected keyword argument {word!r}{now}')
