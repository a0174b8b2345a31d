"""Class names that travel with the package, and which names a model answers with."""

import json

import pytest
import torch
from runs import ROOT

from mmtsf.apis import init_recognizer
from mmtsf.datasets import VideoListDataset
from mmtsf.datasets.class_names import shipped_classes
from mmtsf.weights import read_checkpoint, translate, translate_back
from mmtsf.weights.write import write

COUNTS = dict(kinetics400=400, kinetics600=600, ssv2=174, diving48=48)
#: Some of every list: label and name
KNOWN = dict(
    kinetics400={0: 'abseiling', 5: 'archery', 232: 'playing guitar', 399: 'zumba'},
    kinetics600={0: 'abseiling', 1: 'acting in play', 599: 'zumba'},
    ssv2={0: 'Approaching something with your camera', 93: 'Pushing something from left to right'},
    diving48={0: 'Back+15som+05Twis+FREE', 30: 'Forward+Dive+NoTwis+STR', 47: 'Reverse+Dive+NoTwis+TUCK'},
)
SMALL = {
    'model.backbone.embed_dims': 64,
    'model.backbone.num_heads': 2,
    'model.backbone.num_layers': 1,
    'clip.num_frames': 2,
    'clip.size': 32,
    'start': None,
}


@pytest.mark.parametrize('dataset', COUNTS)
def test_a_data_set_has_its_names_in_the_order_of_its_annotations(dataset):
    names = shipped_classes(dataset)
    assert len(names) == len(set(names)) == COUNTS[dataset]
    assert {label: names[label] for label in KNOWN[dataset]} == KNOWN[dataset]
    assert names == sorted(names)  # as the official annotations of all four number them


@pytest.mark.parametrize(
    ('dataset', 'file'),
    [
        ('kinetics400', 'kinetics_label_map_k400.txt'),
        ('kinetics600', 'kinetics_label_map_k600.txt'),
        ('ssv2', 'something-something-v2-labels.json'),
        ('diving48', 'diving48_label_map.txt'),
    ],
)
def test_the_names_are_those_of_the_annotations(dataset, file):
    file = ROOT.parent / 'shared/data/labels' / file
    if not file.exists():
        pytest.skip('there are no annotations here')
    numbered = json.loads(file.read_text()) if file.suffix == '.json' else {}
    expected = sorted(numbered, key=lambda name: int(numbered[name])) or file.read_text().splitlines()
    assert shipped_classes(dataset) == expected


def test_names_that_are_not_shipped_are_refused():
    with pytest.raises(
        ValueError, match="no class names of 'k400' in this package, expected one of diving48, kinetics"
    ):
        shipped_classes('k400')


@pytest.fixture
def released(tmp_path):
    """Writes weights of a small model of so many classes as the released code does, without class names."""

    def write(num_classes: int = 400):
        options = SMALL | {'data.num_classes': num_classes}
        state = init_recognizer('mmtsf::timesformer_base_k400.py', device='cpu', options=options).state_dict()
        state = {key: value for key, value in state.items() if not key.startswith('data_preprocessor')}
        torch.save(dict(model_state=translate_back(state, 'released', 'divided')), tmp_path / 'released.pyth')
        return tmp_path / 'released.pyth'

    return write


@pytest.mark.parametrize('dataset', COUNTS)
def test_weights_without_names_answer_with_those_of_their_data_set(dataset, released):
    name = dict(kinetics400='k400', kinetics600='k600').get(dataset, dataset)
    config = f'mmtsf::timesformer_base_{name}.py'
    model = init_recognizer(config, released(COUNTS[dataset]), 'cpu', SMALL)
    assert model.dataset_meta['classes'] == shipped_classes(dataset)


def test_weights_of_another_number_of_classes_answer_with_numbers(released):
    model = init_recognizer('mmtsf::timesformer_base_k400.py', released(7), 'cpu', SMALL | {'data.num_classes': 7})
    assert model.dataset_meta['classes'] == list('0123456')


def test_names_of_ones_own_file_come_before(released, tmp_path):
    (tmp_path / 'mine.txt').write_text(''.join(f'task {label}\n' for label in range(400)))
    options = SMALL | {'data.classes': str(tmp_path / 'mine.txt')}
    model = init_recognizer('mmtsf::timesformer_base_k400.py', released(), 'cpu', options)
    assert model.dataset_meta['classes'][17] == 'task 17'


@pytest.mark.parametrize('names', [[str(label) for label in range(400)], [f'LABEL_{label}' for label in range(400)]])
def test_names_that_are_numbers_are_none(names, released, tmp_path):
    state = torch.load(released(), weights_only=True)['model_state']
    torch.save(dict(state_dict=state, meta=dict(dataset_meta=dict(classes=names))), tmp_path / 'numbers.pth')
    model = init_recognizer('mmtsf::timesformer_base_k400.py', tmp_path / 'numbers.pth', 'cpu', SMALL)
    assert model.dataset_meta['classes'] == shipped_classes('kinetics400')


def test_a_list_may_have_the_names_of_a_shipped_data_set(tmp_path):
    (tmp_path / 'list.txt').write_text('a.mp4 playing guitar\nb.mp4 399\n')
    dataset = VideoListDataset('list.txt', [], 400, str(tmp_path), default_classes='kinetics400')
    assert [dataset.get_data_info(index)['label'] for index in range(2)] == [232, 399]
    assert (
        VideoListDataset('list.txt', [], 401, str(tmp_path), default_classes='kinetics400', lazy_init=True).metainfo[
            'classes'
        ][0]
        == '0'
    )


@pytest.mark.parametrize(
    'names', [[f'task {label}' for label in range(400)], [f'LABEL_{label}' for label in range(400)]]
)
def test_a_folder_of_hugging_face_answers_with_its_own_words(names, released, tmp_path):
    weights = translate(read_checkpoint(str(released())))
    sizes = dict(patch_size=16, embed_dims=64, num_heads=2, num_layers=1, num_frames=2, img_size=32)
    meta = dict(backbone=dict(sizes, attention=dict(type='DividedAttention')), classes=names)
    write(weights.state, meta, tmp_path / 'theirs', 'huggingface')
    model = init_recognizer('mmtsf::timesformer_base_k400.py', tmp_path / 'theirs', 'cpu', SMALL)
    expected = names if names[0] == 'task 0' else shipped_classes('kinetics400')
    assert model.dataset_meta['classes'] == expected
