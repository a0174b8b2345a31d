"""What travels with weights is data: nothing in it is looked up, built, opened or believed."""

import json
import re
from pathlib import Path

import pytest
import torch
from growth import growth
from helpers import SCHEMES, hugging_face_model, tiny_backbone
from runs import ROOT
from runs import TINY as TINY_CONFIG
from safetensors.torch import save_file
from servers import serving
from torch import Tensor, nn

from mmtsf.apis import init_recognizer
from mmtsf.commands import new_command
from mmtsf.config import load_config
from mmtsf.models.attentions.scheme import CLS_TOKENS
from mmtsf.models.layers.clip_embedding import POSITION_INITS, POSITIONS
from mmtsf.registry import MODELS
from mmtsf.weights import Geometry, backbone_config, build, classes_of, load_weights, read_checkpoint, translate

TINY = dict(num_frames=4, img_size=(32, 64), patch_size=16, embed_dims=48, num_heads=4, num_layers=2)
DIVIDED = dict(type='DividedAttention')
CONFIGS = sorted(ROOT.glob('configs/*.py'))


def state_of(model: nn.Module) -> dict[str, Tensor]:
    return {f'backbone.{key}': value.contiguous() for key, value in model.state_dict().items()}


def written(path: Path, backbone: object, state: dict[str, Tensor] | None = None) -> Path:
    """A file of ours that tells this of its backbone."""
    state = state_of(tiny_backbone('DividedAttention')) if state is None else state
    if path.suffix == '.pth':
        torch.save(dict(state_dict=state, meta=dict(backbone=backbone)), path)
    else:
        save_file(state, path, metadata=dict(mmtsf=json.dumps(dict(backbone=backbone))))
    return path


def convert(*words: object) -> None:
    """The tool, in this process."""
    command, parser = new_command('convert')
    args = parser.parse_args(list(map(str, words)))
    command.check(args)
    command.run(args)


def runs_code(marker: Path) -> list[object]:
    """Backbones of which a registry would make a process that makes ``marker``."""
    whole = dict(type='TimeSformer', attention=DIVIDED, **TINY)
    touch = [dict(type=name, **{word: f'touch {marker}'}) for name, word in RUNS]
    touch[1]['shell'] = True
    return [
        *touch,
        *(dict(whole, attention=code) for code in touch),
        *(dict(whole, mlp=code) for code in touch),
        dict(whole, norm=touch[0]),
        dict(whole, init_cfg=touch[0], attention=dict(DIVIDED, norm=touch[0])),
        dict(whole, attention=[touch[0]]),
        dict(whole, embed_dims=touch[0]),
        dict(whole, _scope_='os'),
        dict(whole, attention=dict(DIVIDED, _scope_='subprocess')),
    ]


RUNS = (('os.system', 'command'), ('subprocess.Popen', 'args'))


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_nothing_that_a_file_tells_of_its_model_is_run(suffix, tmp_path):
    marker = tmp_path / 'marker'
    for number, backbone in enumerate(runs_code(marker)):
        path = written(tmp_path / f'{number}{suffix}', backbone)
        with pytest.raises(ValueError, match=r'what this file tells of its model is not taken: .*; give its config'):
            convert(path, tmp_path / 'out.pth')
        with pytest.raises(ValueError, match='what this file tells of its model is not taken'):
            build(translate(read_checkpoint(str(path))))
    assert not marker.exists()
    MODELS.build(runs_code(marker)[0])
    assert marker.exists()  # so it was no dud
    assert not (tmp_path / 'out.pth').exists()


def test_the_start_of_a_model_is_not_fetched(tmp_path):
    """``init_cfg`` comes with the checkpoints of version 0.1."""
    with serving() as server:
        start = dict(type='Pretrained', checkpoint=server.url())
        backbone = dict(type='TimeSformer', attention=DIVIDED, init_cfg=[start], compiled=True, with_cp=True, **TINY)
        convert(written(tmp_path / 'mine.pth', backbone), tmp_path / 'out.safetensors')
        assert not server.asked
    told = read_checkpoint(str(tmp_path / 'out.safetensors'))['meta']['backbone']
    assert not {'init_cfg', 'compiled', 'with_cp'} & set(told)


def test_a_model_of_a_users_own_is_not_looked_up(tmp_path):
    made = []

    @MODELS.register_module()
    class OfAUser(nn.Module):
        def __init__(self, **_) -> None:
            made.append(self)

    try:
        for backbone in (dict(type='OfAUser'), dict(TINY, attention=dict(type='OfAUser'))):
            with pytest.raises(ValueError, match="is 'OfAUser', expected .*; give its config"):
                build(translate(read_checkpoint(str(written(tmp_path / 'mine.pth', backbone)))))
    finally:
        MODELS.module_dict.pop('OfAUser')
    assert not made


@pytest.mark.parametrize(
    'name', ['torch.hub.load', 'builtins.eval', 'mmtsf.models.TimeSformer', ['TimeSformer'], 3, None]
)
def test_names_are_those_of_a_closed_list(name):
    for backbone in (dict(type=name, attention=DIVIDED), dict(attention=dict(type=name))):
        with pytest.raises(
            ValueError, match='type is .*, expected (one of TimeSformer|the name of an attention scheme)'
        ):
            Geometry.parse(backbone)


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (dict(num_layers=10**9), 'num_layers is 1000000000, expected a whole number from 1 to 1,000'),
        (dict(num_layers=True), 'num_layers is True, expected a whole number'),
        (dict(num_layers=0), 'num_layers is 0, expected a whole number'),
        (dict(num_frames=2**40), 'num_frames is 1099511627776, expected a whole number'),
        (dict(num_frames=float('nan')), 'num_frames is nan, expected a whole number'),
        (dict(img_size=[10**9, 10**9]), r'img_size is \[1000000000, 1000000000\], expected a whole number .*, or two'),
        (dict(img_size=[224]), r'img_size is \[224\], expected'),
        (dict(img_size=[1e9, 1e9]), 'img_size is .*, expected'),
        (dict(img_size=None), 'img_size is None, expected'),
        (dict(patch_size=0), 'patch_size is 0, expected'),
        (dict(patch_size=-16), 'patch_size is -16, expected'),
        (dict(patch_size=16.0), 'patch_size is 16.0, expected'),
        (dict(patch_size='16'), "patch_size is '16', expected"),
        (dict(embed_dims=[48]), r'embed_dims is \[48\], expected'),
        (dict(num_heads=10**6), 'num_heads is 1000000, expected'),
        (dict(norm_eps=float('inf')), 'norm_eps is inf, expected a number from 0 to 1'),
        (dict(norm_eps=float('nan')), 'norm_eps is nan, expected'),
        (dict(drop_path_rate=-1), 'drop_path_rate is -1, expected'),
        (
            dict(position='torch.load'),
            "position is 'torch.load', expected one of none, space, time, space_time, rotary",
        ),
        (dict(token_shift=1), 'token_shift is 1, expected True or False'),
        (dict(mlp=dict(ratio=1e300)), 'ratio is 1e[+]300, expected a number'),
        (dict(mlp=dict(hidden=3)), "'hidden' is no option of Hidden"),
        (dict(mlp=None), 'mlp is None, expected a dict'),
        (dict(attention=None), 'attention is None, expected a dict'),
        (dict(attention=dict(DIVIDED, order='space')), "order is 'space', expected time, space in some order"),
        (
            dict(attention=dict(DIVIDED, order='a' * 10**8)),
            r"order is 'a+\.\.\.a+', expected time, space in some order",
        ),
        (dict(attention=dict(DIVIDED, order=['time'])), r"order is \['time'\], expected None or a text"),
        (dict(attention=dict(DIVIDED, head_dims=-1)), 'head_dims is -1, expected None or a whole number'),
        (dict(depth=12), "'depth' is no option of Geometry, expected .*num_layers"),
        ({7: 1}, 'the config of the backbone is .*, expected a dict with names'),
    ],
)
def test_values_stay_in_their_ranges(changes, words):
    with pytest.raises(ValueError, match=words) as error:
        Geometry.parse(dict(attention=DIVIDED, **TINY) | changes)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize('told', [None, [], 'TimeSformer', 7, ['TimeSformer'], [dict(type='TimeSformer')]])
def test_what_is_no_config_is_named(told, tmp_path):
    with pytest.raises(ValueError, match='this file does not say what model it is of|expected a dict with names'):
        build(translate(read_checkpoint(str(written(tmp_path / 'mine.pth', told)))))


@pytest.mark.parametrize('config', CONFIGS, ids=[path.stem for path in CONFIGS])
def test_every_shipped_model_tells_itself(config):
    """As the checkpoints of version 0.1 do, with all that their configs have."""
    backbone = load_config(str(config)).model.backbone.to_dict()
    assert 'init_cfg' in backbone
    geometry = Geometry.parse(backbone).config()
    assert backbone['type'] == geometry['type']
    for name in ('num_frames', 'patch_size', 'embed_dims', 'num_heads', 'num_layers', 'drop_path_rate'):
        assert geometry[name] == backbone[name]
    assert backbone['attention'].items() <= geometry['attention'].items()


@pytest.mark.parametrize('options', [{}, dict(position='rotary', mlp=dict(type='GatedMLP', ratio=2), token_shift=True)])
@pytest.mark.parametrize('scheme', SCHEMES)
def test_a_model_comes_back_from_what_it_tells(scheme, options, tmp_path):
    attention = dict(type=scheme, cls_token='all', qkv_bias=False)
    theirs = tiny_backbone(attention, **options)
    told = dict(attention=attention, **TINY, **options)
    weights = translate(read_checkpoint(str(written(tmp_path / 'mine.safetensors', told, state_of(theirs)))))
    ours = build(weights).eval()
    load_weights(weights, ours, may_start_fresh=False)
    clips = torch.randn(1, 3, 4, 32, 64)
    with torch.no_grad():
        assert torch.equal(ours.backbone(clips), theirs(clips))


def test_the_closed_lists_are_the_models_own():
    for name, known in (('position', POSITIONS), ('position_init', POSITION_INITS)):
        for word in known:
            Geometry.parse(dict(attention=DIVIDED, **{name: word}))
    for word in CLS_TOKENS:
        Geometry.parse(dict(attention=dict(DIVIDED, cls_token=word)))
    for scheme in SCHEMES:
        Geometry.parse(dict(attention=dict(type=scheme)))


def huge_by_layers(state: dict[str, Tensor]) -> dict:
    return dict(TINY, attention=DIVIDED, num_layers=1000)


def huge_by_a_name(state: dict[str, Tensor]) -> dict:
    state['backbone.blocks.999.norm.weight'] = torch.ones(48)
    return dict(TINY, attention=DIVIDED, num_layers=1000)


def huge_by_small_blocks(state: dict[str, Tensor]) -> dict:
    state.update({f'backbone.blocks.{block}.norm.weight': torch.ones(48) for block in range(300)})
    return dict(TINY, attention=DIVIDED, num_layers=300)


def huge_by_width(state: dict[str, Tensor]) -> dict:
    return dict(TINY, attention=DIVIDED, embed_dims=48_000)


def huge_by_the_hidden_layer(state: dict[str, Tensor]) -> dict:
    return dict(TINY, attention=DIVIDED, mlp=dict(ratio=1000))


def huge_by_heads(state: dict[str, Tensor]) -> dict:
    return dict(TINY, attention=dict(DIVIDED, head_dims=100_000))


def huge_by_a_table(state: dict[str, Tensor]) -> dict:
    return dict(TINY, attention=DIVIDED, img_size=96_000)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (huge_by_layers, 'num_layers is 1000, and 2 by its weights'),
        (huge_by_a_name, 'the weights have blocks 0, 1, 999, expected all from 0 on'),
        (huge_by_small_blocks, r'a model of which \d+ weights are missing in it, or of another size'),
        (huge_by_width, 'embed_dims is 48000, and 48 by its weights'),
        (
            huge_by_the_hidden_layer,
            r'8 weights are missing in it, or of another size|\d+ weights are missing in it, or of',
        ),
        (huge_by_heads, r'\d+ weights are missing in it, or of another size'),
        (huge_by_a_table, r'img_size is \(96000, 96000\), and \(32, 64\) by its weights'),
    ],
)
def test_a_small_file_makes_no_large_model(change, words, tmp_path):
    state = state_of(tiny_backbone('DividedAttention'))
    path = written(tmp_path / 'mine.safetensors', change(state), state)
    error, megabytes = growth(lambda: build(translate(read_checkpoint(str(path)))))
    assert re.search(words, error), error
    assert 'give its config' in error
    assert megabytes < 100


def test_heads_that_do_not_divide_are_named(tmp_path):
    path = written(tmp_path / 'mine.pth', dict(TINY, attention=DIVIDED, num_heads=7))
    with pytest.raises(ValueError, match='embed_dims 48 is not divisible by num_heads 7'):
        build(translate(read_checkpoint(str(path))))


def test_another_number_of_heads_than_the_file_says_is_refused(tmp_path):
    weights = translate(read_checkpoint(str(written(tmp_path / 'mine.pth', dict(TINY, attention=DIVIDED)))))
    with pytest.raises(ValueError, match='num_heads is 3, and this file says 4; leave it out'):
        backbone_config(weights, num_heads=3)
    assert backbone_config(weights, num_heads=4)['num_heads'] == 4
    state = hugging_face_model().state_dict()
    with pytest.raises(ValueError, match='num_heads is 0, expected a whole number'):
        backbone_config(translate(state), num_heads=0)


@pytest.mark.parametrize(
    ('name', 'value', 'words'),
    [
        ('num_hidden_layers', 10**9, 'config.json is not taken: num_layers is 1000000000, expected'),
        ('num_hidden_layers', 3, 'num_layers is 3, and 2 by its weights'),
        ('hidden_size', '48', "config.json is not taken: embed_dims is '48', expected"),
        ('hidden_size', 96, 'embed_dims is 96, and 48 by its weights'),
        ('image_size', [1e9, 1e9], 'config.json is not taken: img_size is'),
        ('patch_size', 0, 'config.json is not taken: patch_size is 0'),
        ('num_frames', 2**40, 'config.json is not taken: num_frames is 1099511627776'),
        ('num_attention_heads', None, 'config.json is not taken: num_heads is None'),
        ('layer_norm_eps', float('nan'), 'config.json is not taken: norm_eps is nan'),
        ('qkv_bias', 'os.system', "config.json is not taken: qkv_bias is 'os.system', expected True or False"),
        ('qkv_bias', False, 'config.json has qkv_bias False, expected True for these weights'),
        ('intermediate_size', 7, 'config.json has intermediate_size 7, expected '),
        ('hidden_act', 'relu', "config.json has hidden_act 'relu', expected 'gelu'"),
        ('hidden_act', dict(type='os.system'), 'config.json has hidden_act .*os.system.*, expected'),
        ('attention_type', 'space_only', "config.json has attention_type 'space_only', expected 'divided_space_time'"),
        ('attention_type', ['divided'], r"config.json has attention_type \['divided'\], expected"),
    ],
)
def test_a_config_of_hugging_face_is_data(name, value, words, tmp_path):
    hugging_face_model().save_pretrained(tmp_path)
    config = json.loads((tmp_path / 'config.json').read_text())
    (tmp_path / 'config.json').write_text(json.dumps(dict(config, **{name: value})))
    with pytest.raises(ValueError, match=words):
        build(translate(read_checkpoint(str(tmp_path))))


NAMES = ['one', 'two', 'three']


@pytest.mark.parametrize(
    'classes',
    [
        'PATH',
        ['PATH', 7, 'three'],
        ['one', 'two'],
        ['one', 'two', 'three', 'four'],
        ['name'] * 10**5,
        ['one', 'two', 'x' * 10**6],
        ['one', 'two\nPATH', 'three'],
        ['one', '\x1b[31mtwo', 'three'],
        ['one', None, 'three'],
        dict(one=1, two=2, three=3),
        7,
        torch.ones(3),
    ],
    ids=lambda value: str(value)[:20],
)
@pytest.mark.parametrize('place', ['meta', 'dataset_meta', 'huggingface'])
def test_class_names_are_a_list_of_texts(classes, place, tmp_path):
    file = tmp_path / 'names.txt'
    file.write_text('\n'.join(NAMES))
    classes = str(file) if classes == 'PATH' else classes
    if isinstance(classes, list):
        classes = [str(file) if name == 'PATH' else name for name in classes]
    if place == 'huggingface':
        labels = dict(zip(map(str, range(len(classes))), classes)) if isinstance(classes, list) else classes
        checkpoint = dict(huggingface=dict(id2label=labels))
    else:
        checkpoint = dict(meta=dict(classes=classes) if place == 'meta' else dict(dataset_meta=dict(classes=classes)))
    with pytest.raises(ValueError, match='class names in this checkpoint|id2label of config.json') as error:
        classes_of(checkpoint, 3)
    assert len(str(error.value)) < 300


def test_a_path_among_class_names_is_a_name(tmp_path):
    names = ['/etc/hostname', '../secret.txt', 'ünï\tcode']
    assert classes_of(dict(meta=dict(classes=tuple(names))), 3) == names
    labels = {'2': names[2], '0': names[0], '1': names[1]}
    assert classes_of(dict(huggingface=dict(id2label=labels)), 3) == names
    assert classes_of(dict(meta=dict(dataset_meta=dict(classes=names), classes=None)), 3) == names
    assert classes_of(dict(meta={}), 3) is classes_of({}, 3) is None


@pytest.mark.parametrize('labels', [['one'] * 3, {'0': 'one', '2': 'two', '3': 'three'}, {'a': 'one'}])
def test_labels_that_are_not_numbered_are_refused(labels):
    with pytest.raises(ValueError, match='class names in this checkpoint|id2label of config.json'):
        classes_of(dict(huggingface=dict(id2label=labels)), 3)


def test_a_meta_of_the_data_set_that_is_no_dict_is_named():
    with pytest.raises(ValueError, match="dataset_meta in this checkpoint is '/etc/hostname', expected a dict"):
        classes_of(dict(meta=dict(dataset_meta='/etc/hostname')), 3)


def test_a_recognizer_opens_no_file_of_class_names_that_a_checkpoint_names(tiny_checkpoint, tmp_path):
    secret = tmp_path / 'secret.txt'
    secret.write_text('\n'.join(['a', 'b', 'c', 'd']))
    content = torch.load(tiny_checkpoint, weights_only=True)
    content['meta']['dataset_meta'] = dict(classes=str(secret))
    torch.save(content, tmp_path / 'model.pth')
    with pytest.raises(
        ValueError, match='the class names in this checkpoint are not taken: .*expected a list of texts'
    ):
        init_recognizer(ROOT / TINY_CONFIG, tmp_path / 'model.pth', 'cpu')
