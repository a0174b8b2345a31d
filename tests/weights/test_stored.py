"""Checkpoints and configs in object storage: fetched once a version, whole, and read as data."""

import json
import multiprocessing
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from helpers import read_for_a_runner
from runs import ROOT, TINY
from safetensors.torch import save_file

from mmtsf.config import load_config
from mmtsf.utils import remote_calls, sources
from mmtsf.utils.sources import config_path
from mmtsf.weights import read_checkpoint
from mmtsf.weights.sources import local_path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache, and no long waits."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setattr(remote_calls, 'FIRST_WAIT', 0.01)
    sources._fetched_config.cache_clear()
    return tmp_path / 'cache/hub/checkpoints/mmtsf'


def stored(s3, tmp_path, number: float, name: str = 'model.pth') -> str:
    torch.save(dict(state_dict=dict(weight=torch.full((1000,), number))), tmp_path / 'file')
    return s3.put(name, tmp_path / 'file')


def gets(s3) -> int:
    return sum(asked.method == 'GET' and 'list-type' not in asked.path for asked in s3.server.asked)


def test_it_is_fetched_once_and_anew_when_it_has_changed(s3, tmp_path, cache):
    url = stored(s3, tmp_path, 1)
    for read in (read_checkpoint, read_for_a_runner):
        assert (read(url).get('state_dict', read(url))['weight'] == 1).all()
    assert gets(s3) == 1
    stored(s3, tmp_path, 2)
    assert (read_checkpoint(url)['state_dict']['weight'] == 2).all()
    assert gets(s3) == 2
    assert len(list(cache.glob('*/*/whole/*'))) == 1  # the former one takes no room


def test_a_download_that_breaks_off_leaves_nothing_half(s3, tmp_path, cache):
    url = stored(s3, tmp_path, 1)
    s3.server.only = lambda asked: asked.method == 'GET'
    s3.server.faults = ['break', 503]
    assert (read_checkpoint(url)['state_dict']['weight'] == 1).all()
    shutil.rmtree(cache)
    s3.server.always = 'break'
    with pytest.raises(OSError, match='model.pth cannot be reached'):
        read_checkpoint(url)
    assert [path.name for path in cache.rglob('*') if path.is_file()] == ['.lock']


@pytest.mark.parametrize(
    ('content', 'reason'),
    [(b'<!DOCTYPE html>', 'a web page'), (b'PK\x03\x04cut off', 'damaged or cut off'), (b'hello', 'begins with')],
)
def test_what_cannot_be_a_checkpoint_is_not_taken(s3, cache, content, reason):
    with pytest.raises(ValueError, match=f'm.pth is not taken: .*{reason}'):
        local_path(s3.put('m.pth', content))
    assert [path.name for path in cache.rglob('*') if path.is_file()] == ['.lock']


def test_nothing_in_it_is_executed(s3, tmp_path):
    class Evil:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / 'executed',)

    torch.save(dict(state_dict=Evil()), tmp_path / 'evil.pth')
    with suppress(ValueError):
        read_checkpoint(s3.put('evil.pth', tmp_path / 'evil.pth'))
    assert not (tmp_path / 'executed').exists()


def _read(url: str) -> str:
    return str(local_path(url))


@pytest.mark.long
def test_of_several_processes_one_fetches_it(s3, tmp_path):
    url = stored(s3, tmp_path, 1)
    with multiprocessing.get_context('spawn').Pool(3) as pool:
        assert len(set(pool.map(_read, [url] * 3))) == 1
    assert gets(s3) == 1


def test_a_folder_as_hugging_face_saves_it_is_fetched_as_a_whole(s3, tmp_path):
    folder = tmp_path / 'hf'
    folder.mkdir()
    (folder / 'config.json').write_text('{"model_type": "timesformer"}')
    place_of = dict(a='one.safetensors', b='two.safetensors')
    (folder / 'model.safetensors.index.json').write_text(json.dumps(dict(weight_map=place_of)))
    for key, name in place_of.items():
        save_file({key: torch.ones(2)}, folder / name)
    url = s3.put_folder(folder, 'hf')
    for source in (url, f'{url}/model.safetensors.index.json'):
        read = read_checkpoint(source)
        assert set(read['state_dict']) == {'a', 'b'}
        assert read['huggingface'] == dict(model_type='timesformer')
    (folder / 'config.json').unlink()
    with pytest.raises(ValueError, match='is a folder without config.json'):
        read_checkpoint(s3.put_folder(folder, 'other'))


def test_absence_and_rights_are_one_line(s3):
    with pytest.raises(FileNotFoundError, match=f'the checkpoint {s3.url}/none.pth does not exist; correct'):
        local_path(f'{s3.url}/none.pth')
    s3.server.always = 403
    with pytest.raises(PermissionError, match='none.pth: no rights to it'):
        local_path(f'{s3.url}/none.pth')


def test_a_config_is_taken_from_an_address_in_object_storage_that_is_named(s3, tmp_path):
    url = s3.put('run/config.py', load_config(str(ROOT / TINY)).pretty_text)
    assert config_path(url).name == 'config.py'
    assert load_config(url).model.backbone == load_config(str(ROOT / TINY)).model.backbone
    with pytest.raises(ValueError, match='is a program from the web; fetch it, read it'):
        config_path('https://127.0.0.1:9/config.py')
    with pytest.raises(FileNotFoundError, match='none.py does not exist'):
        config_path(f'{s3.url}/none.py')
