"""Official annotation files are read with all their oddities, and what is wrong with them is named."""

import json
from pathlib import Path

import pytest

from mmtsf.preparation import (
    FORMATS,
    AnnotationError,
    Annotations,
    Clip,
    make_report,
    match_files,
    sort_out,
)

MASSAGE = "massaging person's head"
FOOTBALL = 'passing American football (not in game)'
#: As DeepMind writes them; one copy of the files has the quotes twice
TRAIN = f"""label,youtube_id,time_start,time_end,split,is_cc
testifying,---QUuC4vJs,84,94,train,0
{FOOTBALL},-3B32lodo2M,59,69,train,0
"{MASSAGE}",_0HRnFhCDdc,0,10,train,1
testifying,---QUuC4vJs,84,94,train,0
"""
VAL = f'''label,youtube_id,time_start,time_end,split
"reading, aloud",0wR5jVB-WPk,417,427,validate
"""{MASSAGE}""",3caPS4FHFF8,36,46,validate
'''
HEADER = 'label,youtube_id,time_start,time_end,split\n'
TEST = 'youtube_id,time_start,time_end,split\n--65_UAU7ao,0,10,test\n'
CLIPS = [
    Clip('0wR5jVB-WPk_000417_000427', 'val', 2, '0wR5jVB-WPk'),
    Clip('3caPS4FHFF8_000036_000046', 'val', 0, '3caPS4FHFF8'),
    Clip('---QUuC4vJs_000084_000094', 'train', 3, '---QUuC4vJs'),
    Clip('-3B32lodo2M_000059_000069', 'train', 1, '-3B32lodo2M'),
    Clip('_0HRnFhCDdc_000000_000010', 'train', 0, '_0HRnFhCDdc'),
    Clip('--65_UAU7ao_000000_000010', 'test', None, '--65_UAU7ao'),
]
KINETICS = Annotations([MASSAGE, FOOTBALL, 'reading, aloud', 'testifying'], CLIPS, [CLIPS[2]])

LABELS = {'Pushing something onto something': '1', 'Pretending or failing to fold something': '0', 'Moving part': '2'}
SSV2 = {
    'labels': LABELS,
    'train': [
        {
            'id': '78687',
            'label': 'pushing two pens onto a plate',
            'template': 'Pushing [something] onto [something]',
            'placeholders': ['two pens', 'plate'],
        },
        {
            'id': '42326',
            'label': '',
            'template': 'Pretending [or failing] to fold [something]',
            'placeholders': ['rag'],
        },
    ],
    'validation': [{'id': '74225', 'label': '', 'template': 'Moving [part]', 'placeholders': ['lid']}],
    'test': [{'id': '1420'}],
}
VOCABULARY = [['Back', '15som', '05Twis', 'FREE'], ['Inward', '25som', 'NoTwis', 'TUCK']]
DIVING = {
    'Diving48_vocab': VOCABULARY,
    'Diving48_V2_train': [{'vid_name': '-mmq0PT-u8k_00155', 'label': 1, 'start_frame': 0, 'end_frame': 48}],
    'Diving48_V2_test': [{'vid_name': '_8Vy3dlHg2w_00000', 'label': 0, 'start_frame': 0, 'end_frame': 70}],
}


@pytest.fixture
def read(tmp_path: Path):
    """Writes files by name, text or what becomes JSON, and reads them as a data set's."""

    def read(dataset: str, files: dict) -> Annotations:
        for name, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / name).write_text(text, encoding='utf-8')
        return FORMATS[dataset].read([tmp_path / name for name in files])

    return read


@pytest.mark.parametrize('dataset', ['kinetics400', 'kinetics600'])
def test_csv_files_of_kinetics(dataset, read):
    found = read(dataset, {'train.csv': TRAIN, 'validate.csv': VAL, 'test.csv': TEST})
    assert found == KINETICS
    marked = {'train.csv': '\ufeff' + TRAIN.replace('\n', '\r\n'), 'validate.csv': VAL + '\n\n', 'test.csv': TEST}
    assert read(dataset, marked) == KINETICS


def test_headers_of_2017_and_splits_named_by_the_file(read):
    columns = 'label-name,video-id,start-time,end-time\n'
    rows = f'testifying,---QUuC4vJs,84.0,94.0\n"{MASSAGE}",_0HRnFhCDdc,0,10\n'
    spaced = 'YouTube Identifier,Start time,End time,Class label\n0wR5jVB-WPk,417,427,testifying\n'
    found = read('kinetics400', {'kinetics_train.csv': columns + rows, 'kinetics_val.csv': spaced})
    assert found.classes == [MASSAGE, 'testifying']
    assert [(clip.name, clip.split, clip.label) for clip in found.clips] == [
        ('0wR5jVB-WPk_000417_000427', 'val', 1),
        ('---QUuC4vJs_000084_000094', 'train', 1),
        ('_0HRnFhCDdc_000000_000010', 'train', 0),
    ]


def test_json_files_of_kinetics_say_the_same_as_csv_files(read):
    entries = {}
    for clip in CLIPS:
        start, end = map(int, clip.name[12:].split('_'))
        label = {} if clip.label is None else {'label': KINETICS.classes[clip.label]}
        entries.setdefault(dict(val='validate').get(clip.split, clip.split), {})[clip.video] = {
            'annotations': {**label, 'segment': [float(start), float(end)]},
            'duration': 10.0,
            'subset': dict(val='validate').get(clip.split, clip.split),
            'url': f'https://www.youtube.com/watch?v={clip.video}',
        }
    found = read('kinetics600', {f'{split}.json': content for split, content in entries.items()})
    assert found.classes == KINETICS.classes
    assert set(found.clips) == set(CLIPS)


def test_a_clip_of_training_and_validation_is_left_to_validation(read):
    found = read('kinetics400', {'train.csv': TRAIN, 'val.csv': VAL + 'testifying,---QUuC4vJs,84,94,val\n'})
    assert [clip.split for clip in found.clips if clip.video == '---QUuC4vJs'] == ['val']
    assert [clip.split for clip in found.duplicates] == ['train', 'train']


def test_a_clip_with_a_label_is_not_left_to_testing_without_one(read):
    test = 'youtube_id,time_start,time_end,split\n0wR5jVB-WPk,417,427,test\n'
    found = read('kinetics400', {'train.csv': TRAIN, 'val.csv': VAL, 'test.csv': test})
    assert [(clip.split, clip.label) for clip in found.clips if clip.video == '0wR5jVB-WPk'] == [('val', 2)]
    assert [clip.split for clip in found.duplicates] == ['train', 'test']


def test_duplicates_that_contradict_are_counted_by_name(read):
    """One row says the same again, one another label, one another split, one both, one holds its label back."""
    rows = 'testifying,---QUuC4vJs,84,94,train\n' * 2 + 'singing,---QUuC4vJs,84,94,train\n'
    both = 'testifying,-3B32lodo2M,59,69,train\nsinging,-3B32lodo2M,59,69,val\nsinging,0wR5jVB-WPk,1,2,val\n'
    more = 'singing,0wR5jVB-WPk,1,2,train\n,0wR5jVB-WPk,1,2,test\n'
    found = read('kinetics400', {'all.csv': HEADER + rows + both + more})
    report = make_report('kinetics400', found, sort_out(found.clips, {}, {}), [], dict(classes=400))
    names = ('expected', 'duplicates', 'other_split', 'other_label')
    assert {split: [counts[name] for name in names] for split, counts in report['splits'].items()} == {
        'train': [1, 4, 2, 2],
        'val': [2, 0, 0, 0],
        'test': [0, 1, 1, 0],
    }


def test_files_of_something_something(read):
    found = read('ssv2', {f'something-something-v2-{name}.json': content for name, content in SSV2.items()})
    assert found.classes == sorted(LABELS, key=LABELS.get)
    assert found.clips == [
        Clip('74225', 'val', 2),
        Clip('78687', 'train', 1),
        Clip('42326', 'train', 0),
        Clip('1420', 'test', None),
    ]
    assert read('ssv2', {f'{name}.json': SSV2[name] for name in reversed(SSV2)}) == found
    numbers = {f'{name}.json': rows for name, rows in (SSV2 | {'test': [{'id': 1420}]}).items()}
    assert read('ssv2', numbers) == found


def test_files_of_diving48_whose_test_split_is_val(read):
    found = read('diving48', {f'{name}.json': content for name, content in DIVING.items()})
    assert found.classes == ['Back 15som 05Twis FREE', 'Inward 25som NoTwis TUCK']
    assert found.clips == [Clip('_8Vy3dlHg2w_00000', 'val', 0), Clip('-mmq0PT-u8k_00155', 'train', 1)]


def howto100m(*counts: tuple[int, int]) -> str:
    """The csv file with so many videos of each task, ids beginning with the task."""
    rows = [
        f'{task:05}-{number:05},"Cars & Other Vehicles",Motorcycles,{number},{task}\n'
        for task, count in counts
        for number in range(1, count + 1)
    ]
    return 'video_id,category_1,category_2,rank,task_id\n' + ''.join(rows)


def test_tasks_with_100_videos_are_classes_and_are_split_85_to_35(read):
    table = howto100m((52907, 120), (7, 99), (109, 240), (33, 100))
    titles = '7\tClean a Cat\n33\tMake "Tea", Hot\n109\tFold Paper\n52907\tFold Paper\n'
    found = read('howto100m', {'task_ids.csv': titles, 'HowTo100M_v1.csv': table})
    assert found.classes == ['Make "Tea", Hot', 'Fold Paper 109', 'Fold Paper 52907']
    counts = {label: [0, 0] for label in range(3)}
    for clip in found.clips:
        counts[clip.label][clip.split == 'val'] += 1
    assert counts == {0: [71, 29], 1: [170, 70], 2: [85, 35]}
    lines = table.splitlines(keepends=True)
    again = read('howto100m', {'HowTo100M_v1.csv': ''.join(lines[:1] + lines[:0:-1]), 'task_ids.csv': titles})
    assert set(again.clips) == set(found.clips), 'the split depends on the ids alone'


def test_a_video_of_two_tasks_is_one_of_the_first(read):
    table = howto100m((1, 100), (2, 100)) + '00001-00001,,,1,2\n00001-00001,,,1,1\n'
    found = read('howto100m', {'HowTo100M_v1.csv': table, 'task_ids.csv': 'id,task_name\n1,Fly, High\n'})
    assert found.classes == ['Fly, High', 'task 2']
    assert len(found.clips) == 200
    assert [(clip.name, clip.label) for clip in found.duplicates] == [('00001-00001', 1), ('00001-00001', 0)]
    kept = next(clip for clip in found.clips if clip.name == '00001-00001')
    assert kept.label == 0
    assert {clip.split for clip in found.duplicates} == {kept.split}


@pytest.mark.parametrize(
    ('path', 'matched'),
    [
        ('train/abseiling/-3B32lodo2M_000059_000069.mp4', True),
        ('playing_guitar/-3B32lodo2M_59_69.MKV', True),
        ('-3B32lodo2M_0059.0_0069.0.webm', True),
        ('-3B32lodo2M.mp4', True),
        ('-3B32lodo2M.mp4.webm', True),
        ('-3B32lodo2M.mkv.MKV', True),
        ('-3B32lodo2M_000059_000069.mp4.mkv', True),
        ('Climbing: a [long] way [-3B32lodo2M].webm', True),
        ('Climbing_[-3B32lodo2M].mp4.webm', True),
        ('Climbing - the wall--3B32lodo2M.mp4', True),
        ('Climbing -3B32lodo2M.mp4', False),
        ('Climbing [-3B32lodo2M] again.mp4', False),
        ('Climbing [-3B32lodo2M].f137.mp4', False),
        ('-3B32lodo2M.txt.mp4', False),
        ('-3B32lodo2M_000060_000070.mp4', False),
        ('x-3B32lodo2M_000059_000069.mp4', False),
        ('-3B32lodo2m.mp4', False),
    ],
)
def test_files_of_a_kinetics_clip(path, matched):
    clip = Clip('-3B32lodo2M_000059_000069', 'train', 0, '-3B32lodo2M')
    assert match_files([clip], [path], FORMATS['kinetics400'].name_of_file) == ({clip.name: [path]} if matched else {})


@pytest.mark.parametrize('name', ['{}.mp4', '{}.mp4.webm', 'A cat [{}].webm', 'A cat-{}.mp4', 'a/b/A {} cat-{}.mkv'])
def test_files_of_a_video_of_howto100m(name):
    clips = [Clip(video, 'train', 0) for video in ('-3B32lodo2M', '---QUuC4vJs', '_0HRnFhCDdc')]
    for clip in clips:
        path = name.replace('{}', clip.name)
        assert match_files(clips, [path], FORMATS['howto100m'].name_of_file) == {clip.name: [path]}


@pytest.mark.parametrize(('dataset', 'name'), [('ssv2', '78687'), ('diving48', '-mmq0PT-u8k_00155')])
def test_only_files_from_youtube_may_have_titles(dataset, name):
    paths = [f'{name}.webm', f'{name}.webm.mp4', f'title-{name}.webm', f'title [{name}].webm']
    assert match_files([Clip(name, 'train', 0)], paths, FORMATS[dataset].name_of_file) == {name: paths[:2]}


def test_a_file_of_the_whole_video_is_none_of_several_clips():
    clips = [Clip(f'-3B32lodo2M_{start:06}_000069', 'train', 0, '-3B32lodo2M') for start in (10, 59)]
    paths = ['-3B32lodo2M.mp4', 'a/-3B32lodo2M_10_69.mp4']
    assert match_files(clips, paths, FORMATS['kinetics600'].name_of_file) == {clips[0].name: [paths[1]]}


def test_replacements_come_first_and_broken_files_last():
    clip = Clip('12', 'train', 0)
    paths = ['a/12.mp4', 'b/12.webm', 'replacement/12.mp4']
    matches = match_files([clip], paths, str)
    assert sort_out([clip], matches, {}).found == [(clip, paths[2])]
    outcome = sort_out([clip], matches, {paths[2]: 'broken', paths[0]: 'broken', paths[1]: ''})
    assert outcome.found == [(clip, paths[1])]
    assert [path for _, path in outcome.spare] == [paths[2], paths[0]]
    assert sort_out([clip], matches, dict.fromkeys(paths, 'broken')).broken == [clip]


ENTRY = {'annotations': {'label': 'a', 'segment': [0.0, 10.0]}, 'subset': 'train'}
MISTAKES = [
    ('kinetics400', {'a.csv': ''}, "a.csv, line 1: the columns are [], and 'youtube_id' is not among them"),
    ('kinetics400', {'a.csv': 'a,b\n1,2\n'}, "a.csv, line 1: the columns are ['a', 'b']"),
    ('kinetics400', {'a.csv': HEADER + 'a,b,---QUuC4vJs,1,2,train\n'}, 'line 2: there are 6 columns, expected 5'),
    ('kinetics400', {'a.csv': HEADER + 'a,#NAME?,1,2,train\n'}, "line 2: the YouTube id is '#NAME?', expected 11"),
    ('kinetics400', {'a.csv': HEADER + '\na,---QUuC4vJs,nan,2,train\n'}, "line 3: the time is 'nan', expected seconds"),
    ('kinetics400', {'a.csv': HEADER + 'a,---QUuC4vJs,1,2,left\n'}, "line 2: the split is 'left', expected one of"),
    ('kinetics400', {'a.csv': HEADER + ',---QUuC4vJs,1,2,val\n'}, 'line 2: there is no label'),
    (
        'kinetics400',
        {'a.csv': HEADER.replace(',split', '')[:-1] + '\na,---QUuC4vJs,1,2\n'},
        'give it its official name',
    ),
    ('kinetics400', {'test.csv': TEST}, 'name no clip with a label; give those of training and validation'),
    ('kinetics400', {'a.json': '{"a": \n'}, 'a.json, line 2, column 1: expected JSON'),
    ('kinetics400', {'a.json': [1]}, 'a.json: expected a JSON object of clips'),
    ('kinetics400', {'a.json': {'a' * 11: 3}}, "a.json, key 'aaaaaaaaaaa': it is 3, expected 'annotations' to be of"),
    ('kinetics400', {'a.json': {'a' * 11: ENTRY | {'annotations': {'segment': [1]}}}}, 'the segment is [1]'),
    ('kinetics400', {'a.json': {'a' * 11: {'annotations': ENTRY['annotations']}}}, "'subset' is None, expected"),
    ('ssv2', {'train.json': SSV2['train']}, '0 are objects of templates and numbers, expected one; give labels.json'),
    ('ssv2', {'a.json': {'a': 'b'}, 'train.json': []}, "a.json, key 'a': it is 'b', expected a number"),
    ('ssv2', {'a.json': {'a': '1'}, 'train.json': []}, 'expected the numbers from 0 to 0, each once'),
    ('ssv2', {'a.json': LABELS, 'b.json': []}, 'b.json: expected "train", "val" or "test" in its name'),
    ('ssv2', {'a.json': LABELS, 'train.json': 3}, 'train.json: expected a JSON list of clips'),
    ('ssv2', {'a.json': LABELS, 'train.json': [{'id': 3.5}]}, "'id' is 3.5, expected 'id' to be of type str | int;"),
    (
        'ssv2',
        {'a.json': LABELS, 'test-answers.csv': '3;Flying'},
        'expected JSON files alone; leave out test-answers.csv',
    ),
    (
        'ssv2',
        {'a.json': LABELS, 'train.json': [{'id': '3', 'template': 'Flying [something]'}]},
        "train.json, entry 1: the template 'Flying something' is not in",
    ),
    ('diving48', {'train.json': {}}, 'train.json: expected a JSON list of classes or clips'),
    ('diving48', {'train.json': [{}]}, '0 are lists of classes, expected one; give Diving48_vocab.json'),
    ('diving48', {'v.json': [['a'], 'b'], 'train.json': [{}]}, "v.json, entry 2: it is 'b', expected four words"),
    (
        'diving48',
        {'v.json': VOCABULARY, 'test.json': [{'vid_name': 'a', 'label': 2}]},
        'test.json, entry 1: the label is 2, expected one of the 2 classes',
    ),
    ('diving48', {'v.json': VOCABULARY, 'test.json': [{'label': True}]}, "'label' is True, expected 'label' to be of"),
    ('howto100m', {'a.csv': howto100m((1, 1))}, '1 have a column video_id, expected one of two; give HowTo100M_v1.csv'),
    ('howto100m', {'a.csv': howto100m((1, 1)), 'b.csv': '1\ta\n'}, 'name no clip with a label'),
    ('howto100m', {'a.csv': howto100m((1, 100)), 'b.csv': '1\ta\nb\tc\n'}, "b.csv, line 2: it is ['b', 'c'], expected"),
    ('howto100m', {'a.csv': 'video_id\na\n', 'b.csv': '1\ta\n'}, "'task_id' is not among them"),
    (
        'howto100m',
        {'a.csv': howto100m((1, 1)) + 'a,b\n', 'b.csv': '1\ta\n'},
        "a.csv, line 3: it is ['a', 'b'], expected",
    ),
]


@pytest.mark.parametrize(('dataset', 'files', 'error'), MISTAKES)
def test_mistakes_are_named_with_their_place(dataset, files, error, read):
    with pytest.raises(AnnotationError) as raised:
        read(dataset, files)
    assert error in str(raised.value)


def test_files_that_hold_no_text_are_named(tmp_path):
    for name in ('train.csv', 'train.json'):
        (tmp_path / name).write_bytes(b'\xff\xfe\x00')
        with pytest.raises(AnnotationError, match=f'{name}, line 1: expected text in UTF-8, but it looks like UTF-16'):
            FORMATS['kinetics400'].read([tmp_path / name])
