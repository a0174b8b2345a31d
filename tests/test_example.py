"""The project of projects/example trains from a folder outside of the repository."""

import os
import re
import shutil

import numpy as np
import pytest
import torch
import warm
from runs import ROOT, write_json

from mmtsf.models import TimeSformer
from mmtsf.weights import translate_back

CONFIG = 'example/configs/example.py'


@pytest.fixture
def outside(tmp_path, motion, monkeypatch):
    """A folder with a copy of the project, beside videos with ``videos.json``."""
    shutil.copytree(ROOT / 'projects/example', tmp_path / 'example', ignore=shutil.ignore_patterns('__pycache__'))
    write_json(motion, tmp_path / 'videos_json')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path / 'example'))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mmtsf(folder, *words, options=()) -> str:
    """What a command prints that runs in a folder."""
    with (folder / 'output').open('w+') as output:
        given = ['--cfg-options', *options] if options else []
        code = warm.start(['-m', 'mmtsf', *words, *given], folder, dict(os.environ, OMP_NUM_THREADS='1'), output).wait(
            200
        )
        output.seek(0)
        text = output.read()
    logs = ''.join(path.read_text() for path in folder.glob('work_dirs/**/*.log'))
    assert code == 0, text[-3000:]
    return text + logs


def test_a_data_set_a_transform_a_hook_a_scheme_and_a_head_train_and_test(outside):
    log = mmtsf(outside, 'train', CONFIG, options=['max_epochs=1'])
    assert 'training videos: left 8, left_then_right 8, right 8, right_then_left 8' in log
    assert 'RandomGamma' in log
    state = torch.load(outside / 'work_dirs/example/epoch_1.pth', weights_only=True)['state_dict']
    assert 'backbone.blocks.0.attention.steps.tube.qkv.weight' in state
    assert state['cls_head.fc_cls.weight'].shape == (4, 64)
    left = 'work_dirs/example/example.py'
    assert 'acc/top1' in mmtsf(outside, 'test', left, 'work_dirs/example/epoch_1.pth')


def test_a_decoder_and_an_origin_of_weights_train(outside):
    """With videos as NumPy files, and weights of an image model with names of their own."""
    rows = []
    for number in range(8):
        name, split = ('left', 'right')[number % 2], ('train', 'train', 'val', 'test')[number // 2]
        frames = np.random.default_rng(number).integers(0, 256, (24, 64, 80, 3), np.uint8)
        np.save(outside / f'{number}.npy', frames)
        rows.append(f'{{"path": "{number}.npy", "class": "{name}", "split": "{split}"}}')
    (outside / 'videos.json').write_text(f'{{"videos": [{", ".join(rows)}]}}')
    sizes = dict(img_size=48, patch_size=8, embed_dims=64, num_heads=2, num_layers=4)
    image = TimeSformer(dict(type='SpaceAttention'), **sizes).state_dict()
    names = translate_back({f'backbone.{key}': value for key, value in image.items()}, 'timm', 'image')
    torch.save({f'encoder.{key}': value for key, value in names.items()}, outside / 'fork.pth')
    options = ['max_epochs=1', 'data.root=.', 'decoder=npy', 'start=fork.pth', 'global_batch_size=4', 'batch_size=4']
    log = mmtsf(outside, 'train', CONFIG, options=options)
    assert re.search(r'fork\.pth \(fork\): \d\d weights matched', log)
    assert 'fewer than 5 training videos: left, left_then_right, right, right_then_left' in log


@pytest.mark.parametrize(
    ('right', 'wrong', 'words'),
    [
        ("['mmtsf_example']", "['mmtsf_exampel']", 'Failed to import custom modules from .*mmtsf_exampel'),
        ('limit=1.5', 'limit=0.5', 'limit is 0.5, expected 1 or more'),
    ],
)
def test_a_mistake_in_a_part_of_ones_own_is_named(outside, right, wrong, words):
    config = outside / CONFIG
    config.write_text(config.read_text().replace(right, wrong))
    with pytest.raises(AssertionError, match=words):
        mmtsf(outside, 'train', CONFIG, options=['max_epochs=1'])
