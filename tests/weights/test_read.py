"""Checkpoints are read as data: what is none is named, and what would run code is refused."""

import argparse
import gzip
import json
import lzma
import os
import pickle
import re
import socket
import struct
import zipfile
from collections import Counter
from collections.abc import Callable
from copy import copy
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from growth import growth
from helpers import read_for_a_runner, tiny_backbone
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from runs import TINY, run_tool
from safetensors.torch import save_file
from torch import Tensor, nn
from torch_files import Described, Storage, archive, pickled, stream

from mmtsf.weights import read_checkpoint, translate

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


@pytest.mark.parametrize('load', [read_checkpoint, read_for_a_runner])
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
        message_hub=dict(loss=np.ones((2, 2)), epoch=3),
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


def deflated(folder: Path) -> Path:
    return archive(
        folder / 'model.pth',
        pickled(dict(weight=Described(Storage('s', 50_000_000), (50_000_000,), (1,)))),
        zipfile.ZIP_DEFLATED,
        s=bytes(200_000_000),
    )


def deflated_pickle(folder: Path) -> Path:
    return archive(folder / 'model.pth', b'\x80\x02' + b']' * 200_000_000 + b'.', zipfile.ZIP_DEFLATED)


def many_steps(folder: Path) -> Path:
    return archive(folder / 'model.pth', b'\x80\x02' + b']' * 1_100_000 + b'.')


def deflated_npz(folder: Path) -> Path:
    np.savez_compressed(folder / 'model.npz', weight=np.zeros(50_000_000, np.float32))
    return folder / 'model.npz'


def declared_npz(folder: Path, shape: str = '(4398046511104,)', dtype: str = '<f4') -> Path:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    with zipfile.ZipFile(folder / 'model.npz', 'w') as file:
        file.writestr('weight.npy', b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header + bytes(16))
    return folder / 'model.npz'


def lzma_npz(folder: Path) -> Path:
    path = folder / 'model.npz'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_LZMA) as file:
        file.writestr('weight.npy', bytes(80_000_000))
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack('<I', 80_000_000), struct.pack('<I', 1000)))  # as if it were small
    return path


def overlapping(folder: Path) -> Path:
    storages = {f's{i}': Storage(f's{i}', 2_500_000) for i in range(60)}
    content = {key: Described(storage, (2_500_000,), (1,)) for key, storage in storages.items()}
    path = archive(folder / 'model.pth', pickled(content), s0=bytes(10_000_000))
    with zipfile.ZipFile(path, 'a') as file:
        for key in list(storages)[1:]:
            part = copy(file.getinfo('a/data/s0'))
            part.filename = f'a/data/{key}'
            file.filelist.append(part)
        file._didModify = True
    return path


def long_stream(folder: Path) -> Path:
    content = dict(weight=Described(Storage('s', 75_000_000), (75_000_000,), (1,)))
    return stream(folder / 'model.pth', content, 75_000_000, bytes(400))


def repeated(folder: Path) -> Path:
    storage = Storage('s', 2_500_000)
    content = {f'{i}': Described(storage, (2_500_000,), (1,)) for i in range(1000)}
    return archive(folder / 'model.pth', pickled(content), s=bytes(10_000_000))


def longer_than_its_part(folder: Path) -> Path:
    content = dict(weight=Described(Storage('s', 1000), (1000,), (1,)))
    return archive(folder / 'model.pth', pickled(content), s=bytes(4))


def negative(folder: Path) -> Path:
    return archive(folder / 'model.pth', pickled(dict(weight=Described(Storage('s', 4), (2,), (-1,)))), s=bytes(16))


@pytest.mark.parametrize(
    ('make', 'words'),
    [
        (deflated, 'unpack to 200,.*, and no more than 10 times as many are taken'),
        (deflated_pickle, 'unpack to 200,000,003, and no more than 10 times'),
        (many_steps, 'its pickle takes more than 1,000,000 steps'),
        (deflated_npz, 'unpack to 200,.*, and no more than 10 times'),
        (declared_npz, "its array 'weight.npy' has another size than it declares"),
        (lzma_npz, "its part 'weight.npy' is encrypted, or compressed otherwise than by deflate"),
        (overlapping, 'unpack to 600,.*, and no more than 10 times'),
        (long_stream, "its storage 's'|a truncated one"),
        (repeated, 'its tensors have 10,000,000,000 bytes, and share 10,000,000, which is more than 64 times'),
        (longer_than_its_part, "its storage 's' has 4 bytes, and 4,000 are declared"),
        (negative, 'a tensor in it has a size that is no size'),
    ],
)
def test_a_file_that_would_grow_is_refused_before_it_takes_memory(make, words, tmp_path):
    path = make(tmp_path)
    error, megabytes = growth(lambda: read_checkpoint(str(path)))
    assert re.search(words, error), error
    assert str(path) in error
    assert megabytes < (90 if make is many_steps else 60)  # a million empty lists take 60
    assert make is longer_than_its_part or path.stat().st_size < 11e6


class Grows:
    """Pickled as a call that takes 100 GB."""

    def __reduce__(self) -> tuple:
        return bytearray, (10**11,)


def test_a_call_that_takes_memory_is_not_made(tmp_path):
    path = save(dict(PLAIN, more=Grows()), tmp_path / 'model.pth')
    assert set(read_checkpoint(str(path))) == set(PLAIN)


def nested(depth: int) -> bytes:
    """A pickle of lists in lists under ``meta``."""
    return b'\x80\x02}X\x04\x00\x00\x00meta' + b']' * depth + b'a' * (depth - 1) + b's.'


def test_nesting_sharing_and_self_reference_are_refused_at_once(tmp_path):
    circle: dict = {}
    circle['state_dict'] = circle
    shared: list = []
    for _ in range(60):
        shared = [shared, shared]
    as_key = b'\x80\x02})' + b'\x85' * 300_000 + b'Ns.'  # hashing it would end the process
    for content in (pickled(circle), pickled(dict(meta=shared)), nested(100), nested(100_000)):
        path = archive(tmp_path / 'model.pth', content)
        with pytest.raises(ValueError, match='refer to themselves, lie more than 64 deep, or are more than 1,000,000'):
            read_checkpoint(str(path))
    deep = b')' + b'\x85' * 300_000
    counted = b'\x80\x02ccollections\nCounter\n]]' + deep + b'aNaa\x85R.'
    assert read_checkpoint(str(archive(tmp_path / 'model.pth', as_key))) == {}
    assert read_checkpoint(str(archive(tmp_path / 'model.pth', counted))) == Counter()
    for content in (
        b'\x80\x02ctorch\nSize\nX\x01\x00\x00\x00a\x85R.',
        b'\x80\x02ctorch\nSize\n' + deep + b'X\x01\x00\x00\x00aR.',
    ):
        with pytest.raises(ValueError, match='is not a checkpoint'):
            read_checkpoint(str(archive(tmp_path / 'model.pth', content)))


def test_keys_of_storages_are_texts(tmp_path):
    path = stream(tmp_path / 'model.pth', dict(weight=Described(Storage('s', 1), (1,), (1,))), 1, bytes(4))
    assert read_checkpoint(str(path))['weight'].tolist() == [0.0]
    keys = pickle.dumps(['s'], protocol=2)
    deep = b'\x80\x02])' + b'\x85' * 300_000 + b'a.'  # hashing it would end the process
    path.write_bytes(path.read_bytes().replace(keys, deep))
    with pytest.raises(ValueError, match='is not a checkpoint'):
        read_checkpoint(str(path))


@formats
@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (dict(PLAIN, meta=None), 'its meta is a NoneType, expected a dict'),
        (dict(PLAIN, meta='epoch 3'), 'its meta is a str, expected a dict'),
        (dict(PLAIN, meta=[1, 2]), 'its meta is a list, expected a dict'),
        (dict(PLAIN, meta=torch.ones(2)), 'its meta is a Tensor, expected a dict'),
        (dict(PLAIN, meta={3: 'epoch'}), 'its meta has the key 3, a int, expected names'),
        ({0: torch.ones(2)}, 'it has the key 0, a int, expected names'),
        ({None: torch.ones(2)}, 'it has the key None, a NoneType, expected names'),
        ([torch.ones(2)], 'it holds a list, expected a dict of weights'),
        (torch.ones(2), 'it holds a Tensor, expected a dict of weights'),
        ('weights', 'it holds a str, expected a dict of weights'),
    ],
)
def test_odd_content_is_named(content, words, zipped, tmp_path):
    path = save(content, tmp_path / 'model.pth', zipped)
    with pytest.raises(ValueError, match=re.escape(f'the checkpoint {path} is refused: {words}')):
        read_checkpoint(str(path))


def test_what_is_no_file_is_named_and_not_opened(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / 'pipe.pth')
    (tmp_path / 'zero.pth').symlink_to('/dev/zero')
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # a socket's path is short
        server.bind('socket.pth')
        for name in ('pipe.pth', 'zero.pth', 'socket.pth'):
            with pytest.raises(ValueError, match=f'{name} is refused: it is no file but a pipe, a socket or a device'):
                read_checkpoint(str(tmp_path / name))
    (tmp_path / 'hf').mkdir()
    os.mkfifo(tmp_path / 'hf/config.json')
    save_file(PLAIN['state_dict'], tmp_path / 'hf/model.safetensors')
    with pytest.raises(ValueError, match='hf is a folder without config.json'):
        read_checkpoint(str(tmp_path / 'hf'))


def test_other_archives_are_named(tmp_path):
    path = save(PLAIN, tmp_path / 'model.pth')
    content = path.read_bytes()
    for packed in (gzip.compress(content), lzma.compress(content), b"7z\xbc\xaf'\x1c\x00\x04" + content):
        path.write_bytes(packed)
        with pytest.raises(ValueError, match=f'{path} is not a checkpoint, or a truncated one'):
            read_checkpoint(str(path))


def test_parts_of_the_same_name_are_refused(tmp_path):
    path = archive(tmp_path / 'model.pth', pickled(dict(weight=Described(Storage('s', 1), (1,), (1,)))), s=bytes(4))
    with zipfile.ZipFile(path, 'a') as file, pytest.warns(UserWarning, match='Duplicate'):
        file.writestr('a/data/s', bytes(4))
    with pytest.raises(ValueError, match='is refused: two of its parts have the same name'):
        read_checkpoint(str(path))


@pytest.mark.parametrize(
    ('shape', 'dtype', 'words'),
    [
        ('(-4,)', '<f4', "its array 'weight.npy' has another size"),
        ('(4398046511104, 0)', '<f4', "its array 'weight.npy' has another size"),
        ('(4,)', '<U1', "its array 'weight.npy' holds <U1, expected numbers"),
        ('(9223372036854775807,)', '<U0', 'holds <U0, expected numbers'),
        ('(4.0,)', '<f4', 'is not an npz file, or a truncated one'),
        ('(4,)', '|O', 'it asks for pickled objects'),
    ],
)
def test_odd_arrays_are_named(shape, dtype, words, tmp_path):
    path = declared_npz(tmp_path, shape, dtype)
    with pytest.raises(ValueError, match=words):
        read_checkpoint(str(path))


def test_an_npy_file_is_no_npz_file(tmp_path):
    with (tmp_path / 'model.npz').open('wb') as file:
        np.save(file, np.ones(3))
    with pytest.raises(ValueError, match='is not an npz file'):
        read_checkpoint(str(tmp_path / 'model.npz'))


def test_arrays_come_back_as_they_were(tmp_path):
    arrays = dict(
        rows=np.random.rand(3, 4), columns=np.asfortranarray(np.random.rand(3, 4)), big=np.arange(3, dtype='>f4')
    )
    arrays |= dict(one=np.float32(2), none=np.zeros((0, 3)))
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / 'model.npz', **arrays)
        state = read_checkpoint(str(tmp_path / 'model.npz'))['state_dict']
        assert set(state) == set(arrays)
        for name, array in arrays.items():
            assert np.array_equal(state[name].numpy(), array)


@pytest.mark.parametrize('meta', ['[]', '"x"', '7', '{', '[' * 100_000, '{"a":' * 100_000 + '1' + '}' * 100_000])
def test_odd_metadata_of_safetensors_is_named(meta, tmp_path):
    save_file(PLAIN['state_dict'], tmp_path / 'model.safetensors', metadata=dict(mmtsf=meta))
    with pytest.raises(ValueError, match='model.safetensors is refused: its JSON is broken, no dict, nested too deep'):
        read_checkpoint(str(tmp_path / 'model.safetensors'))


@pytest.mark.parametrize('length', [10**6, 2**62])
@pytest.mark.parametrize('name', ['model.safetensors', 'model.pth'])
def test_a_huge_header_is_refused(length, name, tmp_path):
    (tmp_path / name).write_bytes(struct.pack('<Q', length) + b'{"weight":{"dtype":"F32"}}' + bytes(100))
    with pytest.raises(ValueError, match=f'{name} is not a'):
        read_checkpoint(str(tmp_path / name))


@pytest.mark.parametrize(
    'config',
    [
        b'{',
        b'',
        b'[]',
        b'"/etc/passwd"',
        b'\xff\xfe{}',
        b'[' * 10**6,
        b'{"a": "' + b'x' * 17_000_000 + b'"}',
        b'1' * 10**5,
    ],
    ids=['broken', 'empty', 'list', 'text', 'no UTF-8', 'deep', 'huge', 'number'],
)
def test_an_odd_config_of_hugging_face_is_named(config, tmp_path):
    save_file(PLAIN['state_dict'], tmp_path / 'model.safetensors')
    (tmp_path / 'config.json').write_bytes(config)
    with pytest.raises(ValueError, match=f'{tmp_path}/config.json is refused: its JSON is broken, no dict, nested too'):
        read_checkpoint(str(tmp_path))


def assert_same(actual: object, expected: object) -> None:
    """Equal in value, type, and for tensors size, stride and kind."""
    assert type(actual) is type(expected)
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        for key in expected:
            assert_same(actual[key], expected[key])
    elif isinstance(expected, (list, tuple)):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected):
            assert_same(one, other)
    elif isinstance(expected, Tensor):
        assert (actual.dtype, actual.stride()) == (expected.dtype, expected.stride())
        assert torch.equal(actual, expected)
    else:
        assert actual == expected


@formats
def test_a_training_comes_back_as_pytorch_reads_it(zipped, tmp_path):
    model = nn.Linear(5, 3)
    optimizer = torch.optim.AdamW(model.parameters(), amsgrad=True)
    model(torch.randn(2, 5)).sum().backward()
    optimizer.step()
    table = torch.randn(4, 6)
    kinds = (torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int8, torch.bool, torch.complex64)
    content = dict(
        state_dict=model.state_dict(),
        optimizer=optimizer.state_dict(),
        views=[table, table.T, table[1:, 2:], table[:0], torch.tensor(1.5), torch.arange(3).expand(1, -1)],
        kinds={str(kind): torch.ones(3).to(kind) for kind in kinds},
        milestones=Counter([8, 8, 11]),
        plain=(1, -(2**70), 2.5, float('inf'), True, None, 'ünï', '', [], {}, ()),
    )
    path = save(content, tmp_path / 'model.pth', zipped)
    assert_same(read_checkpoint(str(path)), torch.load(path, weights_only=True))
    views = read_checkpoint(str(path))['views']
    assert views[0].untyped_storage().data_ptr() == views[1].untyped_storage().data_ptr()


def test_a_deflated_file_comes_back_as_it_was(tmp_path):
    path = save(dict(PLAIN, more=torch.randn(1000)), tmp_path / 'model.pth')
    with zipfile.ZipFile(path) as file:
        parts = {part.filename: file.read(part) for part in file.infolist()}
    expected = torch.load(path, weights_only=True)
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as file:
        for name, content in parts.items():
            file.writestr(name, content)
    assert_same(read_checkpoint(str(path)), expected)


def test_parameters_come_back_as_tensors(tmp_path):
    weight = nn.Parameter(torch.randn(3))
    weight.note = 'mine'
    read = read_checkpoint(str(save(dict(weight=weight, bias=nn.Parameter(torch.ones(2))), tmp_path / 'model.pth')))
    assert torch.equal(read['weight'], weight)
    assert not read['weight'].requires_grad
    assert type(read['bias']) is Tensor


def test_long_headers_of_safetensors_are_refused_before_they_are_read(tmp_path):
    empty = dict(dtype='F32', shape=[0], data_offsets=[0, 0])
    for header in (
        {f'{i:x}': empty for i in range(200_000)},
        dict(__metadata__={f'{i:x}': '' for i in range(900_000)}),
    ):
        text = json.dumps(header).encode()
        for name in ('model.safetensors', 'model.bin'):
            (tmp_path / name).write_bytes(struct.pack('<Q', len(text)) + text + b' ')
            error, megabytes = growth(lambda: read_checkpoint(str(tmp_path / name)))  # noqa: B023
            assert 'is refused: its header has ' in error
            assert megabytes < 30


def test_a_file_of_more_weights_than_any_model_is_refused(tmp_path):
    save_file({f'{i:x}': torch.empty(0) for i in range(50_001)}, tmp_path / 'model.safetensors')
    with zipfile.ZipFile(tmp_path / 'model.npz', 'w') as file:
        for i in range(50_001):
            file.writestr(f'{i:x}', b'')
    for name in ('model.safetensors', 'model.npz'):
        with pytest.raises(ValueError, match='is refused: it has 50,001 weights, more than the 50,000 of any model'):
            read_checkpoint(str(tmp_path / name))


@pytest.mark.parametrize('name', ['model.pth', 'model.npz'])
def test_a_long_list_of_parts_is_refused_before_it_is_read(name, tmp_path):
    with zipfile.ZipFile(tmp_path / name, 'w') as file:
        file.writestr('a/data.pkl', b'')
        part = file.filelist[0]
        for i in range(150_000):
            part = copy(part)
            part.filename = f'{i:032x}'
            file.filelist.append(part)
    error, megabytes = growth(lambda: read_checkpoint(str(tmp_path / name)))
    assert 'the list of its parts is larger than 8,388,608 bytes' in error
    assert megabytes < 30


def test_a_file_that_cannot_be_read_is_named():
    with pytest.raises(OSError, match='the checkpoint /proc/self/mem cannot be read: .*; it, or the disk'):
        read_checkpoint('/proc/self/mem')


def sharded(folder: Path, index: str, write: Callable[[dict, Path], object]) -> dict[str, Tensor]:
    """A model of Hugging Face in three files, and its weights."""
    state = {f'layer{i}': torch.full((2,), float(i)) for i in range(5)}
    suffix = Path(index.removesuffix('.index.json')).suffix
    names = {key: f'model-{i % 3}{suffix}' for i, key in enumerate(state)}
    for name in set(names.values()):
        write({key: value for key, value in state.items() if names[key] == name}, folder / name)
    (folder / 'config.json').write_text('{"hidden_size": 64}')
    (folder / index).write_text(json.dumps(dict(metadata=dict(total_size=40), weight_map=names)))
    return state


shards = pytest.mark.parametrize(
    ('index', 'write'),
    [('model.safetensors.index.json', save_file), ('pytorch_model.bin.index.json', torch.save)],
    ids=['safetensors', 'pickle'],
)


@shards
def test_a_model_in_several_files_is_read(index, write, tmp_path):
    state = sharded(tmp_path, index, write)
    read = read_checkpoint(str(tmp_path))
    assert_same(dict(sorted(read['state_dict'].items())), state)
    assert read['huggingface'] == dict(hidden_size=64)


def test_adapters_of_peft_are_named_and_not_left_out_of_the_model_beside_them(tmp_path):
    state = {'base_model.model.vit.layers.0.attention.q_proj.lora_A.weight': torch.ones(2, 4)}
    save_file(state, tmp_path / 'adapter_model.safetensors')
    with pytest.raises(ValueError, match='these are adapters that peft has saved, .* merge them'):
        translate(read_checkpoint(str(tmp_path / 'adapter_model.safetensors')))
    (tmp_path / 'adapter_config.json').write_text('{"base_model_name_or_path": "/etc/passwd"}')
    save_file(dict(weight=torch.ones(1)), tmp_path / 'model.safetensors')
    (tmp_path / 'config.json').write_text('{"model_type": "vit"}')
    for source in (tmp_path, tmp_path / 'model.safetensors'):
        with pytest.raises(ValueError, match='holds adapters that peft has saved, .* merge them'):
            read_checkpoint(str(source))


def test_files_that_lie_as_in_the_cache_of_hugging_face_are_read(tmp_path):
    snapshot, blobs = tmp_path / 'snapshots/0123', tmp_path / 'blobs'
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    state = sharded(snapshot, 'model.safetensors.index.json', save_file)
    for file in list(snapshot.iterdir()):
        file.rename(blobs / f'digest-{file.name}')
        file.symlink_to(f'../../blobs/digest-{file.name}')
    assert read_checkpoint(str(snapshot))['state_dict'].keys() == state.keys()


@shards
@pytest.mark.parametrize(
    'name',
    ['../away', '/etc/passwd', 'link', 'in/side', '..', '', '.', 'none', 'http://host/a', 'a\\b', 'pipe', 5, None],
)
def test_an_index_names_files_beside_it_alone(name, index, write, tmp_path):
    folder = tmp_path / 'model'
    (folder / 'in').mkdir(parents=True)
    sharded(folder, index, write)
    for place in (tmp_path / 'away', folder / 'in/side'):
        write(dict(layer0=torch.zeros(2)), place)
    (folder / 'link').symlink_to('../away')
    os.mkfifo(folder / 'pipe')
    told = json.loads((folder / index).read_text())
    told['weight_map']['layer0'] = name
    (folder / index).write_text(json.dumps(told))
    with pytest.raises(ValueError, match=f'{index} is refused: it names .*, expected a file beside it'):
        read_checkpoint(str(folder))


@shards
@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (
            lambda told: told['weight_map'].update(other='model-0.bin'),
            'it names|do not belong together: .* lacks other',
        ),
        (lambda told: told['weight_map'].pop('layer3'), 'do not belong together: one of them lacks layer3'),
        (lambda told: told['weight_map'].clear(), 'is refused: it has no weight_map'),
        (lambda told: told.update(weight_map=['a']), 'is refused: it has no weight_map'),
        (lambda told: told.update(weight_map={str(i): 'a' for i in range(50_001)}), 'or one of more than 50,000'),
        (
            lambda told: told.update(more='x' * 5_000_000),
            'is refused: its JSON is broken, no dict, nested too deep, or',
        ),
    ],
)
def test_an_index_that_says_otherwise_is_refused(change, words, index, write, tmp_path):
    sharded(tmp_path, index, write)
    told = json.loads((tmp_path / index).read_text())
    change(told)
    (tmp_path / index).write_text(json.dumps(told))
    with pytest.raises(ValueError, match=words):
        read_checkpoint(str(tmp_path))
