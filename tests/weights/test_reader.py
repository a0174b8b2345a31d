"""Checkpoints are read as data: what is none is named, and what would run code is refused."""

import argparse
import os
import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import tiny_backbone
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from runs import TINY, run_tool
from safetensors.torch import save_file
from torch import nn

from mmtsf.weights import read_checkpoint

PLAIN = dict(
    state_dict=dict(weight=torch.arange(6.0).view(2, 3)), meta=dict(epoch=3, seed=None, name='ünï', rates=[0.1])
)


class RunsCode:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.system, (f'touch {self.marker}',)


def save(content: object, path: Path, zipped: bool = True) -> Path:
    """Write a checkpoint in today's format, or in that of before PyTorch 1.6."""
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


formats = pytest.mark.parametrize('zipped', [True, False])


@formats
def test_tensors_and_plain_values_come_back_as_they_were(zipped, tmp_path):
    checkpoint = read_checkpoint(str(save(PLAIN, tmp_path / 'a model.pth', zipped)))
    assert torch.equal(checkpoint['state_dict']['weight'], PLAIN['state_dict']['weight'])
    assert checkpoint['meta'] == PLAIN['meta']


def test_a_path_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    save(PLAIN, tmp_path / 'model.pth')
    assert read_checkpoint('~/model.pth')['meta'] == PLAIN['meta']


def test_tensors_go_where_they_are_wanted(tmp_path):
    checkpoint = read_checkpoint(str(save(PLAIN, tmp_path / 'model.pth')), map_location='meta')
    assert checkpoint['state_dict']['weight'].device.type == 'meta'


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        read_checkpoint(str(tmp_path / 'model.pth'))
    assert str(error.value) == f'the checkpoint {tmp_path}/model.pth does not exist'


@formats
@pytest.mark.parametrize('share', [0.1, 0.5, 0.95])
def test_a_truncated_file_is_named(zipped, share, tmp_path):
    path = save(dict(weight=torch.ones(1000)), tmp_path / 'model.pth', zipped)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=f'{path} is not a checkpoint, or a truncated one'):
        read_checkpoint(str(path))


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'hello, this is no checkpoint\n',
        b'<!DOCTYPE html>\n<html><body>404: Not Found</body></html>\n',
        b'{"message": "Not Found"}',
        b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 486000000\n',
    ],
    ids=['empty', 'text', 'html', 'json', 'git-lfs'],
)
def test_a_file_that_is_no_checkpoint_is_named(content, tmp_path):
    path = tmp_path / 'model.pth'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f'{path} is not a checkpoint'):
        read_checkpoint(str(path))


def malicious(kind: str, marker: Path, folder: Path) -> Path:
    """A file that makes ``marker`` if anything in it is executed."""
    path, code = folder / f'{kind}.pth', RunsCode(marker)
    state = tiny_backbone('DividedAttention').state_dict()
    if kind == 'npz':
        path = path.with_suffix('.npz')
        np.savez(path, cls=np.array([code], dtype=object))
    elif kind == 'folder':
        path = folder / 'huggingface'
        path.mkdir()
        (path / 'config.json').write_text('{}')
        torch.save(dict(state, code=code), path / 'pytorch_model.bin')
    elif kind == 'pickle':
        path.write_bytes(pickle.dumps(code, protocol=2))
    else:
        content = {
            'top': code,
            'old': dict(state_dict=state, meta=code),
            'nested': dict(state_dict=state, meta=dict(hooks=[({'x': code},)])),
            'optimizer': dict(state_dict=state, optimizer=dict(state={0: dict(step=code)})),
            'history': dict(state_dict=state, message_hub=dict(loss=HistoryBuffer([1.0], [1]), code=code)),
            'object': dict(state_dict=state, args=argparse.Namespace(code=code)),
        }[kind]
        save(content, path, zipped=kind != 'old')
    return path


KINDS = ('top', 'old', 'nested', 'optimizer', 'history', 'object', 'pickle', 'npz', 'folder')


@pytest.mark.parametrize('load', [read_checkpoint, CheckpointLoader.load_checkpoint])
@pytest.mark.parametrize('kind', KINDS)
def test_code_in_a_checkpoint_is_not_run(kind, load, tmp_path):
    marker = tmp_path / 'marker'
    path = malicious(kind, marker, tmp_path)
    with pytest.raises(ValueError, match='is refused: it asks for (posix.system|pickled objects), and nothing but'):
        load(str(path))
    assert not marker.exists()
    pickle.loads(pickle.dumps(RunsCode(marker)))
    assert marker.exists()  # so it was no dud


@pytest.mark.parametrize(
    'words',
    [
        ['tools/test.py', TINY, 'FILE', '--work-dir', 'OUT'],
        pytest.param(['tools/train.py', TINY, '--resume', 'FILE', '--work-dir', 'OUT'], marks=pytest.mark.long),
        ['tools/train.py', TINY, '--work-dir', 'OUT', '--cfg-options', 'load_from=FILE'],
        ['tools/train.py', TINY, '--work-dir', 'OUT', '--cfg-options', 'model.backbone.init_cfg.checkpoint=FILE'],
        ['tools/convert_weights.py', 'FILE', 'OUT.pth'],
        ['tools/export.py', TINY, 'FILE', 'OUT.onnx'],
        pytest.param(
            ['tools/analysis/visualize_attention.py', 'VIDEO', TINY, 'FILE', 'OUT.png'], marks=pytest.mark.long
        ),
    ],
    ids=['test', 'resume', 'load_from', 'init_cfg', 'convert', 'export', 'visualize'],
)
def test_no_tool_runs_code_from_a_checkpoint(words, motion, tmp_path):
    marker = tmp_path / 'marker'
    path = malicious('optimizer', marker, tmp_path)
    video = str(next(motion.glob('test/left/*.mp4')))
    words = [word.replace('FILE', str(path)).replace('OUT', str(tmp_path / 'out')) for word in words]
    words = [video if word == 'VIDEO' else word for word in words]
    if '--work-dir' in words:
        given = [] if '--cfg-options' in words else ['--cfg-options']
        words += [
            *given,
            f'data.root={motion}',
            *(['model.backbone.init_cfg.type=Pretrained'] * ('init_cfg' in words[-1])),
        ]
    log = run_tool(*words, fails=True)
    assert 'is refused: it asks for posix.system, and nothing but tensors and plain values' in log
    assert not marker.exists()


@pytest.mark.parametrize(
    ('content', 'name'),
    [
        (dict(model=nn.Linear(2, 2)), 'torch.nn.modules.linear.Linear'),
        (dict(path=Fraction(1, 2)), 'fractions.Fraction'),
    ],
)
def test_objects_are_refused_by_their_name(content, name, tmp_path):
    path = save(content, tmp_path / 'model.pth')
    with pytest.raises(ValueError, match=f'the checkpoint {path} is refused: it asks for {name}, and nothing but'):
        read_checkpoint(str(path))


@formats
def test_harmless_objects_beside_the_weights_are_left_out(zipped, tmp_path):
    content = dict(
        PLAIN,
        message_hub=dict(loss=HistoryBuffer([1.0], [1]), epoch=3),
        best=np.float64(0.5),
        curve=np.arange(3),
        args=argparse.Namespace(lr=0.1),
        config=ConfigDict(lr=0.1),
        places=[Path('a')],
    )
    checkpoint = read_checkpoint(str(save(content, tmp_path / 'model.pth', zipped)))
    assert torch.equal(checkpoint['state_dict']['weight'], PLAIN['state_dict']['weight'])
    assert checkpoint['message_hub'] == dict(epoch=3)
    assert set(checkpoint) == {'state_dict', 'meta', 'message_hub', 'config'}
    assert not checkpoint['config'] or checkpoint['config'] == dict(lr=0.1)


def test_safetensors_are_read_whatever_their_name(tmp_path):
    for name in ('model.safetensors', 'model.bin'):
        save_file(PLAIN['state_dict'], tmp_path / name)
        assert torch.equal(read_checkpoint(str(tmp_path / name))['state_dict']['weight'], PLAIN['state_dict']['weight'])


@pytest.mark.parametrize(('name', 'words'), [('model.safetensors', 'a safetensors'), ('model.npz', 'an npz')])
def test_other_formats_that_are_truncated_are_named(name, words, tmp_path):
    path = tmp_path / name
    if name.endswith('npz'):
        np.savez(path, weight=np.ones(1000))
    else:
        save_file(dict(weight=torch.ones(1000)), path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=f'{path} is not {words} file, or a truncated one'):
        read_checkpoint(str(path))


@pytest.mark.parametrize(
    ('there', 'lacks'),
    [('model.safetensors', 'config.json'), ('config.json', 'model.safetensors or pytorch_model.bin')],
)
def test_a_folder_that_lacks_a_file_is_named_with_it(there, lacks, tmp_path):
    (tmp_path / there).write_text('{}')
    with pytest.raises(ValueError, match=f'{tmp_path} is a folder without {lacks}; expected a checkpoint file'):
        read_checkpoint(str(tmp_path))
