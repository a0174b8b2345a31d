"""Define the runs of the study, and the options in which they differ."""

from collections.abc import Iterator
from typing import NamedTuple

SCHEMES = {
    'space': 'SpaceAttention',
    'joint': 'JointAttention',
    'divided': 'DividedAttention',
    'local-global': 'LocalGlobalAttention',
    'axial': 'AxialAttention',
}
SEEDS = (0, 1, 2)
#: The paper's ablations, of divided attention: by what is changed and its value, config options
ABLATIONS: dict[str, dict[str, dict]] = {
    'position embedding': {
        'none': {'model.backbone.position': 'none'},
        'space': {'model.backbone.position': 'space'},
        'space-time': {},
    },
    'order': {
        'time first': {},
        'space first': {'model.backbone.attention.order': 'space_time'},
        'parallel': {'model.backbone.attention.order': 'parallel'},
    },
    'patch size': {
        '8': {},
        '12': {'model.backbone.patch_size': 12},
        '16': {'model.backbone.patch_size': 16},
    },
    'frames': {
        '4': {'clip.num_frames': 4, 'clip.frame_interval': 6},
        '8': {},
        '12': {'clip.num_frames': 12, 'clip.frame_interval': 2},
    },
    'pixels': {
        '32': {'clip.size': 32, 'clip.jitter': '(32,38)'},
        '48': {},
        '64': {'clip.size': 64, 'clip.jitter': '(64,76)'},
    },
}
#: Shares of the training videos, with as many updates as all of them get
SHARES = (0.25, 0.5, 1.0)


class Run(NamedTuple):
    """Describe a training and its test.

    Attributes:
        study (str): What is compared, e.g. ``'scheme'``.
        value (str): Its value in this run.
        data (str): Name of the data set.
        share (float): Share of its training videos.
        seed (int): Seed of the run.
        options (dict): Config options.
    """

    study: str
    value: str
    data: str
    share: float
    seed: int
    options: dict

    @property
    def name(self) -> str:
        """Return the run's folder name; equal runs of several studies share it."""
        changes = [f'{key.split(".")[-1]}-{value}' for key, value in sorted(self.options.items())]
        return '_'.join([self.data, f'{self.share:g}', *changes, str(self.seed)]).replace(' ', '')


def all_runs(data_sets: list[str]) -> Iterator[Run]:
    """List the runs: the schemes on every data set, and the ablations on the first one."""
    first = data_sets[0]
    for seed in SEEDS:
        for data in data_sets:
            for scheme, kind in SCHEMES.items():
                yield Run('scheme', scheme, data, 1.0, seed, {'model.backbone.attention.type': kind})
        for study, values in ABLATIONS.items():
            for value, options in values.items():
                yield Run(
                    study, value, first, 1.0, seed, {'model.backbone.attention.type': SCHEMES['divided']} | options
                )
        for share in SHARES:
            yield Run(
                'training videos',
                f'{share:.0%}',
                first,
                share,
                seed,
                {'model.backbone.attention.type': SCHEMES['divided']},
            )
