"""Videos on disk and official annotations become lists that the configs can use, and a report that adds up."""

import json
import runpy
import sys
from pathlib import Path

import pytest
from runs import ROOT, run_tool
from videos import write_greys

from mmtsf.config import load_config
from mmtsf.datasets import VideoListDataset

TOOL = 'tools/data/prepare.py'
COUNTS = ('expected', 'found', 'missing', 'broken', 'duplicates', 'spare_files')
TRAIN = """label,youtube_id,time_start,time_end,split,is_cc
abseiling,---QUuC4vJs,84,94,train,0
abseiling,-3B32lodo2M,59,69,train,0
"massaging person's head",_0HRnFhCDdc,0,10,train,1
"massaging person's head",aaaaaaaaaaa,5,15,train,0
zumba,bbbbbbbbbbb,5,15,train,0
abseiling,---QUuC4vJs,84,94,train,0
zumba,ccccccccccc,5,15,train,0
"""
VAL = 'label,youtube_id,time_start,time_end,split\nzumba,0wR5jVB-WPk,417,427,val\n'
TEST = 'youtube_id,time_start,time_end,split\n--65_UAU7ao,0,10,test\n'


@pytest.fixture
def prepare(monkeypatch, capsys):
    """Runs the tool and returns its exit status and what it prints."""

    def prepare(*words: str | Path) -> tuple[int | str | None, str]:
        monkeypatch.setattr(sys, 'argv', [TOOL, *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / TOOL), run_name='__main__')
        return ended.value.code, capsys.readouterr().out

    return prepare


@pytest.fixture
def kinetics(tmp_path) -> list[str | Path]:
    """Arguments of the tool for a folder of videos: whole, renamed, missing, twice, broken and replaced."""
    videos = tmp_path / 'two words'
    good = Path(write_greys(tmp_path / 'good.mp4', 4, 16, 16)).read_bytes()
    for name, data in {
        'train/abseiling/---QUuC4vJs_000084_000094.mp4': good,
        "train/massaging person's head/_0HRnFhCDdc_0_10.mkv": good,
        'train/massaging_persons_head/_0HRnFhCDdc.mp4': good,
        'train/zumba/bbbbbbbbbbb_000005_000015.mp4': b'',
        'train/zumba/ccccccccccc_000005_000015.mp4': b'no video',
        'replacement/ccccccccccc_000005_000015.mp4': good,
        'val/zumba/0wR5jVB-WPk.webm': good,
        'test/--65_UAU7ao_000000_000010.mp4': good,
        'train/aaaaaaaaaaa_000006_000016.mp4': good,
    }.items():
        (videos / name).parent.mkdir(parents=True, exist_ok=True)
        (videos / name).write_bytes(data)
    files = []
    for name, text in (('train.csv', TRAIN), ('validate.csv', '\ufeff' + VAL), ('test.csv', TEST)):
        files.append(tmp_path / name)
        files[-1].write_text(text, encoding='utf-8')
    return ['kinetics400', '--videos', videos, '--annotations', *files, '--out', tmp_path / 'out']


def test_lists_of_kinetics(kinetics, prepare, tmp_path):
    status, log = prepare(*kinetics)
    out = tmp_path / 'out'
    assert status == 0
    assert 'train: of 6 clips 3 found, 2 missing, 1 broken, 1 duplicates' in log
    assert 'the annotations name 3 classes, and the paper 400' in log
    assert (out / 'train_list.txt').read_text().splitlines() == [
        'train/abseiling/---QUuC4vJs_000084_000094.mp4 0',
        "train/massaging person's head/_0HRnFhCDdc_0_10.mkv 1",
        'replacement/ccccccccccc_000005_000015.mp4 2',
    ]
    assert (out / 'val_list.txt').read_text() == 'val/zumba/0wR5jVB-WPk.webm 2\n'
    assert (out / 'test_list.txt').read_text() == 'test/--65_UAU7ao_000000_000010.mp4\n'
    assert (out / 'classes.txt').read_text() == "abseiling\nmassaging person's head\nzumba\n"
    assert (out / 'missing.txt').read_text().splitlines() == [
        '-3B32lodo2M_000059_000069\ttrain\tabseiling',
        "aaaaaaaaaaa_000005_000015\ttrain\tmassaging person's head",
    ]
    assert dict(line.split('\t') for line in (out / 'broken.txt').read_text().splitlines()) == {
        'train/zumba/bbbbbbbbbbb_000005_000015.mp4': 'the file is empty',
        'train/zumba/ccccccccccc_000005_000015.mp4': 'PyAV finds no video that it can decode',
    }


def test_the_report_adds_up(kinetics, prepare, tmp_path):
    prepare(*kinetics)
    report = json.loads((tmp_path / 'out/report.json').read_text())
    assert report['classes'] == dict(paper=400, expected=3)
    assert report['splits'] == {
        'train': dict(zip(('paper', *COUNTS), (240_000, 6, 3, 2, 1, 1, 2), strict=True)),
        'val': dict(zip(('paper', *COUNTS), (20_000, 1, 1, 0, 0, 0, 0), strict=True)),
        'test': dict(zip(('paper', *COUNTS), (None, 1, 1, 0, 0, 0, 0), strict=True)),
    }
    assert [tuple(row['train'].values()) for row in report['per_class']] == [
        (2, 1, 1, 0, 1, 0),
        (2, 1, 1, 0, 0, 1),
        (2, 1, 0, 1, 0, 1),
    ]
    assert 'Video files that belong to no clip: 1.' in report['notes']
    page = (tmp_path / 'out/report.md').read_text()
    assert '| train | 240K | 6 | 3 | 2 | 1 | 1 | 2 |' in page
    assert '| test |  | 1 | 1 | 0 | 0 | 0 | 0 |' in page
    assert "| 1 | massaging person's head | train | 2 | 1 | 1 | 0 | 0 | 1 |" in page


def test_the_options_that_it_prints_load_the_lists(kinetics, prepare, tmp_path):
    log = prepare(*kinetics, '--no-check')[1]
    assert "'data.video_dir=" in log, 'a path with spaces is quoted for the shell'
    videos = tmp_path / 'two words'
    changes = {
        'data.root': str(tmp_path / 'out'),
        'data.video_dir': str(videos),
        'data.classes': 'classes.txt',
        'data.num_classes': 3,
    }
    config = load_config(str(ROOT / 'configs/timesformer_base_k400.py'), changes)
    for loader, name in ((config.train_dataloader, 'abseiling'), (config.val_dataloader, 'zumba')):
        settings = {**loader.dataset, 'pipeline': []}
        settings.pop('type')
        dataset = VideoListDataset(**settings)
        assert dataset.metainfo['classes'] == ['abseiling', "massaging person's head", 'zumba']
        infos = [dataset.get_data_info(index) for index in range(len(dataset))]
        assert all(Path(info['filename']).is_relative_to(videos) and Path(info['filename']).exists() for info in infos)
        assert dataset.metainfo['classes'][infos[0]['label']] == name


def test_without_a_check_every_file_is_taken_for_whole(kinetics, prepare, tmp_path):
    log = prepare(*kinetics, '--no-check')[1]
    assert 'train: of 6 clips 4 found, 2 missing, 0 broken, 1 duplicates' in log
    assert (tmp_path / 'out/broken.txt').read_text() == ''
    assert not (tmp_path / 'out/checked.tsv').exists()
    assert 'The files were not decoded.' in (tmp_path / 'out/report.md').read_text()


def test_the_same_command_goes_on_where_it_was(kinetics, prepare, tmp_path):
    prepare(*kinetics)
    checked = tmp_path / 'out/checked.tsv'
    before = checked.read_text()
    checked.write_text(before[: before.index('\n') + 5])  # one result, and a part of the next one
    Path(write_greys(tmp_path / 'two words/bbbbbbbbbbb.mp4', 4, 16, 16))
    assert 'train: of 6 clips 4 found, 2 missing, 0 broken' in prepare(*kinetics)[1]
    again = [line.split('\t')[0] for line in checked.read_text().splitlines()]
    assert len(again) == len(before.splitlines()) + 1
    assert again.count(before.split('\t')[0]) == 1
    assert len(before.splitlines()) == 8


@pytest.fixture
def others(tmp_path) -> Path:
    """Folder of the official files of the other data sets, and a few videos of all of them."""
    (tmp_path / 'videos').mkdir()
    for name in ('78687.webm', '74225.mp4', '-mmq0PT-u8k_00155.mp4', '00001-00001.mkv', '00001-00002.webm'):
        (tmp_path / 'videos' / name).touch()
    contents = {
        'labels.json': {'Pushing something': '0', 'Moving part': '1'},
        'train.json': [{'id': '78687', 'template': 'Pushing [something]'}],
        'validation.json': [{'id': '74225', 'template': 'Moving [part]'}],
        'Diving48_vocab.json': [['Back', '15som', '05Twis', 'FREE']],
        'Diving48_V2_train.json': [{'vid_name': '-mmq0PT-u8k_00155', 'label': 0, 'start_frame': 0, 'end_frame': 48}],
        'Diving48_V2_test.json': [{'vid_name': '_8Vy3dlHg2w_00000', 'label': 0, 'start_frame': 0, 'end_frame': 48}],
        'task_ids.csv': '1\tFold Paper\n',
        'HowTo100M_v1.csv': 'video_id,category_1,category_2,rank,task_id\n'
        + ''.join(f'00001-{number:05},,,1,1\n' for number in range(120)),
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return tmp_path


def test_lists_of_the_other_data_sets(others, prepare):
    lists = {}
    for dataset, names in (
        ('ssv2', ['labels.json', 'train.json', 'validation.json']),
        ('diving48', ['Diving48_vocab.json', 'Diving48_V2_train.json', 'Diving48_V2_test.json']),
        ('howto100m', ['HowTo100M_v1.csv', 'task_ids.csv']),
    ):
        words = ['--videos', others / 'videos', '--annotations', *(others / name for name in names), '--no-check']
        assert prepare(dataset, *words, '--out', others / dataset)[0] == 0
        lists[dataset] = [(others / dataset / f'{split}_list.txt').read_text() for split in ('train', 'val')]
    assert lists['ssv2'] == ['78687.webm 0\n', '74225.mp4 1\n']
    assert lists['diving48'] == ['-mmq0PT-u8k_00155.mp4 0\n', '']
    assert sorted(''.join(lists['howto100m']).splitlines()) == ['00001-00001.mkv 0', '00001-00002.webm 0']
    assert len((others / 'howto100m/missing.txt').read_text().splitlines()) == 118
    page = (others / 'howto100m/report.md').read_text()
    assert '| val | 35K | 35 |' in page
    assert 'SHA-256' in page


def test_mistakes_end_with_one_sentence(kinetics, tmp_path):
    (tmp_path / 'train.csv').write_text('label,youtube_id,time_start,time_end,split\na,b,1,2,train\n')
    log = run_tool(TOOL, *kinetics, fails=True)
    assert log.startswith(f"error: {tmp_path / 'train.csv'}, line 2: the YouTube id is 'b', expected 11 letters")
    assert len(log.splitlines()) == 1
    assert not (tmp_path / 'out').exists()


def test_what_does_not_exist_is_named(kinetics, prepare, tmp_path):
    none = tmp_path / 'none'
    for place, error in ((2, 'is no folder; give the one'), (4, 'is no file; give the annotation files')):
        words = [none if number == place else word for number, word in enumerate(kinetics)]
        assert str(prepare(*words)[0]).startswith(f'error: {none} {error}')
