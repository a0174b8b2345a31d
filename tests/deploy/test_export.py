"""Exports of every scheme and variant against the model itself, in onnxruntime and in torch.export."""

from pathlib import Path

import pytest
import torch
from helpers import SCHEMES
from mmaction.structures import ActionDataSample
from runs import TINY

from mmtsf.commands import new_command
from mmtsf.config import load_config
from mmtsf.deploy.export import (
    ClipClassifier,
    OnnxClassifier,
    export_onnx,
    export_torch,
    exported,
    largest_difference,
)
from mmtsf.registry import MODELS

pytest.importorskip('onnxruntime')
TOLERANCE = 1e-4
SHALLOW = 'model.backbone.num_layers'


def classifier(config: str = TINY, normalises: bool = False, **changes) -> ClipClassifier:
    """A narrow model with random weights, of the geometry of a config."""
    model = load_config(config).model
    model.backbone.update(dict(embed_dims=48, num_heads=4, num_layers=2) | changes)
    model.backbone.init_cfg = None
    model.cls_head.in_channels = 48
    recognizer = MODELS.build(model)
    for parameter in recognizer.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return ClipClassifier(recognizer.eval(), normalises).eval()


@pytest.mark.parametrize(
    'attention',
    [
        pytest.param(name, marks=[pytest.mark.long] * (name != 'DividedAttention'))
        for name in (*SCHEMES, 'DividedAttention-keys')
    ],
)
def test_onnx_of_a_scheme_computes_the_same_for_any_batch_frames_and_size(attention: str, tmp_path: Path) -> None:
    kind, _, cls_token = attention.partition('-')
    model = classifier(attention=dict(type=kind, cls_token=cls_token or 'copies'), num_frames=4, num_layers=1)
    export_onnx(model, model.example(2, 4, 48, 48), tmp_path / 'model.onnx', dynamic=True)
    examples = [model.example(*shape) for shape in ((2, 4, 48, 48), (1, 4, 48, 48), (3, 6, 64, 48), (1, 2, 32, 96))]
    examples = examples if attention != 'LocalGlobalAttention' else examples[2:]  # an even number of patches
    difference = largest_difference(model, OnnxClassifier(tmp_path / 'model.onnx'), examples)
    print(f'{attention}: largest difference {difference:.1e}')
    assert difference < TOLERANCE


@pytest.mark.parametrize(
    ('attention', 'num_frames'),
    [
        ('LocalGlobalAttention', 2),
        pytest.param('LocalGlobalAttention', 4, marks=pytest.mark.long),
        pytest.param('AxialAttention', 2, marks=pytest.mark.long),
    ],
)
def test_a_torch_program_of_two_frames_takes_any_and_the_reverse(attention: str, num_frames: int, tmp_path) -> None:
    """Half of two frames is one frame, which the exporter would take as the only size."""
    model = classifier(attention=dict(type=attention), num_frames=num_frames, num_layers=1)
    export_torch(model, model.example(2, num_frames, 48, 48), tmp_path / 'model.pt2', dynamic=True)
    examples = [model.example(*shape) for shape in ((2, 2, 48, 48), (1, 4, 48, 48), (3, 6, 64, 48), (1, 2, 32, 96))]
    difference = largest_difference(model, exported(tmp_path / 'model.pt2', 'torch'), examples)
    assert difference < TOLERANCE


@pytest.mark.long
@pytest.mark.parametrize(
    'parts',
    [
        dict(embedding=dict(type='NormEmbedding'), mlp=dict(type='MLP', activation='quick_gelu')),
        dict(embedding=dict(type='RegisterEmbedding'), layer_scale=0.5),
        dict(embedding=dict(type='RegisterEmbedding'), position='time', step=dict(type='RotaryStep')),
    ],
    ids=['norm first', 'registers', 'rotary'],
)
@pytest.mark.parametrize('form', ['torch', 'onnx'])
def test_exports_have_the_parts_of_newer_image_models(parts: dict, form: str, tmp_path: Path) -> None:
    model = classifier(num_frames=4, **parts)
    export = export_onnx if form == 'onnx' else export_torch
    export(model, model.example(2, 4, 48, 48), tmp_path / 'model', dynamic=True)
    examples = [model.example(*shape) for shape in ((2, 4, 48, 48), (1, 4, 48, 48), (3, 6, 64, 48))]
    assert largest_difference(model, exported(tmp_path / 'model', form), examples) < TOLERANCE


def test_an_export_that_normalises_takes_rgb_of_a_model_that_saw_bgr(tmp_path: Path) -> None:
    config = load_config(TINY, {'model.data_preprocessor.to_rgb': True, 'start': None, SHALLOW: 1}).model
    recognizer = MODELS.build(config).eval()
    recognizer.init_weights()
    pixels = torch.randint(256, (1, 3, 8, 48, 48), dtype=torch.uint8)
    with torch.no_grad():
        data = recognizer.data_preprocessor(dict(inputs=[pixels], data_samples=[ActionDataSample()]))
        expected = recognizer.cls_head(recognizer.backbone(data['inputs'][0]))
    model = ClipClassifier(recognizer, normalises=True).eval()
    export_onnx(model, pixels, tmp_path / 'model.onnx')
    torch.testing.assert_close(
        torch.as_tensor(OnnxClassifier(tmp_path / 'model.onnx')(pixels)), expected, rtol=0, atol=TOLERANCE
    )
    assert not torch.allclose(model(pixels.flip(1)), expected, atol=10 * TOLERANCE)


@pytest.mark.parametrize(
    ('variant', 'shape'),
    [
        pytest.param('base', (8, 224, 224), marks=pytest.mark.long),  # 3 s each; L is the same with more frames
        pytest.param('hr', (16, 448, 448), marks=pytest.mark.long),
        ('l', (96, 224, 224)),
    ],
)
def test_onnx_of_a_variants_geometry_computes_the_same(variant: str, shape: tuple, tmp_path: Path) -> None:
    model = classifier(f'configs/timesformer_{variant}_k400.py', num_layers=1)
    export_onnx(model, model.example(1, *shape), tmp_path / 'model.onnx')
    difference = largest_difference(model, OnnxClassifier(tmp_path / 'model.onnx'), [model.example(1, *shape)])
    print(f'{variant}: largest difference {difference:.1e}')
    assert difference < TOLERANCE


@pytest.fixture
def export(capsys, tmp_path):
    """The command, in this process, on a checkpoint of the small model; returns what it prints."""
    recognizer = MODELS.build(load_config(TINY, {SHALLOW: 1}).model)
    recognizer.init_weights()
    for name, parameter in recognizer.named_parameters():
        if name.endswith('temporal_fc.weight'):
            torch.nn.init.normal_(parameter, std=0.1)  # zero only until it is trained
    torch.save(dict(state_dict=recognizer.state_dict()), tmp_path / 'model.pth')

    def run(*words: object) -> str:
        command, parser = new_command('export')
        args = parser.parse_args([TINY, str(tmp_path / 'model.pth'), *map(str, words)])
        args.cfg_options = [*args.cfg_options, f'{SHALLOW}=1']
        command.check(args)
        command.run(args)
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize('normalise', [pytest.param(False, marks=pytest.mark.long), True])  # int8 is without, too
def test_the_tool_checks_what_it_wrote(export, normalise, tmp_path):
    words = ['--normalise'] if normalise else []
    log = export(tmp_path / 'model.onnx', *words)
    assert 'largest difference of logits' in log
    kind = OnnxClassifier(tmp_path / 'model.onnx').session.get_inputs()[0].type
    assert kind == ('tensor(uint8)' if normalise else 'tensor(float)')


def test_torch_export_can_be_loaded_without_the_code(export, tmp_path):
    export(tmp_path / 'model.pt2', '--format', 'torch')
    program = torch.export.load(tmp_path / 'model.pt2').module()
    assert program(torch.randn(3, 3, 8, 48, 48)).shape == (3, 4)


def test_int8_is_compared_on_real_clips(export, motion, tmp_path):
    log = export(tmp_path / 'model.onnx', '--int8', '--cfg-options', f'data.root={motion}')
    assert 'real clips' in log
    assert 'times as fast as fp32' in log
    clips = torch.randn(2, 3, 8, 48, 48)
    assert OnnxClassifier(tmp_path / 'model.onnx')(clips).isfinite().all()


def test_an_export_over_tolerance_fails_and_leaves_what_was_there(export, monkeypatch, tmp_path):
    monkeypatch.setattr('mmtsf.deploy.export.largest_difference', lambda *_: 0.5)
    (tmp_path / 'model.onnx').write_text('precious')
    with pytest.raises(RuntimeError, match='the export differs by 5.0e-01, more than 1e-04; nothing was written'):
        export(tmp_path / 'model.onnx')
    assert (tmp_path / 'model.onnx').read_text() == 'precious'
    assert {path.name for path in tmp_path.iterdir()} == {'model.onnx', 'model.pth'}
