"""Videos on disk and official annotations become lists that the configs can use, and a report that adds up."""

import json
from pathlib import Path

import pytest
from runs import ROOT, run_tool
from samples import MASSAGE, SAMPLES, write_sample
from videos import write_greys

from mmtsf.commands import run
from mmtsf.config import load_config
from mmtsf.datasets import VideoListDataset
from mmtsf.preparation import FORMATS

TOOL = 'tools/data/prepare.py'


@pytest.fixture
def prepare(capsys):
    """Runs the command and returns its exit status and what it prints."""

    def prepare(*words: str | Path) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            run('prepare', list(map(str, words)))
        return ended.value.code or 0, ''.join(capsys.readouterr())

    return prepare


@pytest.fixture
def kinetics(tmp_path) -> list[str | Path]:
    """Arguments of the tool for the sample of Kinetics-400."""
    return write_sample(tmp_path, 'kinetics400')


def counts(row: str) -> dict[str, int]:
    """Counts of a split, in the order of the table in the report."""
    names = 'expected found missing broken duplicates other_split other_label spare_files'
    return dict(zip(names.split(), map(int, row.split()), strict=True))


#: Counts of training: both classes, the first, the second; the same of validation; those of testing if it is there
USUAL = dict(
    train=('7 4 1 2 3 1 1 2', '3 1 0 2 1 0 0 0', '4 3 1 0 2 1 1 2'),
    val=('1 1 0 0 0 0 0 0', '0 0 0 0 0 0 0 0', '1 1 0 0 0 0 0 0'),
)
WITH_TEST = USUAL | dict(test=('1 1 0 0 0 0 0 0', '0 0 0 0 0 0 0 0', '0 0 0 0 0 0 0 0'))
HOWTO100M = dict(
    train=('142 4 136 2 2 0 1 2', '71 1 68 2 1 0 0 0', '71 3 68 0 1 0 1 2'),
    val=('58 1 57 0 0 0 0 0', '29 0 29 0 0 0 0 0', '29 1 28 0 0 0 0 0'),
)
EXPECTED = dict(kinetics400=WITH_TEST, kinetics600=WITH_TEST, ssv2=WITH_TEST, diving48=USUAL, howto100m=HOWTO100M)
PAPER = dict(
    kinetics400=(400, 240_000, 20_000),
    kinetics600=(600, 392_000, 30_000),
    ssv2=(174, 170_000, 25_000),
    diving48=(48, 16_000, 3_000),
    howto100m=(1059, 85_000, 35_000),
)
CLASSES = dict.fromkeys(SAMPLES, ['abseiling', MASSAGE]) | dict(
    ssv2=['Pushing something onto something', 'Moving part'],
    diving48=['Back 15som 05Twis FREE', 'Inward 25som NoTwis TUCK'],
    howto100m=['Fold Paper', 'Make "Tea", Hot'],
)


LISTS = dict(
    kinetics400=[
        'train/abseiling/---QUuC4vJs_000084_000094.mp4 0',
        "train/massaging person's head/_0HRnFhCDdc_0_10.mkv 1",
        'Relax, at work [ddddddddddd].webm 1',
        'replacement/eeeeeeeeeee_000005_000015.mp4 1',
        'val/0wR5jVB-WPk.webm 1',
        'test/--65_UAU7ao_000000_000010.mp4',
    ],
    ssv2=['10.webm 0', '13.mp4 1', 'more/14.mkv 1', '15.webm 1', '20.webm 1', '30.webm'],
    diving48=[
        'rgb/-mmq0PT-u8k_00010.mp4 0',
        'a/-mmq0PT-u8k_00013.mp4 1',
        'c/-mmq0PT-u8k_00014.MOV 1',
        'b/-mmq0PT-u8k_00015.mp4 1',
        'rgb/-mmq0PT-u8k_00020.mp4 1',
    ],
    howto100m=[
        '11-000-abcd.mp4 0',
        'a/22-000-abcd.mp4 1',
        'Make Tea-22-002-abcd.mkv 1',
        '22-003-abcd.mp4 1',
        'Make Tea! [22-001-abcd].webm 1',
    ],
)
LISTS['kinetics600'] = LISTS['kinetics400']
#: A clip without a file, files that are empty, garbage and, beside a good one, garbage, and one of no clip
OTHERS = dict(
    kinetics400=(
        '-3B32lodo2M_000059_000069',
        'train/abseiling/bbbbbbbbbbb_000005_000015.mp4',
        'train/abseiling/ccccccccccc_000005_000015.mp4',
        'train/eeeeeeeeeee_000005_000015.mp4',
        'train/-3B32lodo2M_000060_000070.mp4',
    ),
    ssv2=('16', '11.webm', '12.webm', '15.mp4', '116.webm'),
    diving48=(
        '-mmq0PT-u8k_00016',
        'rgb/-mmq0PT-u8k_00011.mp4',
        'rgb/-mmq0PT-u8k_00012.mp4',
        'a/-mmq0PT-u8k_00015.avi',
        'rgb/-mmq0PT-u8k_00017.mp4',
    ),
    howto100m=('22-004-abcd', '11-001-abcd.mp4', '11-002-abcd.mp4', '22-003-abcd.mkv', '33-000-abcd.mp4'),
)
OTHERS['kinetics600'] = OTHERS['kinetics400']


@pytest.mark.parametrize('dataset', FORMATS)
def test_every_clip_and_every_video_is_counted_and_listed_once(dataset, prepare, tmp_path):
    status, log = prepare(*write_sample(tmp_path, dataset))
    assert status == 0
    check_report(dataset, tmp_path / 'out', log)
    check_lists(dataset, tmp_path / 'out')


def check_report(dataset: str, out: Path, log: str) -> None:
    classes, train, val = PAPER[dataset]
    splits = EXPECTED[dataset]
    assert json.loads((out / 'report.json').read_text()) == {
        'dataset': dataset,
        'classes': {'paper': classes, 'expected': 2},
        'unmatched_files': 1,
        'splits': {
            split: {'paper': dict(train=train, val=val).get(split), **counts(rows[0])} for split, rows in splits.items()
        },
        'per_class': [
            {'label': label, 'name': name} | {split: counts(rows[1 + label]) for split, rows in splits.items()}
            for label, name in enumerate(CLASSES[dataset])
        ],
        'notes': [*filter(None, [FORMATS[dataset].note]), 'Of every file 8 frames were decoded.'],
    }
    page = (out / 'report.md').read_text()
    assert f'| train | {train // 1000}K | {splits["train"][0].replace(" ", " | ")} |' in page
    assert f'| 1 | {CLASSES[dataset][1]} | train | {splits["train"][2].replace(" ", " | ")} |' in page
    assert 'Video files that belong to no clip: 1.' in page
    words = splits['train'][0].split()
    assert f'train: of {words[0]} clips {words[1]} found, {words[2]} missing, 2 broken, {words[4]} duplicates' in log
    assert 'video files that belong to no clip: 1 (unmatched.txt)' in log
    assert f'the annotations name 2 classes, and the paper {classes}' in log


def check_lists(dataset: str, out: Path) -> None:
    assert [line for split in EXPECTED[dataset] for line in lines_of(out / f'{split}_list.txt')] == LISTS[dataset]
    assert lines_of(out / 'classes.txt') == CLASSES[dataset]
    absent, empty, garbage, replaced, stranger = OTHERS[dataset]
    missing = lines_of(out / 'missing.txt')
    assert f'{absent}\ttrain\t{CLASSES[dataset][1]}' in missing
    assert len(missing) == sum(counts(rows[0])['missing'] for rows in EXPECTED[dataset].values())
    undecoded = 'PyAV finds no video that it can decode'
    reasons = {empty: 'the file is empty', garbage: undecoded, replaced: undecoded}
    assert dict(line.split('\t') for line in lines_of(out / 'broken.txt')) == reasons
    assert lines_of(out / 'unmatched.txt') == [stranger]


def lines_of(file: Path) -> list[str]:
    return file.read_text().splitlines()


def test_the_options_that_it_prints_load_the_lists(kinetics, prepare, tmp_path):
    log = prepare(*kinetics, '--no-check')[1]
    assert "'data.video_dir=" in log, 'a path with spaces is quoted for the shell'
    videos = tmp_path / 'two words'
    changes = {
        'data.root': str(tmp_path / 'out'),
        'data.video_dir': str(videos),
        'data.classes': 'classes.txt',
        'data.num_classes': 2,
    }
    config = load_config(str(ROOT / 'configs/timesformer_base_k400.py'), changes)
    for loader, name in ((config.train_dataloader, 'abseiling'), (config.val_dataloader, MASSAGE)):
        settings = {**loader.dataset, 'pipeline': []}
        settings.pop('type')
        dataset = VideoListDataset(**settings)
        assert dataset.metainfo['classes'] == ['abseiling', MASSAGE]
        infos = [dataset.get_data_info(index) for index in range(len(dataset))]
        assert all(Path(info['filename']).is_relative_to(videos) and Path(info['filename']).exists() for info in infos)
        assert dataset.metainfo['classes'][infos[0]['label']] == name


def test_without_a_check_every_file_is_taken_for_whole(kinetics, prepare, tmp_path):
    log = prepare(*kinetics, '--no-check')[1]
    assert 'train: of 7 clips 6 found, 1 missing, 0 broken, 3 duplicates' in log
    assert (tmp_path / 'out/broken.txt').read_text() == ''
    assert not (tmp_path / 'out/checked.tsv').exists()
    assert 'The files were not decoded.' in (tmp_path / 'out/report.md').read_text()


def test_the_same_command_goes_on_where_it_was(kinetics, prepare, tmp_path):
    prepare(*kinetics)
    checked = tmp_path / 'out/checked.tsv'
    before = checked.read_text()
    checked.write_text(before[: before.index('\n') + 5])  # one result, and a part of the next one
    Path(write_greys(tmp_path / 'two words/bbbbbbbbbbb.mp4', 4, 16, 16))
    assert 'train: of 7 clips 5 found, 1 missing, 1 broken' in prepare(*kinetics)[1]
    again = [line.split('\t')[0] for line in checked.read_text().splitlines()]
    assert len(again) == len(before.splitlines()) + 1
    assert again.count(before.split('\t')[0]) == 1
    assert len(before.splitlines()) == 10


def test_mistakes_end_with_one_sentence(kinetics, tmp_path):
    (tmp_path / 'train.csv').write_text('label,youtube_id,time_start,time_end,split\na,b,1,2,train\n')
    log = run_tool(TOOL, *kinetics, fails=True)
    assert log.startswith(
        f"prepare.py: error: {tmp_path / 'train.csv'}, line 2: the YouTube id is 'b', expected 11 letters"
    )
    assert len(log.splitlines()) == 1
    assert not (tmp_path / 'out').exists()


def test_what_does_not_exist_is_named(kinetics, prepare, tmp_path):
    none = tmp_path / 'none'
    for place, error in ((2, 'is no folder; give the one'), (4, 'is no file; give the annotation files')):
        words = [none if number == place else word for number, word in enumerate(kinetics)]
        status, log = prepare(*words)
        assert status == 2
        assert f'error: {none} {error}' in log


def test_videos_none_of_which_is_a_clip_are_an_error(kinetics, prepare, tmp_path):
    videos = tmp_path / 'others'
    videos.mkdir()
    (videos / '12345.webm').touch()
    (videos / '67890.webm').touch()
    words = [videos if word == tmp_path / 'two words' else word for word in kinetics]
    status, log = prepare(*words)
    assert status == 2
    assert log.partition(': ')[2] == (
        f"error: {videos}: none of its 2 video files has the name of a clip of kinetics400; one is '12345.webm', "
        "expected names such as '0wR5jVB-WPk_000417_000427.mp4'; rename the files, or give videos and annotations of "
        'the same data set\n'
    )
    assert not (tmp_path / 'out').exists()


def test_an_empty_folder_tells_what_to_fetch(prepare, tmp_path):
    words = write_sample(tmp_path, 'howto100m')
    (tmp_path / 'empty').mkdir()
    status, log = prepare(*[tmp_path / 'empty' if word == tmp_path / 'two words' else word for word in words])
    assert status == 0
    assert 'no clip has a video that can be used: see missing.txt' in log
    assert 'train with' not in log
    assert len(lines_of(tmp_path / 'out/missing.txt')) == 200


def test_lists_of_other_classes_are_not_mixed(kinetics, prepare, tmp_path):
    prepare(*kinetics, '--no-check')
    before = {path.name: path.read_bytes() for path in (tmp_path / 'out').iterdir()}
    files = [tmp_path / name for name in ('train.csv', 'test.csv')]
    words = [word for word in kinetics if word not in files]  # validation alone
    status, log = prepare(*words, '--no-check')
    classes = tmp_path / 'out/classes.txt'
    assert status == 2
    assert f'error: {classes} has other classes than the 1 of these annotations' in log
    assert 'give all annotation files in one command' in log
    assert {path.name: path.read_bytes() for path in (tmp_path / 'out').iterdir()} == before


def test_lists_of_splits_that_are_not_given_any_more_go(kinetics, prepare, tmp_path):
    out = tmp_path / 'out'
    prepare(*kinetics, '--no-check')
    assert 'removed' not in prepare(*kinetics, '--no-check')[1]
    log = prepare(*[word for word in kinetics if word != tmp_path / 'test.csv'], '--no-check')[1]
    assert f'removed {out / "test_list.txt"}: these annotations have no such split' in log
    assert sorted(path.name for path in out.glob('*_list.txt')) == ['train_list.txt', 'val_list.txt']
    assert list(json.loads((out / 'report.json').read_text())['splits']) == ['train', 'val']


def test_diving48_without_v2_in_its_names_is_doubted(prepare, tmp_path):
    words = write_sample(tmp_path, 'diving48')
    old = tmp_path / 'Diving48_train.json'
    (tmp_path / 'Diving48_V2_train.json').rename(old)
    words = [old if word == tmp_path / 'Diving48_V2_train.json' else word for word in words]
    status, log = prepare(*words, '--no-check')
    assert status == 0
    sentence = f'{old} has no V2 in its name, and the labels of the first version are faulty'
    assert log.count(f'warning: {sentence}') == 1
    assert f'Warning: {sentence}' in (tmp_path / 'out/report.md').read_text()


def test_options_that_cannot_be_meant_are_refused(kinetics, prepare, tmp_path):
    status, log = prepare(*kinetics, '--workers', 0)
    assert status == 2
    assert "error: argument --workers: invalid int above 0 value: '0'" in log
    assert not (tmp_path / 'out').exists()
