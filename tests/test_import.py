"""Importing mmtsf changes nothing of other packages, and nothing of the process."""

from pathlib import Path

import pytest
from runs import ROOT, run_tool

#: Prints what importing our modules has changed of other packages' modules and classes, and of the process
CHANGES = """
import importlib, multiprocessing, signal, sys, warnings

for name in '''
mmengine.runner mmengine.hub mmengine.hooks mmengine.optim mmengine.evaluator mmengine.infer mmengine.visualization
mmaction.apis mmaction.models mmaction.datasets mmaction.engine mmaction.evaluation mmaction.visualization
mmcv.transforms torch.distributed.fsdp torch.onnx torch.utils.data matplotlib.pyplot cv2 PIL.Image
'''.split():
    importlib.import_module(name)
import matplotlib, torch
matplotlib.get_backend()  # which chooses one
SCHEMES = 'mmengine.runner.checkpoint.CheckpointLoader._schemes'

def state():
    found = {}
    for name, module in list(sys.modules.items()):
        if name.split('.')[0] not in ('mmengine', 'mmaction', 'mmcv', 'torch', 'matplotlib', 'pickle', 'warnings'):
            continue
        for key, value in list(vars(module).items()):
            found[f'{name}.{key}'] = value
            if isinstance(value, type) and value.__module__ == name:
                found |= {f'{name}.{key}.{inner}': of for inner, of in list(vars(value).items())}
    found |= {f'scheme {name}': loader for name, loader in found.pop(SCHEMES).items()}
    found['signals'] = {number: signal.getsignal(number) for number in signal.valid_signals()}
    found['filters'] = list(warnings.filters)
    found['threads'] = torch.get_num_threads(), torch.get_num_interop_threads()
    found['start'], found['backend'] = multiprocessing.get_start_method(True), matplotlib.get_backend()
    return found

before = state()
for name in sys.argv[1:]:
    importlib.import_module(name)
after = state()
for name, was in sorted(before.items()):
    now = after.get(name)
    if was is not now and not (type(was) in (dict, list, tuple, str) and was == now):
        print('changed:', name)
print('new:', *sorted(name for name in set(after) - set(before) if name.startswith('scheme ')))
"""
#: Modules in the order in which a program may need them
OURS = ('mmtsf', 'mmtsf.registry', 'mmtsf.config', 'mmtsf.weights', 'mmtsf.models', 'mmtsf.datasets', 'mmtsf.apis')
OURS += ('mmtsf.evaluation', 'mmtsf.engine.runner', 'mmtsf.engine.hooks', 'mmtsf.engine.optimizers', 'mmtsf.deploy')

#: Reads a checkpoint through MMEngine before and after our import, and prints what it gives
READ = """
import importlib, sys
import torch
from mmengine.runner import CheckpointLoader, load_checkpoint

def read():
    model = torch.nn.Linear(2, 1)
    try:
        load_checkpoint(model, 'theirs.pth', 'cpu', strict=True, logger=None)
        return str(CheckpointLoader.load_checkpoint('theirs.pth', 'cpu', logger=None)) + str(model.state_dict())
    except Exception as error:
        return f'{type(error)} {error}'

before = read()
for name in sys.argv[1:]:
    importlib.import_module(name)
assert read() == before, before
print(before)
"""
#: A detector's checkpoint, with objects of its own
THEIRS = """
import torch

class Sampler:
    def __repr__(self):
        return 'a sampler of theirs'

def save():
    state = dict(weight=torch.ones(1, 2), bias=torch.zeros(1))
    torch.save(dict(state_dict=state, meta=dict(sampler=Sampler(), CLASSES=('a',))), 'theirs.pth')
"""


def run(code: str, *words: str, cwd: Path = ROOT) -> list[str]:
    """Lines that a script prints in a process that has imported nothing of ours."""
    return run_tool('-c', code, *words, folder=cwd).splitlines()


def test_no_function_class_table_or_setting_of_others_changes():
    lines = [line for line in run(CHANGES, *OURS) if line.startswith(('changed:', 'new:'))]
    assert lines == ['new:']  # not even a scheme of addresses


@pytest.mark.parametrize(
    ('trusted', 'words'), [('1', 'a sampler of theirs'), ('0', 'UnpicklingError')], ids=['trusted', 'as PyTorch reads']
)
def test_mmengine_reads_pickled_checkpoints_of_others_as_before(trusted, words, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', trusted)
    monkeypatch.setenv('PYTHONPATH', f'{tmp_path}:{ROOT}')
    (tmp_path / 'theirs.py').write_text(THEIRS)
    lines = run(f'import theirs; theirs.save()\n{READ}', *OURS, cwd=tmp_path)
    assert words in '\n'.join(lines)
