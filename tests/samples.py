"""Small samples of the paper's data sets: annotations in their official formats, and videos in all conditions.

Of training, three clips of the first class: good, empty, garbage; and four of the second: one with two files, one that
a downloader has named or that lies elsewhere, one whose first file is broken, and one that is missing, while a video
that looks like it belongs to no clip. The first of all is named three times, once with the other class. Of validation,
one clip, which training names, too (not in HowTo100M, where a hash tells the split). Of testing, one without a label,
where there is such a split.
"""

import json
from pathlib import Path

from videos import write_greys

GOOD, EMPTY, GARBAGE = 'good', 'empty', 'garbage'
MASSAGE = "massaging person's head"
KINETICS_TRAIN = """label,youtube_id,time_start,time_end,split,is_cc
abseiling,---QUuC4vJs,84,94,train,0
abseiling,bbbbbbbbbbb,5,15,train,0
abseiling,ccccccccccc,5,15,train,0
"massaging person's head",_0HRnFhCDdc,0,10,train,1
"massaging person's head",ddddddddddd,5,15,train,0
"massaging person's head",eeeeeeeeeee,5,15,train,0
"massaging person's head",-3B32lodo2M,59,69,train,0
abseiling,---QUuC4vJs,84,94,train,0
"massaging person's head",---QUuC4vJs,84,94,train,0
"massaging person's head",0wR5jVB-WPk,417,427,train,0
"""
KINETICS_VAL = """label,youtube_id,time_start,time_end,split
"massaging person's head",0wR5jVB-WPk,417,427,validate
"""
KINETICS_TEST = 'youtube_id,time_start,time_end,split\n--65_UAU7ao,0,10,test\n'
KINETICS_VIDEOS = {
    'train/abseiling/---QUuC4vJs_000084_000094.mp4': GOOD,
    'train/abseiling/bbbbbbbbbbb_000005_000015.mp4': EMPTY,
    'train/abseiling/ccccccccccc_000005_000015.mp4': GARBAGE,
    "train/massaging person's head/_0HRnFhCDdc_0_10.mkv": GOOD,
    'train/massaging_persons_head/_0HRnFhCDdc.mp4.webm': GOOD,
    'Relax, at work [ddddddddddd].webm': GOOD,
    'train/eeeeeeeeeee_000005_000015.mp4': GARBAGE,
    'replacement/eeeeeeeeeee_000005_000015.mp4': GOOD,
    'train/-3B32lodo2M_000060_000070.mp4': GOOD,
    'val/0wR5jVB-WPk.webm': GOOD,
    'test/--65_UAU7ao_000000_000010.mp4': GOOD,
}


def kinetics400() -> tuple[dict, dict]:
    """All three files in csv, one with a byte order mark."""
    files = {'train.csv': KINETICS_TRAIN, 'validate.csv': '\ufeff' + KINETICS_VAL, 'test.csv': KINETICS_TEST}
    return files, KINETICS_VIDEOS


def kinetics600() -> tuple[dict, dict]:
    """Training in csv, since an object of JSON names nothing twice; the others in DeepMind's JSON."""
    val = {'annotations': {'label': MASSAGE, 'segment': [417.0, 427.0]}, 'duration': 10.0, 'subset': 'validate'}
    test = {'annotations': {'segment': [0.0, 10.0]}, 'duration': 10.0, 'subset': 'test'}
    files = {'validate.json': {'0wR5jVB-WPk': val}, 'test.json': {'--65_UAU7ao': test}}
    return {'train.csv': KINETICS_TRAIN} | files, KINETICS_VIDEOS


def ssv2() -> tuple[dict, dict]:
    """Labels and three splits."""

    def rows(template: str, *names: str) -> list[dict]:
        return [{'id': name, 'label': '', 'template': template, 'placeholders': ['lid']} for name in names]

    push, move = 'Pushing [something] onto [something]', 'Moving [part]'
    files = {
        'labels.json': {'Moving part': '1', 'Pushing something onto something': '0'},
        'train.json': rows(push, '10', '11', '12') + rows(move, '13', '14', '15', '16', '10', '20') + rows(push, '10'),
        'validation.json': rows(move, '20'),
        'test.json': [{'id': '30'}],
    }
    first = {'10.webm': GOOD, '11.webm': EMPTY, '12.webm': GARBAGE}
    second = {
        '13.mp4': GOOD,
        '13.webm': GOOD,
        'more/14.mkv': GOOD,
        '15.mp4': GARBAGE,
        '15.webm': GOOD,
        '116.webm': GOOD,
    }
    return files, first | second | {'20.webm': GOOD, '30.webm': GOOD}


def diving48() -> tuple[dict, dict]:
    """Classes and the two splits of the second version."""

    def rows(label: int, *numbers: int) -> list[dict]:
        names = [f'-mmq0PT-u8k_{number:05}' for number in numbers]
        return [{'vid_name': name, 'label': label, 'start_frame': 0, 'end_frame': 48} for name in names]

    files = {
        'Diving48_vocab.json': [['Back', '15som', '05Twis', 'FREE'], ['Inward', '25som', 'NoTwis', 'TUCK']],
        'Diving48_V2_train.json': rows(0, 10, 11, 12) + rows(1, 13, 14, 15, 16, 10, 20) + rows(0, 10),
        'Diving48_V2_test.json': rows(1, 20),
    }
    first = {'rgb/{}10.mp4': GOOD, 'rgb/{}11.mp4': EMPTY, 'rgb/{}12.mp4': GARBAGE}
    second = {'a/{}13.mp4': GOOD, 'b/{}13.mp4': GOOD, 'c/{}14.MOV': GOOD, 'a/{}15.avi': GARBAGE, 'b/{}15.mp4': GOOD}
    videos = first | second | {'rgb/{}17.mp4': GOOD, 'rgb/{}20.mp4': GOOD}
    return files, {path.format('-mmq0PT-u8k_000'): content for path, content in videos.items()}


def howto100m() -> tuple[dict, dict]:
    """Two tasks of 100 videos, of which the hashes leave 71 to training, but not 22-001-abcd."""
    rows = [(f'{task}-{number:03}-abcd', task) for task in (11, 22) for number in range(100)]
    rows += [('11-000-abcd', 11), ('11-000-abcd', 22)]
    table = ''.join(f'{video},"Cars & Other Vehicles",Motorcycles,1,{task}\n' for video, task in rows)
    files = {
        'HowTo100M_v1.csv': 'video_id,category_1,category_2,rank,task_id\n' + table,
        'task_ids.csv': '11\tFold Paper\n22\tMake "Tea", Hot\n',
    }
    first = {'11-000-abcd.mp4': GOOD, '11-001-abcd.mp4': EMPTY, '11-002-abcd.mp4': GARBAGE}
    second = {'a/22-000-abcd.mp4': GOOD, 'b/22-000-abcd.mp4.webm': GOOD, 'Make Tea-22-002-abcd.mkv': GOOD}
    third = {'22-003-abcd.mkv': GARBAGE, '22-003-abcd.mp4': GOOD, '33-000-abcd.mp4': GOOD}
    return files, first | second | third | {'Make Tea! [22-001-abcd].webm': GOOD}


SAMPLES = dict(kinetics400=kinetics400, kinetics600=kinetics600, ssv2=ssv2, diving48=diving48, howto100m=howto100m)


def write_sample(folder: Path, dataset: str) -> list[str | Path]:
    """Write the sample of a data set below a folder; returns arguments of the tool, which writes to ``out`` there."""
    annotations, videos = SAMPLES[dataset]()
    good = Path(write_greys(folder / 'good.mp4', 4, 16, 16)).read_bytes()
    data = {GOOD: good, EMPTY: b'', GARBAGE: b'no video'}
    for name, content in videos.items():
        path = folder / 'two words' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data[content])
    for name, content in annotations.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_text(text, encoding='utf-8')
    files = [folder / name for name in annotations]
    return [dataset, '--videos', folder / 'two words', '--annotations', *files, '--out', folder / 'out']
