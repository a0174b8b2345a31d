"""Lists as people write them: each form gives the same videos and labels, or one error with the remedy."""

import codecs
import gzip
import os
import random
import re
from pathlib import Path

import pytest
import torch

from mmtsf.datasets import VideoListDataset
from mmtsf.datasets.annotation_list import AnnotationList, Row, is_number, read_list, write_list
from mmtsf.utils.media import is_video
from mmtsf.weights import classes_of


def labels_of(folder: Path, name: str, content: str | bytes, **arguments) -> list[tuple]:
    """Path relative to the folder, and label, of every video of a list with this content."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    dataset = VideoListDataset(name, [], data_root=str(folder), **arguments)
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    return [
        (str(Path(info['filename']).relative_to(folder)), torch.as_tensor(info['label']).tolist()) for info in infos
    ]


@pytest.mark.parametrize(
    ('name', 'content'),
    [
        ('space.csv', 'a.mp4 0\nb c.mp4 1\n'),  # of PySlowFast, VideoMAE and the released code
        ('space.csv', 'path label\na.mp4 0\nb c.mp4 1\n'),
        ('semi.csv', 'path;label\na.mp4;0\nb c.mp4;1\n'),
        ('semi.csv', 'a.mp4;0\nb c.mp4;1\n'),
        ('tab.csv', 'a.mp4\t0\nb c.mp4\t1\n'),
        ('tab.tsv', 'path\tlabel\na.mp4\t0\nb c.mp4\t1\n'),
        ('tab.txt', 'a.mp4\t0\nb c.mp4\t1\n'),
        ('upper.CSV', 'a.mp4,0\nb c.mp4,1\n'),
        ('quoted.csv', '"a.mp4","0"\n"b c.mp4","1"\n'),
        ('quoted.csv', '"a.mp4";0\n"b c.mp4";1\n'),
        ('quoted.txt', 'a.mp4 0\n"b c.mp4" 1\n'),
        ('comma.txt', 'a.mp4,0\nb c.mp4,1\n'),
        ('comma.txt', 'path,label\na.mp4,0\nb c.mp4,1\n'),
        ('header.txt', 'path label\na.mp4 0\nb c.mp4 1\n'),
        ('bom.txt', '\ufeffa.mp4 0\nb c.mp4 1\n'),
        ('joined.txt', 'a.mp4 0\n\ufeffb c.mp4 1\n'),  # cat of two files
        ('bom.csv', '\ufeffpath;label\r\na.mp4;0\r\nb c.mp4;1\r\n;\r\n\r\n'),
        ('trailing.txt', 'a.mp4 0\r\nb c.mp4 1\r\n\r\n  \r\n'),
        ('mac.txt', 'a.mp4 0\rb c.mp4 1\r'),
    ],
)
def test_every_form_of_a_list_is_read(name, content, tmp_path):
    assert labels_of(tmp_path, name, content, num_classes=2) == [('a.mp4', 0), ('b c.mp4', 1)]


@pytest.mark.parametrize('name', ['list.csv', 'list.txt'])
def test_a_comma_in_a_path_is_none_between_path_and_label(name, tmp_path):
    assert labels_of(tmp_path, name, 'a, b.mp4 1\nc.mp4 0\n', num_classes=2) == [('a, b.mp4', 1), ('c.mp4', 0)]


def test_a_class_may_be_called_as_a_header(tmp_path):
    found = labels_of(tmp_path, 'list.csv', 'a.mp4,class\nb.mp4,label\n', classes=['class', 'label'])
    assert found == [('a.mp4', 0), ('b.mp4', 1)]


@pytest.mark.parametrize('content', ['path;label\na.mp4;0\nb c.mp4;1\n', 'a.mp4 0\nb c.mp4 1\n'])
def test_a_list_is_written_in_the_form_in_which_it_was_read(content, tmp_path):
    (tmp_path / 'list.csv').write_text(content)
    write_list(tmp_path / 'new.csv', read_list(tmp_path / 'list.csv', tmp_path), {}, [])
    assert (tmp_path / 'new.csv').read_text() == content


@pytest.mark.parametrize(
    ('content', 'there', 'expected'),
    [
        ('Cats, dogs [abc].mp4 0\nb;c.mp4 1\n', [], [('Cats, dogs [abc].mp4', 0), ('b;c.mp4', 1)]),
        ('12 Lift, then drop sit, down\n7 run\n', [], [('12 Lift, then drop', 2), ('7', 0)]),
        ('a, b/v1 walk fast\nv;2 run\n', [], [('a, b/v1', 1), ('v;2', 0)]),
        ('v1,walk fast\nv2,run\n', ['v1', 'v2'], [('v1', 1), ('v2', 0)]),
        ('v1, 0\nv2, 1\n', [], [('v1', 0), ('v2', 1)]),
        ('v 1\t1\nv 2\t0\t\nw 2\n', [], [('v 1', 1), ('v 2', 0), ('w', 2)]),
        ('a.mp4\twalk fast\t\nb.mp4 run\n', [], [('a.mp4', 1), ('b.mp4', 0)]),
    ],
)
def test_delimiters_in_paths_and_labels_are_none(content, there, expected, tmp_path):
    for name in there:
        (tmp_path / name).mkdir()
    classes = ['run', 'walk fast', 'sit, down']
    assert labels_of(tmp_path, 'list.txt', content, classes=classes) == expected


def test_a_video_file_without_suffix_is_found(tmp_path):
    (tmp_path / 'clip 12').touch()
    assert labels_of(tmp_path, 'list.txt', 'clip 12 0\n', num_classes=20) == [('clip 12', 0)]


@pytest.mark.parametrize('content', ['v1,class\nv2,other\n', 'video class\nv2 other\n', 'v1,label\nv2,class\n'])
def test_a_first_line_that_ends_in_a_class_is_no_header(content, tmp_path):
    assert len(labels_of(tmp_path, 'list.txt', content, classes=['class', 'other', 'label'])) == 2


@pytest.mark.parametrize('rows', ['a.mp4,1,0\nb.mp4,0,1\n', 'a.mp4,1,0\nb.mp4,1,0\n'])
@pytest.mark.parametrize('delimiter', [' ', ','])
def test_a_header_of_class_names_is_one_of_columns_for_classes(rows, delimiter, tmp_path):
    text = f'path,run,jump\n{rows}'.replace(',', delimiter)
    with pytest.raises(ValueError, match="line 1 names a column for each class; .*'a.mp4 0' for 'a.mp4 1 0'"):
        labels_of(tmp_path, 'list.csv', text, classes=['run', 'jump'], multi_class=True)


@pytest.mark.parametrize(
    'header', ['path,start,end,label', 'path,label,split', ',path,label', 'label,path', 'path start end label']
)
@pytest.mark.parametrize('multi_class', [False, True])
def test_other_columns_are_refused_by_name(header, multi_class, tmp_path):
    mark = ',' if ',' in header else ' '
    text = f'{header}\n' + mark.join(['a.mp4', *'101'][: len(header.split(mark))]) + '\n'
    with pytest.raises(ValueError, match='line 1: the columns are .*, and those that are read are two: the path'):
        labels_of(tmp_path, 'list.csv', text, num_classes=20, multi_class=multi_class)


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        ('video,target\na.mp4,0\n', "line 1: the label 'target' is .*; delete the line if it names the columns"),
        ('a.mp4 1.0\n', "line 1: the label '1.0' .*; write the number without point, .* '1'"),
        ('a.mp4,1\nb.mp4,\n', "line 2: the label '' .*; write a label there, or remove the delimiter"),
        ('0,a.mp4,1\n', "line 1: the label 'a.mp4' .*; write the path first .* without other columns such as an index"),
        ('a.mp4 0\nb.mp4,1\n', "line 2: 'b.mp4,1' has 0 labels, expected one; ',' stands behind the path here"),
        ('a.mp4,0\nb.mp4 1\n', "line 2: 'b.mp4 1' has 0 labels, expected one; a space stands behind the path here"),
        ('a.mp4 0\nb.mp4\n', "line 2: 'b.mp4' has 0 labels, expected one; write one behind the path"),
        ('a.mp4 ' + '9' * 5000 + '\n', r'line 1: the label .{,50} is not in \[0, 3\)'),
        ('d/v1,120,0\n', "line 1: 'd/v1' has 2 labels, .* leave out the number of frames of MMAction2's"),
        ('a.mp4 0,2\n', "line 1: the label '0,2' .*; put the same delimiter between all columns"),
        ('a.mp4 Walk_Fast\n', "line 1: the label 'Walk_Fast' .*; write it as the class is called, 'walk fast'"),
    ],
)
def test_a_label_that_cannot_be_meant_has_its_remedy(content, words, tmp_path):
    with pytest.raises(ValueError, match=f'list.txt, {words}'):
        labels_of(tmp_path, 'list.txt', content, classes=['run', 'walk fast', 'sit'])


@pytest.mark.parametrize(
    ('name', 'rows'),
    [
        ('list.txt', [('clip 12', ['3']), ('a "b"', ['3']), ('"a.mp4', ['1']), ('x, y/v1', ['2']), ('v1', ['2'])]),
        ('list.txt', [('x, y/v1', ['2']), ('Cats, dogs.mp4', ['1'])]),
        ('list.txt', [('v1', ['walk fast']), ('clip 3', ['sit, down']), ('my clip', ['walk fast'])]),
        ('list.txt', [('my clip', []), ('a,b.mp4', []), ('v1', [])]),
        ('list.csv', [('a,b.mp4', []), ('v 1', [])]),
    ],
)
def test_what_is_written_reads_back_the_same(name, rows, tmp_path):
    names = ['walk fast', 'fast', 'sit, down', 'clip']
    listed = AnnotationList([], [Row('', path, labels) for path, labels in rows])
    write_list(tmp_path / name, listed, {}, [])
    again = read_list(tmp_path / name, tmp_path, is_label=lambda word: is_number(word) or word in names)
    assert [(row.path, row.labels) for row in again.rows] == rows


#: Of which odd names are made
PARTS = [
    *' \t"\'#,;\\%&=?*[]{}~-.:é日\u3000\xa0\ufeff\x1f\udcff',
    'a',
    'B',
    '.mp4',
    ' 0',
    'path label ',
    '..',
    'e\u0301',
]


@pytest.mark.parametrize('name', ['list.txt', 'list.csv', 'list.tsv'])
@pytest.mark.parametrize('labels', [['3'], ['run, fast'], []])
def test_of_odd_names_each_is_read_back_or_left_out_with_a_warning(name, labels, tmp_path):
    random.seed(0)
    names = {f'{"".join(random.choices(PARTS, k=random.randint(1, 4)))}.mp4' for _ in range(300)}
    names |= {' lead.mp4', 'trail .mp4', 'sub/ lead.mp4', 'plain.mp4'}
    paths = sorted({os.path.normpath(path) for path in names if is_video(path)})
    delimiter = {'list.txt': ' ', 'list.csv': ',', 'list.tsv': '\t'}[name]
    with pytest.warns(UserWarning, match='left out of .*, which would not be read as it was written: .*rename them'):
        write_list(tmp_path / name, AnnotationList([], [Row('', path, labels) for path in paths], delimiter), {}, [])
    again = [(row.path, row.labels) for row in read_list(tmp_path / name, tmp_path).rows]
    assert all(found == labels for _, found in again)
    read = [path for path, _ in again]
    assert read == [path for path in paths if path in set(read)]
    assert len(read) > 0.6 * len(paths)
    assert {'plain.mp4', 'sub/ lead.mp4'} <= set(read)
    assert name != 'list.txt' or ' lead.mp4' in read


ENCODINGS = [
    ('跑.mp4 0\n', 'utf-16', 1, 'it looks like UTF-16; .* iconv -f UTF-16 -t UTF-8'),
    ('a.mp4 0\n', 'utf-16-le', 1, 'it looks like UTF-16; .* iconv -f UTF-16LE'),
    ('a.mp4 0\n', 'utf-32', 1, 'it looks like UTF-32'),
    ('a.mp4 0\n', 'utf-16-be', 1, 'it looks like UTF-16; .* iconv -f UTF-16BE'),
    ('a.mp4 0\n', 'utf-32-le', 1, 'it looks like UTF-32; .* iconv -f UTF-32LE'),
    ('a.mp4 0\n', 'utf-32-be', 1, 'it looks like UTF-32; .* iconv -f UTF-32BE'),
    ('a.mp4 0\n打球.mp4 0\n', 'gbk', 2, 'the byte 0xb4 is none of it; .* iconv -f .*GBK'),
    ('a.mp4 0\nb.mp4 0\né.mp4 0\n', 'latin-1', 3, 'the byte 0xe9 is none of it'),
]


@pytest.mark.parametrize('name', ['list.txt', 'list.csv'])
@pytest.mark.parametrize(('text', 'encoding', 'line', 'words'), ENCODINGS)
def test_another_encoding_is_named_with_file_and_line(text, encoding, line, words, name, tmp_path):
    message = f'{tmp_path}/{name}, line {line}: expected text in UTF-8, but {words}'
    with pytest.raises(ValueError, match=message):
        labels_of(tmp_path, name, text.encode(encoding), num_classes=2)


@pytest.mark.parametrize(
    'data',
    [gzip.compress(b'a.mp4 0\n', mtime=0), b'PK\x03\x04\x14\0\x08\0' + bytes(range(256)), b'a.mp4 0\nb.mp4 1\n\0\n'],
    ids=['gz', 'xlsx', 'nul'],
)
def test_what_is_no_text_is_said_to_be_none(data, tmp_path):
    with pytest.raises(ValueError, match='list.csv, line .: expected text in UTF-8, but the byte .* no text') as caught:
        labels_of(tmp_path, 'list.csv', data, num_classes=2)
    assert 'iconv' not in str(caught.value)


@pytest.mark.parametrize(('text', 'encoding', 'line', 'words'), ENCODINGS)
def test_another_encoding_of_class_names_is_named_with_file_and_line(text, encoding, line, words, tmp_path):
    (tmp_path / 'classes.txt').write_bytes(text.encode(encoding))
    with pytest.raises(ValueError, match=f'classes.txt, line {line}: expected text in UTF-8, but {words}'):
        labels_of(tmp_path, 'list.txt', 'a.mp4 0\n', classes='classes.txt')


@pytest.mark.parametrize(
    'content',
    [
        codecs.BOM_UTF8 + b'run\njump\nsit\n',
        b'run\njump\nsit\n\n',
        b'run\r\njump \r\nsit\r\n\r\n  \r\n',
        b'run\njump\nsit',
    ],
)
def test_marks_and_empty_last_lines_of_class_names_are_harmless(content, tmp_path):
    (tmp_path / 'classes.txt').write_bytes(content)
    found = labels_of(tmp_path, 'list.txt', 'a.mp4 run\nb.mp4 sit\n', classes='classes.txt', num_classes=3)
    assert found == [('a.mp4', 0), ('b.mp4', 2)]


@pytest.mark.parametrize(('content', 'line'), [('run\n\nsit\n', 2), ('\n\n', 1), ('', 1)])
def test_a_line_without_a_class_name_is_named(content, line, tmp_path):
    (tmp_path / 'classes.txt').write_text(content)
    with pytest.raises(ValueError, match=f'classes.txt, line {line}: the line is empty, expected one name a line'):
        labels_of(tmp_path, 'list.txt', 'a.mp4 0\n', classes='classes.txt', num_classes=3)


@pytest.mark.parametrize('classes', [['1', '2', '3'], ['2', '1', '0'], ['10', '20', '30'], ['01', '02', '03']])
def test_class_names_that_are_numbers_are_names(classes, tmp_path):
    text = ''.join(f'{name}.mp4 {name}\n' for name in classes)
    found = labels_of(tmp_path, 'list.txt', text, classes=classes)
    assert found == [(f'{name}.mp4', label) for label, name in enumerate(classes)]


def test_class_names_that_are_their_own_places_change_nothing(tmp_path):
    assert labels_of(tmp_path, 'list.txt', 'a.mp4 2\n', classes=['0', '1', '2']) == [('a.mp4', 2)]


def test_a_label_that_is_none_of_the_numbers_of_the_classes_is_named(tmp_path):
    with pytest.raises(ValueError, match='line 1: the label 0 is none of the class names 1, 2, 3, which are numbers'):
        labels_of(tmp_path, 'list.txt', 'a.mp4 0\nb.mp4 1\n', classes=['1', '2', '3'])


def test_a_label_that_may_be_a_number_or_a_name_is_refused(tmp_path):
    classes = ['1', 'run', '3']
    assert labels_of(tmp_path, 'list.txt', 'a.mp4 run\n', classes=classes) == [('a.mp4', 1)]
    with pytest.raises(ValueError, match='the label 1 may be the number or the name of a class'):
        labels_of(tmp_path, 'list.txt', 'a.mp4 1\n', classes=classes)


@pytest.mark.parametrize(
    ('content', 'num_classes', 'twice', 'instead'),
    [
        ('a.mp4 1 0 1\nb.mp4 0 1 0\n', 3, '1', "'a.mp4 0 2' for 'a.mp4 1 0 1'"),
        ('a.mp4 0 1\nb.mp4 0 1 0 0\n', 4, '0', "'b.mp4 1' for 'b.mp4 0 1 0 0'"),
        ('a.mp4 3 3\n', 4, '3', "'a.mp4 0 2' for 'a.mp4 1 0 1'"),
    ],
)
@pytest.mark.parametrize('delimiter', [' ', ','])
def test_a_label_twice_in_a_line_is_refused(content, num_classes, twice, instead, delimiter, tmp_path):
    name = 'list.csv' if delimiter == ',' else 'list.txt'
    with pytest.raises(ValueError, match=rf"has the label '{twice}' twice; where the columns are .*{instead}"):
        labels_of(tmp_path, name, content.replace(' ', delimiter), num_classes=num_classes, multi_class=True)


def test_columns_of_two_classes_are_no_labels(tmp_path):
    with pytest.raises(
        ValueError, match="list.txt, line 1: where the columns are 0 and 1 .* 'a.mp4 0' for 'a.mp4 1 0'"
    ):
        labels_of(tmp_path, 'list.txt', 'a.mp4 1 0\nb.mp4 0 1\n', num_classes=2, multi_class=True)
    assert labels_of(tmp_path, 'list.txt', 'a.mp4 0 1\nb.mp4 1\n', num_classes=2, multi_class=True) == [
        ('a.mp4', [1, 1]),
        ('b.mp4', [0, 1]),
    ]


def test_the_number_of_frames_in_lists_of_mmaction2_is_left_out(tmp_path):
    for name in ('v1', 'v2'):
        (tmp_path / 'd' / name).mkdir(parents=True)
    found = labels_of(tmp_path, 'rawframes.txt', 'd/v1 120 0\nd/v2 98 1\n', num_classes=2)
    assert found == [('d/v1', 0), ('d/v2', 1)]


@pytest.mark.parametrize(
    ('line', 'there', 'expected'),
    [
        ('frames 8 1', ['frames 8'], ('frames 8', 1)),
        ('frames 8 1', ['frames'], ('frames', 1)),
        ('frames 8 1', ['frames', 'frames 8'], None),
        ('frames 8 1', [], None),
        ('my dog run', ['my dog'], ('my dog', 2)),  # the classes are dog, dog run, run
        ('my dog run', ['my'], ('my', 1)),
        ('my dog run', [], None),
    ],
)
def test_a_path_that_ends_in_a_label_is_that_of_the_folder_that_there_is(line, there, expected, tmp_path):
    for name in there:
        (tmp_path / name).mkdir()
    classes = dict(classes=['dog', 'dog run', 'run'])
    if expected:
        assert labels_of(tmp_path, 'list.txt', f'{line}\n', **classes) == [expected]
    else:
        with pytest.raises(ValueError, match=f"list.txt, line 1: '{line}' may be .* or .*; put a comma between"):
            labels_of(tmp_path, 'list.txt', f'{line}\n', **classes)


@pytest.mark.parametrize('there', [['frames'], ['frames', 'frames 8'], ['frames', 'frames 8', 'frames 8 2'], []])
def test_several_labels_are_never_guessed(there, tmp_path):
    for name in there:
        (tmp_path / name).mkdir()
    more = dict(num_classes=9, multi_class=True)
    with pytest.raises(ValueError, match="'frames 8 2 4' may be .* put a comma between path and label"):
        labels_of(tmp_path, 'list.txt', 'frames 8 2 4\n', **more)
    [(path, labels)] = labels_of(tmp_path, 'list.csv', 'frames 8,2,4\n', **more)
    assert (path, [label for label, on in enumerate(labels) if on]) == ('frames 8', [2, 4])
    [(path, labels)] = labels_of(tmp_path, 'list.txt', 'frames 2\n', **more)
    assert (path, labels[2]) == ('frames', 1)


@pytest.mark.parametrize(
    ('classes', 'named'),
    [
        (['1.0', '2.0', '3.0'], '1.0'),
        (['+1', '+2', '+3'], '+1'),
        (['\uff11', '\uff12', '\uff13'], '\uff11'),
        (['1.', '2.', '3.'], '1.'),
        (['1 run', '2 jump', '3 sit'], '1 run'),
        (['1,run', '2,jump', '3,sit'], '1,run'),
        (['1. run', '2. jump', '3. sit'], '1. run'),
        (['jump 1', 'run 0', 'sit 2'], 'jump 1'),
        (['0 jump', '2 run', '1 sit'], '2 run'),
    ],
)
def test_a_class_file_that_numbers_the_classes_otherwise_is_refused(classes, named, tmp_path):
    (tmp_path / 'classes.txt').write_text('\n'.join(classes) + '\n')
    words = (
        f"the class name '{re.escape(named)}' in classes.txt is or has a number .*; write the names alone, one a line"
    )
    with pytest.raises(ValueError, match=words):
        labels_of(tmp_path, 'list.txt', 'a.mp4 1\n', classes='classes.txt')


@pytest.mark.parametrize(
    'classes',
    [
        ['0.', '1.', '2.'],
        ['0 run', '1 jump', '2 sit'],
        ['class 1', 'class 2', 'class 3'],
        ['100 m', '200 m', 'hurdles 2'],
        [0, 1, 2],
    ],
)
def test_names_that_hold_numbers_are_taken_where_they_mislead_nobody(classes, tmp_path):
    assert labels_of(tmp_path, 'list.txt', 'a.mp4 1\n', classes=classes) == [('a.mp4', 1)]


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        ('run\njump\nrun\n', "classes.txt, line 3: class names must differ, but 'run' occurs more than once"),
        ('run\njump\n', 'there are 2 class names but num_classes is 3 .*classes.txt'),
        ('run\njump\x1b[31m\nsit\n', 'classes.txt, line 2: the name .* is not taken, expected one line that can be'),
        ('run\njump\u2028up\nsit\n', 'classes.txt, line 2: the name .* is not taken'),
        ('a\u202eb\njump\nsit\n', 'classes.txt, line 1: the name .* is not taken'),
    ],
)
def test_class_names_that_no_checkpoint_could_hold_are_refused_before_training(content, words, tmp_path):
    (tmp_path / 'classes.txt').write_text(content)
    with pytest.raises(ValueError, match=words):
        labels_of(tmp_path, 'list.txt', 'a.mp4 1\n', classes='classes.txt', num_classes=3)


def test_marks_of_scripts_in_use_are_taken_before_training_and_from_a_checkpoint(tmp_path):
    names = ['a\u200eb', 'so\u00adfa', '\u0645\u06cc\u200c\u0631']
    assert labels_of(tmp_path, 'list.txt', 'a.mp4 so\u00adfa\n', classes=names) == [('a.mp4', 1)]
    assert classes_of(dict(meta=dict(classes=names)), 3) == names
