"""Checkpoints are read as data: what is none is named, and what would run code is refused."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
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


@pytest.mark.parametrize('load', [read_checkpoint, CheckpointLoader.load_checkpoint])
@pytest.mark.parametrize('layout', ['zipped', 'old', 'pickle'])
def test_code_in_a_checkpoint_is_not_run(layout, load, tmp_path):
    marker, path = tmp_path / 'marker', tmp_path / 'model.pth'
    content = dict(PLAIN, state_dict=RunsCode(marker))
    if layout == 'pickle':
        path.write_bytes(pickle.dumps(content['state_dict'], protocol=2))
    else:
        save(content, path, zipped=layout == 'zipped')
    with pytest.raises(ValueError, match=f'the checkpoint {path} is refused: it asks for .*, and nothing but tensors'):
        load(str(path))
    assert not marker.exists()
    pickle.loads(pickle.dumps(RunsCode(marker)))
    assert marker.exists()  # so it was no dud


@pytest.mark.parametrize(
    ('content', 'name'),
    [
        (dict(message_hub=dict(log_scalars=dict(loss=HistoryBuffer([1.0], [1])))), 'HistoryBuffer'),
        (nn.Linear(2, 2), 'Linear'),
    ],
)
def test_objects_are_refused_by_their_name(content, name, tmp_path):
    path = save(content, tmp_path / 'model.pth')
    with pytest.raises(ValueError, match=f'the checkpoint {path} is refused: it asks for .*{name}, and nothing but'):
        read_checkpoint(str(path))
