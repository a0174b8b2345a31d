"""Data sets and commands take addresses wherever they take paths, and say in one line what is wrong with one."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from runs import TINY, options, run_tool
from videos import clip_pipeline, write_greys

from mmtsf.commands import main
from mmtsf.datasets import VideoFolderDataset, VideoListDataset, video_list
from mmtsf.datasets.loading import SeededIndex
from mmtsf.preparation.video_paths import list_source, videos_of
from mmtsf.utils.class_folders import find_classes
from mmtsf.utils.data_root import check_root
from mmtsf.utils.locations import location

CLASSES = 'no run', 'walk'


@pytest.fixture
def folder(tmp_path) -> Path:
    """Class folders of two classes with six videos each, and lists of them."""
    for name in CLASSES:
        (tmp_path / 'data' / name).mkdir(parents=True)
        for number in range(6):
            write_greys(tmp_path / f'data/{name}/{number} a.mp4', 4 + number, 32, 32)
    rows = [f'{name}/{number} a.mp4,{label}\n' for label, name in enumerate(CLASSES) for number in range(6)]
    for split in ('train', 'val'):
        (tmp_path / f'data/{split}_list.csv').write_text(''.join(rows))
    (tmp_path / 'data/classes.txt').write_text('\n'.join(CLASSES))
    return tmp_path / 'data'


@pytest.mark.parametrize('store', ['s3', 'web'])
def test_the_samples_of_the_local_folder(store, folder, request) -> None:
    address = request.getfixturevalue(store).put_folder(folder, 'data set')
    make_list = dict(ann_file='train_list.csv', classes='classes.txt', pipeline=clip_pipeline())
    make_folder = dict(split='train', num_classes=2, pipeline=clip_pipeline())
    for kind, arguments in ((VideoListDataset, make_list), (VideoFolderDataset, make_folder)):
        local, remote = (kind(**arguments, data_root=str(root)) for root in (folder, address))
        assert (remote.digest, len(remote), remote.metainfo) == (local.digest, len(local), local.metainfo)
        got, expected = (dataset[SeededIndex(1, (0, 0, 1))] for dataset in (remote, local))
        assert torch.equal(got['inputs'], expected['inputs'])
        assert got['data_samples'].filename.startswith(str(address))
        assert got['data_samples'].broken == []
    listed, found = (list_source(location(root))[1] for root in (address, folder))
    assert [row.path for row in listed.rows] == [row.path for row in found.rows]
    assert len(videos_of(address)) == len(videos_of(f'{address}/*/*.mp4')) == 12
    assert find_classes(address) == list(CLASSES)
    check_root(address, ['train_list.csv'])


def test_a_server_that_is_gone_is_waited_for(web, folder, monkeypatch) -> None:
    monkeypatch.setattr('mmtsf.utils.remote_calls.ATTEMPTS', 1)
    monkeypatch.setattr('mmtsf.utils.remote_calls.FIRST_WAIT', 0.01)
    address = web.put_folder(folder)
    make = dict(ann_file='train_list.csv', num_classes=2, pipeline=clip_pipeline())
    dataset = VideoListDataset(**make, data_root=address)
    expected = VideoListDataset(**make, data_root=str(folder))[SeededIndex(3, (0, 0, 3))]
    web.server.always = 503

    def comes_back(seconds: float) -> None:
        web.server.always = None

    waiting = SimpleNamespace(monotonic=time.monotonic, sleep=comes_back)
    with monkeypatch.context() as patch:
        patch.setattr('mmtsf.datasets.video_list.time', waiting)
        got = dataset[SeededIndex(3, (0, 0, 3))]
    assert got['data_samples'].broken == []
    assert torch.equal(got['inputs'], expected['inputs'])
    monkeypatch.setattr(video_list, 'PATIENCE', 0.2)
    web.server.always = 503
    with pytest.raises(RuntimeError, match='127.0.0.1.* is gone and did not come back within 0.2 s'):
        dataset[SeededIndex(0, (0, 0, 0))]


@pytest.mark.parametrize(
    ('address', 'fault', 'words'),
    [
        ('{s3}/none', None, 'does not exist'),
        ('s3://no-such-bucket/list.txt', None, 'does not exist'),
        ('{s3}/list.csv', 403, 'no rights to it; set AWS_ACCESS_KEY_ID'),
        ('{s3}/list.csv', 503, 'cannot be reached; check the network'),
        ('{web}/none.csv', None, 'does not exist'),
        ('{web}/list.csv', 401, 'no credentials'),
        ('http://127.0.0.1:9/list.csv', None, 'cannot be reached'),
        *((f'{scheme}://', None, f'{scheme}:// names no') for scheme in ('s3', 'gs', 'hf', 'http')),
        ('s3:///list.csv', None, 'names no bucket; expected s3://BUCKET/NAME'),
        ('s4://bucket/list.csv', None, 's4:// is no protocol that is known'),
        ('sftp://host/list.csv', None, 'needs a package'),
        ('s3://bucket/a::file:///etc/passwd', None, "holds '::'"),
    ],
)
def test_a_wrong_address_is_one_line_at_once(address, fault, words, s3, web, capfd) -> None:
    source = address.format(s3=s3.url, web=web.url)
    for store in (s3, web):
        store.put('list.csv', 'a.mp4,0\n')
        store.server.always = fault
    for words_of in (
        ['check', source],
        ['train', 'mmtsf::timesformer_base_k400.py', f'--cfg-options=data.root={source}'],
    ):
        s3.server.asked.clear()
        web.server.asked.clear()
        with pytest.raises(SystemExit) as exit_:
            main(words_of)
        told = capfd.readouterr().err.strip()
        assert exit_.value.code == 2
        assert words in told or (words_of[0] == 'train' and 'is no folder' in told)
        assert len(told.splitlines()) == 1
        assert len(s3.server.asked + web.server.asked) < 20
        if 's4' in source or '::' in source or fault is None:
            break


def test_no_credentials_is_one_line(s3, monkeypatch, capfd) -> None:
    import fsspec

    for name in ('AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'):
        monkeypatch.delenv(name)
    monkeypatch.setenv('AWS_EC2_METADATA_DISABLED', 'true')
    fsspec.get_filesystem_class('s3').clear_instance_cache()
    with pytest.raises(SystemExit):
        main(['check', f'{s3.url}/list.csv'])
    fsspec.get_filesystem_class('s3').clear_instance_cache()
    assert 'no credentials for it were found, or they are not valid; set AWS_ACCESS_KEY_ID' in capfd.readouterr().err


@pytest.mark.long
def test_the_commands_take_addresses(s3, web, folder, tiny_checkpoint, tmp_path) -> None:
    address = s3.put_folder(folder, 'data')
    run_tool('tools/data/check_videos.py', f'{address}/train_list.csv', '--out', tmp_path / 'checked')
    assert len((tmp_path / 'checked/good.csv').read_text().splitlines()) == 12
    video = folder / 'walk/5 a.mp4'
    shown = [
        run_tool('tools/predict.py', path, TINY, tiny_checkpoint, '--device', 'cpu').rpartition('.mp4: ')[2]
        for path in (video, web.put('walk/5 a.mp4', video))
    ]
    assert shown[0] == shown[1]


@pytest.mark.long
def test_training_from_object_storage_is_that_from_the_disk(s3, motion, tmp_path) -> None:
    address = s3.put_folder(motion, 'motion')
    weights = []
    for name, root in (('local', str(motion)), ('remote', address)):
        changes = [word.replace(str(motion), root) for word in options(motion, max_epochs=1)]
        run_tool('tools/train.py', TINY, '--work-dir', tmp_path / name, *changes)
        weights.append(torch.load(tmp_path / name / 'epoch_1.pth', weights_only=False)['state_dict'])
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
