"""Each private name of another package is there, does what it is used for, and is still needed."""

import ast
import importlib.util
import inspect
import pkgutil
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import mmcv.cnn.bricks.transformer
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner as PlainRunner
from runs import ROOT, run_tool
from torch.utils.data import DataLoader
from torch.utils.data._utils import signal_handling
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter
from toys import toy_runner

import mmtsf
from mmtsf import compat
from mmtsf.config.shipped import from_file

#: A worker is killed while the main process does something else
KILLED_WORKER = """
import time
from torch.utils.data import DataLoader
from mmtsf import compat
if {ignored}:
    compat.ignore_dead_children()
iterator = iter(DataLoader(range(100), num_workers=1))
compat.data_workers(iterator)[0].kill()
try:
    time.sleep(1)
    print('nothing was raised')
except RuntimeError as error:
    print('raised', error)
"""


def test_the_warning_of_a_missing_torchvision_is_left_out_in_an_export():
    name = 'torch.onnx._internal.exporter._registration'
    logger = importlib.import_module(name).logger
    assert logger.name == name
    assert 'torchvision is not installed' in inspect.getsource(importlib.import_module(name))
    with compat.without_torchvision_warning():
        assert not logger.isEnabledFor(30)
    assert logger.isEnabledFor(30)


def test_workers_of_a_data_loader_are_found_and_ended():
    compat.ignore_dead_children()
    iterator = iter(DataLoader(range(100), num_workers=2))
    workers = compat.data_workers(iterator)
    assert [worker.is_alive() for worker in workers] == [True, True]
    compat.end_data_workers(iterator)
    deadline = time.monotonic() + 10
    while any(worker.is_alive() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [worker.is_alive() for worker in workers] == [False, False]
    assert compat.data_workers(iter(DataLoader(range(100)))) == []


def test_in_another_thread_than_the_main_one_nothing_is_set_by_pytorch_nor_by_us(monkeypatch):
    monkeypatch.setattr(signal_handling, '_SIGCHLD_handler_set', False)
    before, raised = signal.getsignal(signal.SIGCHLD), []
    monkeypatch.setattr(threading, 'excepthook', raised.append)
    for function in (signal_handling._set_SIGCHLD_handler, compat.ignore_dead_children):
        thread = threading.Thread(target=function)
        thread.start()
        thread.join()
    assert not raised
    assert signal.getsignal(signal.SIGCHLD) is before


def test_a_thread_that_pins_is_alive_or_not_there():
    iterator = iter(DataLoader(range(100), num_workers=1))
    assert compat.pins(iterator)
    iterator._pin_memory_thread = threading.Thread()
    assert not compat.pins(iterator)


def test_pytorch_itself_does_not_tell_a_dead_thread_that_pins_from_slow_workers():
    source = inspect.getsource(_MultiProcessingDataLoaderIter)
    assert 'self._pin_memory_thread = pin_memory_thread' in source
    with_timeout, without = inspect.getsource(_MultiProcessingDataLoaderIter._get_data).split('elif', 1)
    assert 'is_alive' not in with_timeout
    assert 'self._pin_memory_thread.is_alive()' in without


ENDED = """
import gc, time
from multiprocessing.process import BaseProcess
from torch.utils.data import DataLoader, _utils
from mmtsf import compat
join, outlived = BaseProcess.join, []
def watched(worker, timeout=None):
    join(worker, timeout)
    outlived.append(worker.is_alive())
class Circle:
    def __init__(self):
        self.itself = self
        self.iterator = iter(DataLoader(range(100), num_workers=1, persistent_workers=True))
circle = Circle()
next(circle.iterator)
_utils.MP_STATUS_CHECK_INTERVAL = 0.5  # seconds that PyTorch waits for a worker, instead of 5
if {ours}:
    compat.end_data_workers(circle.iterator)
    time.sleep(0.5)  # in which their deaths would be raised
BaseProcess.join = watched
del circle
gc.collect()
print(any(outlived))
"""


@pytest.mark.parametrize('ours', [False, True])
def test_workers_that_are_ended_raise_nothing_and_are_not_waited_for(ours):
    assert run_tool('-c', ENDED.format(ours=ours)) == f'{not ours}\n'


@pytest.mark.parametrize(('ignored', 'words'), [(False, 'raised DataLoader worker'), (True, 'nothing was raised')])
def test_pytorch_raises_a_workers_death_anywhere_unless_it_is_kept_from_that(ignored, words):
    assert run_tool('-c', KILLED_WORKER.format(ignored=ignored)).startswith(words)


# A config's bases


@pytest.fixture
def child(tmp_path) -> Path:
    """A config file with a shipped config as its base."""
    path = tmp_path / 'child.py'
    path.write_text("_base_ = 'mmtsf::timesformer_tiny_motion.py'\ndata = dict(root='/videos')\n")
    return path


def test_mmengine_alone_does_not_find_a_shipped_config(child):
    with pytest.raises(ValueError, match='_get_package_and_cfg_path'):
        Config.fromfile(child)


def test_a_config_file_is_read_with_a_shipped_base_and_otherwise_as_mmengine_reads_it(child, tmp_path):
    read = from_file(child)
    shipped = Config.fromfile(ROOT / 'configs/timesformer_tiny_motion.py')
    assert type(read) is Config
    assert read.to_dict() == shipped.to_dict() | dict(data=shipped.data | dict(root='/videos'))
    assert read.filename == str(child)
    (tmp_path / 'grandchild.py').write_text("_base_ = './child.py'\nmodel = dict(type='Other')\n")
    assert from_file(tmp_path / 'grandchild.py').model.type == 'Other'


@pytest.mark.parametrize('base', ['mmdet::', 'mmdet::none.py', 'none::a/b.py', './none.py'])
def test_other_bases_are_looked_for_as_mmengine_does(base, tmp_path):
    path = tmp_path / 'child.py'
    path.write_text(f"_base_ = '{base}'\n")
    errors = []
    for read in (Config.fromfile, from_file):
        with pytest.raises(Exception) as caught:  # noqa: PT011  # of whatever kind it is
            read(path)
        errors.append((type(caught.value), str(caught.value)))
    assert errors[0] == errors[1]


# What MMEngine's runner tells nobody


def test_a_runner_is_known_to_train_to_test_and_to_resume(tmp_path):
    runner = toy_runner(tmp_path / 'run', PlainRunner, scores=dict(acc=[0.1, 0.2, 0.3]))
    assert (compat.is_training(runner), compat.is_testing(runner)) == (False, False)
    assert compat.resumed_checkpoint(runner) is None
    assert compat.tested_dataset(runner) is None
    runner.val()
    assert (compat.is_training(runner), compat.is_testing(runner)) == (False, True)
    assert compat.tested_dataset(runner) is runner.val_dataloader.dataset
    runner.train()
    assert (compat.is_training(runner), compat.is_testing(runner)) == (True, False)
    compat.set_progress(runner.train_loop, 5, 17)
    assert (runner.epoch, runner.iter) == (5, 17)
    latest = toy_runner(tmp_path / 'run', PlainRunner, resume=True)
    assert compat.resumed_checkpoint(latest) == str(tmp_path / 'run/epoch_2.pth')
    named = toy_runner(tmp_path / 'run', PlainRunner, resume=True, load_from='epoch_1.pth')
    assert compat.resumed_checkpoint(named) == 'epoch_1.pth'
    assert compat.resumed_checkpoint(toy_runner(tmp_path / 'run', PlainRunner, load_from='epoch_1.pth')) is None


@pytest.mark.parametrize(('counts', 'expected'), [(1, False), (3, True)])
def test_a_wrapper_is_known_to_accumulate(counts, expected, tmp_path):
    runner = toy_runner(tmp_path, PlainRunner)
    config = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1), accumulative_counts=counts)
    assert compat.accumulates(runner.build_optim_wrapper(config)) == expected


def test_mmcv_warns_of_what_is_not_used_and_our_import_does_not():
    assert 'Fail to import ``MultiScaleDeformableAttention``' in inspect.getsource(mmcv.cnn.bricks.transformer)
    assert importlib.util.find_spec('mmcv._ext') is None  # why it does
    code = 'import mmtsf.models, mmtsf.apis, mmtsf.engine.runner; import mmcv.cnn.bricks.transformer'
    code = f'import sys; sys.modules.update(transformers=None, bitsandbytes=None); {code}'  # which take seconds
    run = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 'Fail to import' not in run.stderr
    filters = list(warnings.filters)
    with compat.without_mmcv_warning():
        pass
    assert warnings.filters == filters


# Optimizers that skip an update on the device


@pytest.mark.parametrize('kind', [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_a_fused_optimizer_leaves_all_as_it_is_where_it_is_told(kind):
    layer = torch.nn.Linear(2, 2)
    assert not compat.takes_found_inf(kind(layer.parameters(), lr=0.1))
    optimizer = kind(layer.parameters(), lr=0.1, fused=True)
    assert compat.takes_found_inf(optimizer)
    before = layer.weight.detach().clone()
    for found in (1.0, 0.0):
        layer(torch.ones(1, 2)).sum().backward()
        with compat.found_inf_of(optimizer, torch.tensor(found)):
            optimizer.step()
        assert torch.equal(layer.weight, before) == bool(found)
    assert not hasattr(optimizer, 'found_inf')


def test_fused_momentum_that_begins_with_a_skipped_step_is_whatever_lies_in_memory():
    """Why the first step is not skipped on the device."""
    source = inspect.getsource(sys.modules[torch.optim.SGD.__module__])
    assert 'momentum_buffer_list[i] = torch.empty_like(g)' in source


@pytest.mark.parametrize('value', [1.0, float('inf')])
def test_the_scaler_of_a_loss_tells_what_it_found_without_a_step(value):
    layer = torch.nn.Linear(2, 2)
    optimizer, scaler = torch.optim.SGD(layer.parameters(), lr=0.1), torch.amp.GradScaler('cpu')
    scaler.scale(layer(torch.full((1, 2), value)).sum()).backward()
    scaler.unscale_(optimizer)
    assert bool(compat.found_inf(scaler, optimizer)) == (value != 1.0)
    scale = scaler.get_scale()
    scaler.update()
    assert (scaler.get_scale() < scale) == (value != 1.0)


# Protected names of bases

#: Packages whose private names are theirs
OTHERS = ('mmaction', 'mmcv', 'mmengine', 'torch')
PRIVATE = re.compile(r'_[a-z]\w*')


def modules() -> Iterator[str]:
    yield from (module.name for module in pkgutil.walk_packages(mmtsf.__path__, 'mmtsf.'))


def is_own(node: ast.AST) -> bool:
    """Whether an expression is an object's own self, class or base."""
    return ast.unparse(node) in ('self', 'cls', 'super()')


@cache
def parsed(path: str) -> ast.Module:
    return ast.parse(Path(path).read_text())


@cache
def private_names(kind: type) -> set[str]:
    """Protected names that a class uses on itself, or defines."""
    try:
        module = parsed(inspect.getsourcefile(kind) or '')
    except (OSError, TypeError):  # it is compiled, or a proxy
        return set()
    (tree,) = (node for node in module.body if isinstance(node, ast.ClassDef) and node.name == kind.__qualname__)
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_own(node.value)}
    used |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return {name for name in used if PRIVATE.fullmatch(name)}


def test_protected_names_of_bases_are_listed_while_both_sides_have_them():
    found = {}
    for module in modules():
        for kind in vars(importlib.import_module(module)).values():
            if inspect.isclass(kind) and kind.__module__ == module:
                bases = [base for base in kind.__mro__ if base.__module__.split('.')[0] in OTHERS]
                ours = private_names(kind) if bases else set()
                if shared := ours & set().union(*map(private_names, bases if ours else [])):
                    found[f'{module}.{kind.__name__}'] = tuple(sorted(shared))
    assert found == compat.INHERITED


#: Private names of Python's own modules, and of named tuples
OF_PYTHON = {
    '_EndRecData',
    '_ECD_SIZE',
    '_create_connection',
    '_Unpickler',
    '_replace',
    '_asdict',
    '_fields',
    '_compat_pickle',
    '_exit',
}


def test_private_names_of_others_are_used_in_compat_alone():
    found = []
    for path in sorted((ROOT / 'mmtsf').rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text())) if path.name != 'compat.py' else ():
            names = [node.attr] if isinstance(node, ast.Attribute) and not is_own(node.value) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [*(node.module or '').split('.'), *(alias.name for alias in node.names)]
            found += [f'{path.name}: {name}' for name in names if re.match('_[a-zA-Z]', name) and name not in OF_PYTHON]
    assert found == []


def test_what_ray_tells_of_its_machines_is_kept_off_the_screen(capsys):
    worker = pytest.importorskip('ray._private.worker')
    told = dict(lines=['(raylet) gone'], pid='raylet', is_err=False)
    with compat.without_lines_of_ray():
        worker.print_to_stdstream(told, ignore_prefix=False)
    assert capsys.readouterr().out == ''
    assert 'print_to_stdstream' in inspect.getsource(worker.listen_error_messages)
    worker.print_worker_logs(told, sys.stdout)
    assert 'gone' in capsys.readouterr().out


def test_the_first_process_that_fails_is_known_to_all(tmp_path):
    torch.distributed.init_process_group('gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        assert [compat.number_of_failures() for _ in range(2)] == [1, 2]
    finally:
        torch.distributed.destroy_process_group()
