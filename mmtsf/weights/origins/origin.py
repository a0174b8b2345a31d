"""Define an origin: an implementation's weight names and defaults."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mmtsf.weights.key_table import KeyTable

State = dict[str, Tensor]

#: One table for the classification token and the patches, as all others have it; ours are two.
POSITIONS = 'backbone.embedding.positions'


@dataclass(frozen=True)
class Origin:
    """Describe an implementation whose weights can be read and, if a table allows it, written.

    Args:
        name (str): Its name on the command line.
        tables (Mapping[str, KeyTable]): Names of its weights for each attention scheme that it has: ``divided``,
            ``joint``, ``space``, or ``image`` for an image model.
        prefix (str): Beginning of its names that a file of the backbone alone lacks. Defaults to ``''``.
        unused (str): Pattern of names that mean nothing here. Defaults to ``''``: none.
        unpack (Callable): From a file's tensors to the shapes that we use, under the table's names.
        options (Callable): Backbone options that follow from its tensors.
        told (Callable, optional): Backbone options of a Hugging Face ``config.json``, from its content, the scheme and
            the weights by our names. Defaults to None: there are no such folders.
        starts (Callable): Weights by our names that a file may lack, at the authors' start, from those that it has.
        any_size (bool): Whether its models take frames of any size, and ``config.json`` tells that of their position
            table. Defaults to False.
    """

    name: str
    tables: Mapping[str, KeyTable]
    prefix: str = ''
    unused: str = ''
    unpack: Callable[[State], State] = field(default=lambda state: state)
    options: Callable[[State], dict] = field(default=lambda state: {})
    told: Callable[[dict, str, State], dict] | None = None
    starts: Callable[[State], State] = field(default=lambda state: {})
    any_size: bool = False


def renamed(state: State, names: Mapping[str, str]) -> State:
    """Replace patterns in all names, one after the other."""
    for theirs, name in names.items():
        state = {re.sub(theirs, name, key): value for key, value in state.items()}
    return state


def joined(state: State, parts: tuple[str, ...], whole: str = 'qkv') -> State:
    """Join weights, and biases, of layers that have names of their own, as queries, keys and values.

    Args:
        state (dict[str, Tensor]): All weights.
        parts (tuple[str, ...]): Names of the layers, as ``'attn.query'``.
        whole (str): What replaces the last word of these. Defaults to ``'qkv'``.

    Raises:
        LookupError: If one is there, and not the others.
    """
    state, first = dict(state), re.compile(rf'(.*\.|){re.escape(parts[0])}\.(weight|bias)')
    for match in [found for found in map(first.fullmatch, list(state)) if found]:
        several = [state.pop(f'{match[1]}{part}.{match[2]}') for part in parts]
        place = ''.join(parts[0].rpartition('.')[:2])
        state[f'{match[1]}{place}{whole}.{match[2]}'] = torch.cat(several)
    return state


def step_names(theirs: Mapping[str, str], step: str) -> dict[str, str]:
    """Make the table rows of an attention step: their name, and the part of ours after the step."""
    return {name: f'backbone.blocks.{{i}}.attention.steps.{step}.{part}.{{p}}' for name, part in theirs.items()}


def space_time_tables(
    common: dict[str, str], image_step: dict[str, str], time_step: dict[str, str], time_table: str
) -> dict[str, KeyTable]:
    """Make the tables of an implementation with space, joint and divided attention.

    Args:
        common (dict[str, str]): Names outside attention, theirs to ours.
        image_step (dict[str, str]): Names of the image model's attention, as for :func:`step_names`.
        time_step (dict[str, str]): Names of attention over time.
        time_table (str): Name of the time embedding.
    """
    space = common | step_names(image_step, 'space')
    joint = common | step_names(image_step, 'joint')
    time = {time_table: 'backbone.embedding.time'}
    return {
        'divided': KeyTable(space | time | step_names(time_step, 'time')),
        'joint': KeyTable(joint | time),
        'space': KeyTable(space),
    }
