"""What data.root holds tells whether lists or class folders are meant, in whatever reads a config."""

import json
from pathlib import Path

import pytest
from mmengine.config import Config
from runs import ROOT, run_tool

from mmtsf.config import load_config, read_config, resolve, settle
from mmtsf.config.data_source import check_source, taken_lists
from mmtsf.config.origins import origins
from mmtsf.datasets import VideoFolderDataset

CONFIGS = sorted((ROOT / 'configs').glob('*.py'))
K400 = ROOT / 'configs/timesformer_base_k400.py'
SPLITS = ('train', 'val', 'test')


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder of three classes with four videos each."""
    for name in ('jump', 'run', 'sit'):
        (tmp_path / 'videos' / name).mkdir(parents=True)
        for number in range(4):
            (tmp_path / 'videos' / name / f'{number}.mp4').touch()
    return tmp_path / 'videos'


def types_of(config: Config) -> set[str]:
    return {config[f'{split}_dataloader'].dataset.type for split in SPLITS}


@pytest.mark.parametrize('config', [path for path in CONFIGS if '_base_' in path.name or '_tiny_' in path.name])
def test_a_config_of_every_data_set_takes_a_folder_of_classes(config, folder):
    found = load_config(config, {'data.root': str(folder)})
    assert types_of(found) == {'VideoFolderDataset'}
    assert found.model.cls_head.num_classes == 3
    for split in SPLITS:
        arguments = dict(found[f'{split}_dataloader'].dataset, pipeline=[])
        assert arguments.pop('type') == VideoFolderDataset.__name__
        dataset = VideoFolderDataset(**arguments)
        assert dataset.metainfo['classes'] == ['jump', 'run', 'sit']


@pytest.mark.parametrize('name', ['train_list.txt', 'val_list.txt'])
def test_a_list_is_taken_where_there_are_no_class_folders(name, tmp_path):
    (tmp_path / name).write_text('videos.mp4 0\n')
    found = load_config(K400, {'data.root': str(tmp_path)})
    assert types_of(found) == {'VideoListDataset'}
    assert found.model.cls_head.num_classes == 400


def test_a_config_without_its_data_is_one_of_lists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = load_config(K400)
    assert (types_of(found), found.model.cls_head.num_classes) == ({'VideoListDataset'}, 400)


def test_the_source_that_is_named_wins(folder):
    (folder / 'train_list.txt').write_text('run/0.mp4 0\n')
    for source, kind in (('list', 'VideoListDataset'), ('folder', 'VideoFolderDataset')):
        options = {'data.root': str(folder), 'data.source': source}
        assert types_of(load_config(K400, options)) == {kind}
        check_source(read_config(K400, options))


@pytest.mark.parametrize(
    'option',
    [('train_list', 'mine.txt'), ('video_dir', 'run'), ('classes', 'classes.txt'), ('multi_class', True)],
    ids=lambda option: option[0],
)
def test_words_for_lists_alone_ask_for_lists(option, folder):
    found = load_config(K400, {'data.root': str(folder), f'data.{option[0]}': option[1]})
    assert types_of(found) == {'VideoListDataset'}


def test_words_for_class_folders_alone_ask_for_them(folder):
    (folder / 'train_list.txt').write_text('run/0.mp4 0\n')
    found = load_config(K400, {'data.root': str(folder), 'data.split_seed': 3})
    assert types_of(found) == {'VideoFolderDataset'}


def test_another_number_of_classes_than_the_folder_has_is_refused(folder):
    assert load_config(K400, {'data.root': str(folder), 'data.num_classes': 3}).model.cls_head.num_classes == 3
    with pytest.raises(ValueError, match=f'data.num_classes is 400, but {folder} holds 3 classes'):
        load_config(K400, {'data.root': str(folder), 'data.num_classes': 400})


def test_a_folder_that_is_the_data_sets_own_keeps_its_number(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'data').mkdir()
    folder.rename(tmp_path / 'data/kinetics400')  # a part of it, say
    found = load_config(K400)
    assert (types_of(found), found.model.cls_head.num_classes) == ({'VideoFolderDataset'}, 400)


def test_a_number_of_ones_own_stays(folder, tmp_path):
    (tmp_path / 'mine.py').write_text(f"_base_ = '{K400}'\ndata = dict(root='{folder}', num_classes=7)\n")
    assert load_config(tmp_path / 'mine.py').model.cls_head.num_classes == 7  # which the data set refuses
    (tmp_path / 'mine.py').write_text(f"_base_ = '{K400}'\ndata = dict(root='{folder}')\n")
    assert load_config(tmp_path / 'mine.py').model.cls_head.num_classes == 3


@pytest.mark.parametrize('split', ['', 'train/', 'val/'])
def test_lists_win_over_class_folders_beside_them_and_the_log_says_so(split, folder):
    if split:
        (folder / split).mkdir()
        for name in ('jump', 'run', 'sit'):
            (folder / name).rename(folder / split / name)
    name = 'val_list.txt' if split == 'val/' else 'train_list.txt'  # the validation set of Kinetics alone
    (folder / name).write_text(f'{split}run/0.mp4 0\n')
    config = settle(read_config(K400, {'data.root': str(folder)}))
    assert types_of(resolve(config)) == {'VideoListDataset'}
    assert f'{folder} holds class folders beside {name}: the videos and labels are those' in taken_lists(config)
    run_tool('tools/train.py', K400, '--check', '--cfg-options', f'data.root={folder}')


def test_class_folders_are_taken_where_a_list_of_others_than_training_is(folder):
    put_list(folder)
    config = settle(read_config(K400, {'data.root': str(folder)}))
    assert types_of(resolve(config)) == {'VideoFolderDataset'}
    assert taken_lists(config) is None


def test_the_list_to_test_on_is_that_to_validate_with_unless_it_is_given(folder):
    options = {'data.root': str(folder), 'data.val_list': 'mine.txt'}  # what is printed after a training works so
    assert load_config(K400, options).test_dataloader.dataset.ann_file == 'mine.txt'
    assert load_config(K400, options | {'data.test_list': 'b.txt'}).test_dataloader.dataset.ann_file == 'b.txt'


def put_list(folder: Path) -> None:
    (folder / 'val_list.txt').write_text('run/0.mp4 0\n')


@pytest.mark.parametrize(
    'lines',
    [
        "data = dict(root='{folder}', num_classes=400)",
        "data = {{'num_classes': 400, 'root': '{folder}'}}",
        "data = dict(root='{folder}')\ndata['num_classes'] = 400",
        "data = dict(root='{folder}')\ndata.update(num_classes=400)",
    ],
)
def test_a_number_that_a_file_of_ones_own_writes_stays_though_it_is_the_usual_one(lines, folder, tmp_path):
    (tmp_path / 'mine.py').write_text(f"_base_ = '{K400}'\n{lines.format(folder=folder)}\n")
    (tmp_path / 'child.py').write_text("_base_ = 'mine.py'\n")
    (tmp_path / 'mine.json').write_text(
        json.dumps(dict(_base_=str(K400), data=dict(root=str(folder), num_classes=400)))
    )
    for name in ('mine.py', 'child.py', 'mine.json'):
        found = load_config(tmp_path / name)
        assert (types_of(found), found.model.cls_head.num_classes) == ({'VideoFolderDataset'}, 400)


def remove_videos(folder: Path) -> None:
    for video in folder.glob('*/*.mp4'):
        video.unlink()


def move_down(folder: Path) -> None:
    for video in folder.glob('*/*.mp4'):
        (video.parent / 'deeper').mkdir(exist_ok=True)
        video.rename(video.parent / 'deeper' / video.name)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (remove_videos, r'holds no lists \(train_list.txt, val_list.txt\), and no class folders either: .*CLASS/VIDEO'),
        (move_down, 'holds no lists .*, and no class folders either: .* lies deeper than'),
        (lambda folder: folder.rename(folder.with_name('gone')), 'which is no folder; give one that holds lists'),
    ],
    ids=['neither', 'deeper', 'none'],
)
@pytest.mark.parametrize('tool', ['tools/train.py', 'tools/test.py', 'tools/misc/print_config.py'])
def test_what_cannot_be_told_is_one_error_before_a_run(tool, change, words, folder):
    change(folder)
    config = read_config(K400, {'data.root': str(folder)})
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        settle(config)
    arguments = [K400, *(['none.pth'] if 'test.py' in tool else [])]
    log = run_tool(tool, *arguments, '--cfg-options', f'data.root={folder}', fails=True)
    assert log.count('error: ') == 1
    assert 'Traceback' not in log


@pytest.mark.parametrize('folders', [['videos'], ['train', 'val']])
def test_folders_that_hold_the_videos_of_lists_are_no_classes(folders, tmp_path):
    for name in folders:
        (tmp_path / name).mkdir()
        (tmp_path / name / 'a.mp4').touch()
    (tmp_path / 'train_list.txt').write_text('videos/a.mp4 0\n')
    config = settle(read_config(K400, {'data.root': str(tmp_path)}))
    assert types_of(resolve(config)) == {'VideoListDataset'}


def test_a_data_set_of_another_type_needs_no_source(folder, tmp_path):
    for video in folder.glob('*/*.mp4'):
        video.unlink()
    loader = "dict(dataset=dict(_delete_=True, type='VideoDataset', ann_file='mine.txt', pipeline='${train_pipeline}'))"
    lines = [
        f"_base_ = '{K400}'",
        f"data = dict(root='{folder}')",
        *(f'{split}_dataloader = {loader}' for split in SPLITS),
    ]
    (tmp_path / 'mine.py').write_text('\n'.join(lines))
    config = read_config(tmp_path / 'mine.py')
    check_source(config)
    assert types_of(resolve(config)) == {'VideoDataset'}
    (tmp_path / 'mine.py').write_text('\n'.join(lines[:-1]))
    with pytest.raises(FileNotFoundError, match='no class folders either'):  # for the tests alone
        check_source(read_config(tmp_path / 'mine.py'))


@pytest.mark.parametrize('word', ['${data.none}', '${data.sampling}'])
def test_a_config_that_cannot_be_resolved_says_so_itself(word, folder):
    put_list(folder)
    config = read_config(K400, {'data.root': str(folder), 'data.sampling': word})
    with pytest.raises((KeyError, ValueError), match='data.none|refer to each other in a circle'):
        resolve(settle(config))


def test_what_was_found_stays_where_the_folder_is_gone(folder, tmp_path):
    config = settle(read_config(K400, {'data.root': str(folder)}))
    config.dump(tmp_path / 'left.py')
    folder.rename(tmp_path / 'gone')
    left = resolve(Config.fromfile(tmp_path / 'left.py'))
    assert (types_of(left), left.model.cls_head.num_classes) == ({'VideoFolderDataset'}, 3)
    assert settle(config) is config


def test_the_printed_config_tells_where_the_number_was_found(folder):
    config = read_config(K400, {'data.root': str(folder)})
    found = {name: (value, by) for name, value, _, by in origins(config, ['data.root'])}
    assert found['model.cls_head.num_classes'] == (3, f'found in {folder}')
    assert found['train_dataloader.dataset.type'][0] == 'VideoFolderDataset'


def test_a_folder_of_many_folders_of_frames_is_told_at_a_glance(tmp_path, monkeypatch):
    import mmtsf.utils.class_folders as module

    for number in range(module.GLANCE[0] + 50):
        (tmp_path / f'{number}').mkdir()
        (tmp_path / f'{number}/img_1.jpg').touch()
    asked = []
    real = module._entries
    monkeypatch.setattr(module, '_entries', lambda folder: (asked.append(folder), real(folder))[1])
    assert not module.has_classes(tmp_path)
    assert len(asked) <= module.GLANCE[0] + 1
