"""Class names of a file are texts that can be seen and told apart."""

import pytest

from mmtsf.weights import classes_of


@pytest.mark.parametrize(
    'name', ['', ' ', 'a\u202eb', '\u200bleft', '\ufeffa', 'a\u2066b', 'line\nend', '\x1b[31m', 'x' * 501, None, 5]
)
def test_names_that_cannot_be_seen_are_refused(name):
    for checkpoint in (dict(meta=dict(classes=['a', name])), dict(huggingface=dict(id2label={'0': 'a', '1': name}))):
        with pytest.raises(
            ValueError, match='are not taken: .*, expected a list of texts of one line that can be seen'
        ):
            classes_of(checkpoint, 2)


@pytest.mark.parametrize('place', ['meta', 'dataset_meta', 'huggingface'])
def test_names_that_are_there_twice_are_named(place):
    names = ['left', 'right', 'left']
    checkpoint = dict(
        meta=dict(meta=dict(classes=names)),
        dataset_meta=dict(meta=dict(dataset_meta=dict(classes=names))),
        huggingface=dict(huggingface=dict(id2label={str(i): name for i, name in enumerate(names)})),
    )[place]
    with pytest.raises(ValueError, match='class names in this checkpoint are there twice: left; expected'):
        classes_of(checkpoint, 3)


def test_names_of_all_scripts_are_taken():
    names = ['ünï', '左', 'می\u200cروم', '👩\u200d🍳', '$\\frac{$', '/etc/passwd', 'a\tb', '_under']
    assert classes_of(dict(meta=dict(classes=names)), len(names)) == names


@pytest.mark.parametrize('names', [['0', '1', '2'], ['LABEL_0', 'LABEL_1', 'LABEL_2']])
def test_numbers_of_labels_are_no_names(names):
    labels = {str(label): name for label, name in enumerate(names)}
    assert classes_of(dict(huggingface=dict(id2label=labels)), 3) is None
    assert classes_of(dict(meta=dict(classes=names)), 3) is None
    others = ['LABEL_1', 'LABEL_0', 'LABEL_2']
    assert classes_of(dict(meta=dict(classes=others)), 3) == others


@pytest.mark.parametrize(
    'labels', [{'1': 'a', '2': 'b'}, {'0': 'a', '2': 'b'}, ['a', 'b'], 'a,b', {}, {'0': 'a'}, {'0': 1, '1': 'b'}]
)
def test_an_odd_table_of_labels_is_named_with_its_file_and_the_remedy(labels):
    with pytest.raises(ValueError, match=r'expected .*delete i'):
        classes_of(dict(huggingface=dict(id2label=labels)), 2)
    with pytest.raises(ValueError, match='id2label of config.json'):
        classes_of(dict(huggingface=dict(id2label=labels)), 2)
