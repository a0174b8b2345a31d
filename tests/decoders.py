"""Run tests with every decoder that is installed."""

import pytest

from mmtsf.datasets.decoders import DECODERS
from mmtsf.datasets.decoders.torchcodec_reader import load_torchcodec


def has_torchcodec() -> bool:
    """Whether torchcodec is installed and finds FFmpeg's libraries."""
    try:
        load_torchcodec()
    except ImportError:
        return False
    return True


needs_torchcodec = pytest.mark.skipif(not has_torchcodec(), reason='needs torchcodec, see docs/installing.md')
#: By name, to be given to :func:`pytest.mark.parametrize`
DECODER = {name: pytest.param(name, marks=needs_torchcodec if name == 'torchcodec' else ()) for name in DECODERS}
decoders = pytest.mark.parametrize('decoder', DECODER.values())
#: Those that decode by themselves, and may be wrong by themselves
real_decoders = pytest.mark.parametrize('decoder', [DECODER[name] for name in ('pyav', 'decord', 'torchcodec')])
