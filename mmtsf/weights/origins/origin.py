"""Define an origin: an implementation's weight names and defaults."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

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
    """

    name: str
    tables: Mapping[str, KeyTable]
    prefix: str = ''
    unused: str = ''
    unpack: Callable[[State], State] = field(default=lambda state: state)
    options: Callable[[State], dict] = field(default=lambda state: {})


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
