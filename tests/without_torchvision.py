"""timm beside a CPU build of PyTorch, for which there is no torchvision."""

import sys
from types import ModuleType

import pytest


class _Class(type):
    """Classes that have every attribute, which is a class again."""

    def __getattr__(cls, name: str) -> type:
        if name.startswith('__'):
            raise AttributeError(name)
        return _Class(name, (), {})


class _Anything(ModuleType):
    """A module that has every class."""

    __path__: list[str] = []
    __getattr__ = staticmethod(lambda name: _Class.__getattr__(object, name))


@pytest.fixture(scope='module')
def timm():
    """timm, which imports torchvision, whose wheel does not load beside a CPU build and which no ViT uses."""
    with pytest.MonkeyPatch.context() as patch:
        if 'timm' not in sys.modules:
            for name in ('', '.ops', '.ops.misc', '.transforms', '.transforms.functional', '.datasets', '.models'):
                module = _Anything(f'torchvision{name}')
                patch.setitem(sys.modules, module.__name__, module)
                parent, _, child = module.__name__.rpartition('.')
                if parent:
                    setattr(sys.modules[parent], child, module)
        yield pytest.importorskip('timm')
