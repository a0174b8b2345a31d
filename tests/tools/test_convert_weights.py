"""Conversions there and back, and what stands in their way."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from helpers import SHARED, hugging_face_model, tiny_backbone
from safetensors.torch import load_file
from torch import Tensor, nn

from mmtsf.commands import new_command
from mmtsf.registry import MODELS
from mmtsf.weights import backbone_config, read_checkpoint, translate
from mmtsf.weights.write import write

transformers = pytest.importorskip('transformers')


@pytest.fixture
def convert(capsys):
    """The command, in this process: returns what it prints."""

    def run(*words: object) -> str:
        command, parser = new_command('convert')
        args = parser.parse_args(list(map(str, words)))
        command.check(args)
        command.run(args)
        return capsys.readouterr().out

    return run


def hugging_face(folder: Path, attention_type: str = 'divided_space_time') -> Path:
    """A small model as Hugging Face saves it."""
    id2label = {0: 'hop', 1: 'skip', 2: 'jump'}
    label2id = {name: label for label, name in id2label.items()}
    model = hugging_face_model(attention_type=attention_type, num_labels=3, id2label=id2label, label2id=label2id)
    model.save_pretrained(folder)
    return folder


def assert_identical(actual: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert set(actual) == set(expected)
    for key, value in expected.items():
        assert torch.equal(actual[key], value), key


@pytest.mark.parametrize('attention_type', ['divided_space_time', 'joint_space_time', 'space_only'])
@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
def test_hugging_face_there_and_back_is_identical(attention_type, suffix, convert, tmp_path):
    theirs = hugging_face(tmp_path / 'theirs', attention_type)
    ours, back = tmp_path / f'ours.{suffix}', tmp_path / 'back'
    log = convert(theirs, ours)
    assert 'weights matched' in log
    convert(ours, back, '--to', 'huggingface')
    assert_identical(load_file(back / 'model.safetensors'), load_file(theirs / 'model.safetensors'))
    model, info = transformers.TimesformerForVideoClassification.from_pretrained(back, output_loading_info=True)
    assert not any(info[key] for key in ('missing_keys', 'unexpected_keys', 'mismatched_keys'))
    assert model.config.id2label == {0: 'hop', 1: 'skip', 2: 'jump'}
    assert (model.config.num_frames, model.config.image_size, model.config.num_attention_heads) == (4, 48, 4)
    assert model.config.attention_type == attention_type


@pytest.mark.parametrize('name', ['divided_space_time', 'joint_space_time', 'space_only'])
def test_released_there_and_back_is_identical(name, convert, tmp_path):
    source = SHARED / f'data/parity/released_tiny_{name}.pyth'
    if not source.is_file():
        pytest.skip(f'{source} is not there')
    convert(source, tmp_path / 'ours.pth', '--num-heads', 4)
    convert(tmp_path / 'ours.pth', tmp_path / 'back.pyth', '--to', 'released')
    states = [torch.load(path, weights_only=True)['model_state'] for path in (tmp_path / 'back.pyth', source)]
    assert_identical(*states)


def test_a_checksum_lies_beside_the_file(convert, tmp_path):
    convert(hugging_face(tmp_path / 'theirs'), tmp_path / 'ours.safetensors')
    digest = hashlib.sha256((tmp_path / 'ours.safetensors').read_bytes()).hexdigest()
    assert (tmp_path / 'ours.safetensors.sha256').read_text() == f'{digest}  ours.safetensors\n'


def test_a_config_says_what_the_weights_become(convert, tmp_path):
    """An image model, for the frames, size and classes of a video model's config."""
    image = tiny_backbone('SpaceAttention', img_size=48, num_layers=2)
    torch.save(dict(state_dict={f'backbone.{k}': v for k, v in image.state_dict().items()}), tmp_path / 'image.pth')
    config = tmp_path / 'config.py'
    config.write_text(
        f"_base_ = '{Path('configs/timesformer_tiny_motion.py').absolute()}'\n"
        'clip = dict(num_frames=6, size=64)\n'
        'model = dict(backbone=dict(patch_size=16, embed_dims=48, num_heads=4, num_layers=2))\n'
    )
    log = convert(tmp_path / 'image.pth', tmp_path / 'video.safetensors', '--config', config)
    assert '1 resized: backbone.embedding.space 3 x 3 -> 4 x 4' in log
    assert '12 copied from the image attention: backbone.blocks.0.attention.steps.time.' in log
    assert '7 left at their own start: ' in log
    state = load_file(tmp_path / 'video.safetensors')
    assert state['backbone.embedding.time'].shape == (1, 6, 48)
    assert state['cls_head.fc_cls.weight'].shape == (4, 48)


def test_keys_without_a_place_are_an_error_unless_allowed_by_name(convert, tmp_path):
    theirs = hugging_face(tmp_path / 'theirs')
    state = load_file(theirs / 'model.safetensors')
    torch.save(dict(state, **{'timesformer.extra.weight': torch.zeros(1)}), tmp_path / 'more.pth')
    words = (tmp_path / 'more.pth', tmp_path / 'ours.pth', '--num-heads', 4)
    with pytest.raises(
        ValueError,
        match='the weights look like those of huggingface .divided attention., but 1 keys have no place: '
        'timesformer.extra.weight; name those that may be left out with --allow',
    ):
        convert(*words)
    assert not (tmp_path / 'ours.pth').exists()
    assert '1 not used: timesformer.extra.weight' in convert(*words, '--allow', r'timesformer\.extra\..*')


def test_another_architecture_is_named_by_its_keys():
    state = nn.TransformerEncoderLayer(8, 2).state_dict()
    with pytest.raises(
        ValueError, match='these weights are of no architecture that is known here .*self_attn.in_proj_w'
    ):
        translate(state)


def test_a_file_without_weights_is_named():
    with pytest.raises(ValueError, match='there are no weights in this checkpoint; its keys are epoch, meta'):
        translate(dict(epoch=3, meta={}))


@pytest.mark.parametrize('to', ['released', 'huggingface'])
@pytest.mark.parametrize('attention', [dict(type='AxialAttention'), dict(type='DividedAttention', order='parallel')])
def test_what_others_do_not_have_stays_here(attention, to, tmp_path):
    backbone = tiny_backbone(attention)
    state = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
    with pytest.raises(ValueError, match=f'{attention["type"]}.*exists in mmtsf only'):
        write(state, dict(backbone=dict(attention=attention)), tmp_path / 'out.pyth', to)


def test_rotary_positions_stay_here(tmp_path):
    attention = dict(type='DividedAttention')
    backbone = tiny_backbone(attention, position='rotary', img_size=32)
    state = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
    with pytest.raises(ValueError, match='released needs weights that this model does not have: model.pos_embed'):
        write(state, dict(backbone=dict(attention=attention)), tmp_path / 'out.pyth', 'released')


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / 'ours.safetensors'
    path.write_text('precious')
    with pytest.raises(TypeError):
        write(dict(weight=torch.zeros(2)), dict(backbone=object()), path)  # not to be written as JSON
    assert path.read_text() == 'precious'
    assert list(tmp_path.iterdir()) == [path]


def test_own_weights_without_their_config_are_refused(convert, tmp_path):
    torch.save(
        {f'backbone.{k}': v for k, v in tiny_backbone('DividedAttention').state_dict().items()}, tmp_path / 'a.pth'
    )
    with pytest.raises(ValueError, match='this file does not say what model it is of; give its config'):
        convert(tmp_path / 'a.pth', tmp_path / 'b.pth')


def test_converted_files_tell_their_model(convert, tmp_path):
    convert(hugging_face(tmp_path / 'theirs'), tmp_path / 'ours.safetensors')
    weights = translate(read_checkpoint(str(tmp_path / 'ours.safetensors')))
    backbone = MODELS.build(backbone_config(weights))
    assert (backbone.blocks[0].attention.steps['time'].num_heads, len(backbone.blocks)) == (4, 2)


def test_class_names_go_with_the_head_that_they_are_of(convert, tmp_path):
    theirs = hugging_face(tmp_path / 'theirs')
    words = f"_base_ = '{Path('configs/timesformer_tiny_motion.py').absolute()}'\nclip = dict(num_frames=4, size=48)\n"
    words += 'model = dict(backbone=dict(patch_size=16, embed_dims=48, num_heads=4, num_layers=2))\n'
    for number, expected in ((3, ['hop', 'skip', 'jump']), (5, None)):
        config = tmp_path / f'{number}.py'
        config.write_text(f'{words}data = dict(num_classes={number})\n')
        convert(theirs, tmp_path / 'ours.pth', '--config', config)
        assert read_checkpoint(str(tmp_path / 'ours.pth'))['meta']['classes'] == expected


@pytest.mark.parametrize('labels', ['/etc/hostname', ['hop', 'skip', 'jump'], {'0': 'hop', '1': 'skip'}, {'0': 1}])
def test_labels_of_another_kind_are_refused(labels, convert, tmp_path):
    theirs = hugging_face(tmp_path / 'theirs')
    config = json.loads((theirs / 'config.json').read_text())
    (theirs / 'config.json').write_text(json.dumps(dict(config, id2label=labels)))
    with pytest.raises(ValueError, match='class names in this checkpoint|id2label of config.json'):
        convert(theirs, tmp_path / 'ours.pth')
    assert not (tmp_path / 'ours.pth').exists()


@pytest.mark.parametrize('to', ['released', 'huggingface'])
@pytest.mark.parametrize(
    'options',
    [
        dict(attention=dict(type='DividedAttention', cls_token='all')),
        dict(attention=dict(type='DividedAttention', cls_token='keys')),
        dict(token_shift=True),
        dict(pool='mean'),
        dict(mlp=dict(type='MLP', activation='quick_gelu')),
        dict(last_norm_eps=1e-3),
    ],
)
def test_what_others_would_compute_otherwise_stays_here(options, to, tmp_path):
    """Their weights have the same names."""
    backbone = dict(dict(attention=dict(type='DividedAttention'), img_size=32), **options)
    state = {f'backbone.{key}': value for key, value in tiny_backbone(**backbone).state_dict().items()}
    with pytest.raises(ValueError, match='exists in mmtsf only'):
        write(state, dict(backbone=backbone), tmp_path / 'out.pyth', to)


def test_a_number_of_heads_beside_a_config_is_refused(convert, tmp_path):
    with pytest.raises(ValueError, match='--num-heads is for a model that the file tells; leave it out, or --config'):
        convert(hugging_face(tmp_path / 'theirs'), tmp_path / 'ours.pth', '--config', 'none.py', '--num-heads', 4)
