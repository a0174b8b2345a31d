"""A device is one of this machine."""

import pytest
import torch
from runs import TINY

from mmtsf.apis import TimeSformerInferencer, init_recognizer
from mmtsf.utils import devices
from mmtsf.utils.devices import find_device


@pytest.fixture
def machine(monkeypatch):
    """Sets the kind of GPUs that there are, how many, and whether they work."""

    def of(kind: str | None, number: int = 0, works: bool = True) -> None:
        found = [torch.device(kind, index) for index in range(number)] if kind else []
        monkeypatch.setattr(devices, '_devices', lambda: [torch.device('cpu'), *found])
        monkeypatch.setattr(devices, '_works', lambda device: works)

    return of


def test_the_best_is_taken(machine):
    machine('cuda', 2)
    assert [str(find_device(name)) for name in (None, 'cpu', 'cuda', 'cuda:1', 1)] == [
        *('cuda', 'cpu', 'cuda', 'cuda:1', 'cuda:1'),
    ]
    machine('mps', 1)
    assert [str(find_device(name)) for name in (None, 'mps', torch.device('cpu'))] == ['mps', 'mps', 'cpu']
    machine('cuda', 1, works=False)
    assert str(find_device()) == 'cpu'
    machine(None)
    assert str(find_device()) == 'cpu'


@pytest.mark.parametrize('name', ['cuda:7', 'gpu', 'tpu', 'mps', 'cuda:x', '', 7, 'CUDA', 2.5])
def test_one_that_is_missing_is_a_line_that_says_what_there_is(name, machine):
    machine('cuda', 2)
    with pytest.raises(ValueError, match=f'^device is {name!r}, but there is cpu, cuda:0, cuda:1 here.*leave it out'):
        find_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
@pytest.mark.parametrize('make', [init_recognizer, TimeSformerInferencer])
def test_it_is_told_before_a_model_is_made(make):
    with pytest.raises(ValueError, match="^device is 'cuda', but there is cpu here.*leave it out to take the best$"):
        make(TINY, 'none.pth', device='cuda')
