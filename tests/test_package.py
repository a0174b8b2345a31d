"""The wheel holds all that is needed: configs by name, the model, the tools; nothing of the checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from functools import partial
from importlib.metadata import PathDistribution
from pathlib import Path
from zipfile import Path as PathInZip
from zipfile import ZipFile

import pytest
from runs import ROOT, options, run_tool

TINY = 'mmtsf::timesformer_tiny_motion.py'
BASE = 'mmtsf::timesformer_base_k400.py'
SOURCES = (
    'setup.py',
    'pyproject.toml',
    'MANIFEST.in',
    'README.md',
    'LICENSE',
    'mmtsf',
    'configs',
    'tools',
    'requirements',
)


def call(*words: str | Path, cwd: Path) -> str:
    """What a command prints; it knows nothing of the checkout."""
    environment = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    result = subprocess.run(
        list(map(str, words)),
        cwd=cwd,
        env=dict(environment, OMP_NUM_THREADS='1'),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout[-3000:]
    return result.stdout


@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> Path:
    """The wheel, built of the source distribution, which is built of a copy of the checkout."""
    folder = tmp_path_factory.mktemp('build')
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    call(sys.executable, '-c', 'from setuptools import build_meta; build_meta.build_sdist("dist")', cwd=folder)
    source = next(folder.glob('dist/*.tar.gz'))
    call(sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', source, '-w', 'dist', cwd=folder)
    return next(folder.glob('dist/*.whl'))


@pytest.fixture(scope='module')
def python(wheel, tmp_path_factory) -> Path:
    """Python of an environment with the wheel and, by a path, the other packages of this one."""
    folder = tmp_path_factory.mktemp('environment')
    call(sys.executable, '-m', 'venv', '--without-pip', 'env', cwd=folder)
    python = folder / 'env/bin/python'
    call(sys.executable, '-m', 'pip', '--python', python, 'install', '--no-deps', '--no-index', wheel, cwd=folder)
    next(folder.glob('env/lib/python*/site-packages')).joinpath('others.pth').write_text(sysconfig.get_path('purelib'))
    return python


@pytest.fixture
def tools(python) -> Path:
    """Folder of the installed tools."""
    return next(python.parents[1].glob('lib/python*/site-packages/mmtsf/.mim/tools'))


@pytest.fixture
def run_installed(tools, tmp_path) -> Callable[..., str]:
    """Run words of Python in an empty folder, in a warm process that finds the installed package first."""
    return partial(run_tool, folder=tmp_path, PYTHONPATH=str(tools.parents[2]))


def test_the_wheel_has_the_version_the_extras_and_no_tests(wheel):
    with ZipFile(wheel) as archive:
        names = archive.namelist()
    configs = {f'mmtsf/.mim/{path.relative_to(ROOT)}' for path in ROOT.glob('configs/**/*.py')}
    assert configs <= set(names)
    assert 'mmtsf/.mim/model-index.yml' in names
    assert {f'mmtsf/datasets/classes/{name}.txt' for name in ('kinetics400', 'kinetics600', 'ssv2', 'diving48')} <= set(
        names
    )
    assert not [name for name in names if '__pycache__' in name or 'install.sh' in name or name.startswith('tests')]
    about = PathDistribution(PathInZip(wheel, 'mmtsf-0.1.0.dist-info/')).metadata
    assert about['Version'] == '0.1.0'
    assert about['Project-URL'] == 'Paper, https://arxiv.org/abs/2102.05095'
    assert 'Typing :: Typed' in about.get_all('Classifier')
    assert {'mmtsf/py.typed', *(f'mmtsf/demo/{path.name}' for path in ROOT.glob('mmtsf/demo/*.css'))} <= set(names)
    assert about.get_all('Provides-Extra') == [
        'analysis',
        'bitsandbytes',
        'demo',
        'export',
        'lora',
        'mlflow',
        'ray',
        'shards',
        'storage',
        'sweep',
        'tensorboard',
        'torchcodec',
        'wandb',
        'dev',
    ]


def test_names_lead_to_the_configs_of_the_wheel(run_installed, tmp_path):
    (tmp_path / 'child.py').write_text(f"_base_ = '{TINY}'\ndata = dict(num_classes=3)\n")
    run_installed('-c', QUESTIONS)


#: What is asked of the installed package, in an empty folder
QUESTIONS = f"""
import mmtsf, torch
from mmtsf.apis import TimeSformerInferencer, init_recognizer
from mmtsf.config import load_config

assert 'environment' in mmtsf.__file__ and 'site-packages' in mmtsf.__file__, mmtsf.__file__
assert '.mim' in load_config({TINY!r}).filename
assert load_config('child.py').model.cls_head.num_classes == 3
model = init_recognizer({TINY!r}, device='cpu')
assert model.backbone(torch.rand(1, 3, 8, 48, 48)).shape == (1, 64)
assert TimeSformerInferencer({TINY!r}, device='cpu').model.cfg.model.backbone.embed_dims == 64

assert load_config({BASE!r}).model.backbone.num_frames == 8
"""


def test_the_wheel_has_the_command(python, tmp_path):
    assert call(python.with_name('mmtsf'), '--version', cwd=tmp_path) == 'mmtsf 0.1.0\n'


def test_a_tool_of_the_wheel_takes_a_config_by_name(run_installed, tools):
    cost = json.loads(run_installed(tools / 'analysis/get_flops.py', BASE, '--json'))
    assert cost == dict(config=BASE, params=121_566_352, macs=195_830_280_192)


def test_tools_of_the_wheel_make_data_train_and_test(run_installed, tools):
    run_installed(tools / 'data/make_motion.py', 'motion', '--videos', 2, 1, 1)
    changes = options('motion', max_epochs=1, **{'train_dataloader.num_workers': 0, 'val_dataloader.num_workers': 0})
    run_installed(tools / 'train.py', TINY, *changes)
    checkpoint = 'work_dirs/timesformer_tiny_motion/epoch_1.pth'
    assert 'acc/top1' in run_installed(tools / 'test.py', TINY, checkpoint, *changes)


def test_a_name_that_is_not_shipped_is_refused_with_the_nearest():
    from mmtsf.config import load_config

    with pytest.raises(FileNotFoundError, match='mmtsf has no config .*; did you mean mmtsf::timesformer_base_k400.py'):
        load_config('mmtsf::timesformer_bas_k400.py')
