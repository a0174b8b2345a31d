"""Trainings that fit small cards: adapters, parts of a model, states of 8 bits."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.config import Config
from runs import TINY, in_process
from safetensors.torch import load_file
from test_resume import motion, runner_of  # noqa: F401  # a fixture
from torch import Tensor

from mmtsf.apis import init_recognizer
from mmtsf.config import load_config
from mmtsf.deploy.export import ClipClassifier
from mmtsf.engine.hooks import CheckpointHook
from mmtsf.engine.optimizers import OptimWrapper, adamw_8bit
from mmtsf.engine.runner import Runner
from mmtsf.engine.runner.check_optimizer import check_optimizer
from mmtsf.engine.runner.run_record import RunRecord
from mmtsf.models.adapters import freeze_image_part, without_adapters
from mmtsf.registry import MODELS

SHAPE = {'model.backbone.num_layers': 1, 'data.num_classes': 4}
LORA = {'recipe': 'lora', 'training.adapters.rank': 64, 'training.adapters.targets': ['attention', 'mlp']}
EIGHT = {'optim_wrapper.optimizer.type': 'AdamW8bit'}
#: Trainings by name: changes, and names of weights that learn
KINDS: dict[str, tuple[dict, tuple[str, ...]]] = {
    'lora': ({**LORA, **EIGHT, 'training.adapters.dropout': 0.2}, ('lora_', 'embedding.time', 'cls_head')),
    'frozen_time': (
        {'recipe': 'frozen_time', 'custom_hooks': [dict(type='EMAHook', momentum=0.1)]},
        ('steps.time.', 'embedding.time', 'cls_head'),
    ),
}


@pytest.fixture(scope='module')
def base(tmp_path_factory) -> str:
    """Weights to start from."""
    config = load_config(TINY, SHAPE)
    model = MODELS.build(config.model)
    model.init_weights()
    path = tmp_path_factory.mktemp('base') / 'base.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=dict(backbone=config.model.backbone.to_dict())), path)
    return str(path)


@pytest.fixture(scope='module')
def trained(base, motion, tmp_path_factory) -> Callable[[str], Path]:  # noqa: F811
    """Work dir of a training of two epochs of four iterations, with all of its checkpoints."""
    folder = tmp_path_factory.mktemp('trained')

    def work_dir(kind: str) -> Path:
        if not (folder / kind).exists():
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(CheckpointHook, '_remove', lambda *_: None)
                runner_of(folder / kind, motion, **changes_of(kind, base)).train()
        return folder / kind

    return work_dir


def changes_of(kind: str, base: str) -> dict[str, Any]:
    return {**KINDS[kind][0], 'start': base, 'default_hooks.checkpoint.iterations': 2}


def parts(path: Path, *names: str) -> list[Any]:
    checkpoint = torch.load(path, weights_only=True)
    return [checkpoint[name] for name in names]


def scores(checkpoint: Path | str, **changes: Any) -> Tensor:
    options = {**SHAPE, **LORA, **changes}
    model = init_recognizer(TINY, checkpoint, 'cpu', options)
    with torch.no_grad():
        return model.cls_head(model.backbone(clips()))


def clips() -> Tensor:
    return torch.randn(2, 3, 8, 48, 48, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('kind', KINDS)
def test_what_learns_and_nothing_else_goes_on_in_mid_epoch_bit_for_bit(kind, base, trained, motion, tmp_path):  # noqa: F811
    run, names = trained(kind), ('state_dict', 'optimizer')
    runner_of(tmp_path / 'run', motion, resume=run / 'iter_6.pth', **changes_of(kind, base)).train()
    for whole, again in zip(parts(run / 'epoch_2.pth', *names), parts(tmp_path / 'run/epoch_2.pth', *names)):
        torch.testing.assert_close(again, whole, rtol=0, atol=0)
    (before,), (after, optimizer) = parts(base, 'state_dict'), parts(run / 'epoch_2.pth', *names)
    learning = KINDS[kind][1]
    changed = {key for key in after if key not in before or not torch.equal(after[key], before[key])}
    assert changed
    assert changed <= {key for key in after if any(name in key for name in learning)}
    moments = [value for state in optimizer['state'].values() for value in state.values()]
    assert any(torch.is_tensor(value) and value.dtype == torch.uint8 for value in moments) == (kind == 'lora')
    assert len(optimizer['state']) <= sum(any(name in key for name in learning) for key in after)


def test_adapters_as_layers_as_a_small_file_and_merged_give_the_same_scores(base, trained, tmp_path):
    whole, small, merged = trained('lora') / 'epoch_2.pth', tmp_path / 'a.safetensors', tmp_path / 'm.pth'
    in_process('convert', whole, small, '--to', 'adapters')
    in_process('convert', whole, merged)
    plain, expected = {'training.adapters': None}, scores(whole)
    assert (expected - scores(base, **plain)).abs().max() > 1e-3
    for given, changes in ((small, {}), (small, plain), (whole, plain), (merged, plain)):
        torch.testing.assert_close(scores(given, start=base, **changes), expected, rtol=0, atol=1e-5)
    assert not any('mlp.0.weight' in key for key in load_file(small))
    (tmp_path / 'config.py').write_text(f'_base_ = {str(Path(TINY).resolve())!r}\nstart = {base!r}\nmodel = dict(')
    with (tmp_path / 'config.py').open('a') as config:
        config.write('backbone=dict(num_layers=1))\n')
    in_process('convert', small, tmp_path / 'again.pth', '--config', tmp_path / 'config.py')
    torch.testing.assert_close(scores(tmp_path / 'again.pth', **plain), expected, rtol=0, atol=1e-5)
    in_process('convert', small, tmp_path / 'copy.safetensors', '--to', 'adapters')
    exported = ClipClassifier(init_recognizer(TINY, whole, 'cpu', {**SHAPE, **LORA})).eval()
    torch.testing.assert_close(exported(clips()), expected, rtol=0, atol=1e-5)
    for changes, words in (
        ({'start': None}, f'trained on {base}, and the model has other weights; set start'),
        ({'start': str(small)}, 'these are adapters, which no model starts from'),
        ({'start': base, 'training.adapters.rank': 4}, 'rank 4, .* set training.adapters.rank=64'),
        ({'start': base, 'training.adapters.alpha': 4}, 'set training.adapters.alpha=16'),
        ({'start': base, 'training.adapters.targets': ['qkv']}, r'set training.adapters.targets=\[attention, mlp\]'),
        ({'start': base, 'training.adapters.targets': ['qvk']}, "targets has 'qvk', which no name has"),
        ({'start': base, 'training.adapters.rnk': 4}, 'expected a dict of rank, alpha'),
        ({'start': base, 'training.adapters.whole': ['blocks']}, 'leaves none of adapters.targets .* an adapter'),
        ({'start': 5}, r'the checkpoint \(start, load_from\) is 5, expected a path'),
        ({'start': base, 'training.frozen': True}, 'with adapters, which freeze the rest, False'),
    ):
        with pytest.raises(ValueError, match=words):
            scores(small, **changes)
    with pytest.raises(ValueError, match='has no adapters, .* set training.adapters=None'):
        scores(merged)
    with pytest.raises(ValueError, match='has no adapters; only one of a training with recipe=lora'):
        in_process('convert', merged, tmp_path / 'none.pth', '--to', 'adapters')
    with pytest.raises(ValueError, match='these are adapters of .*give the config'):
        in_process('convert', small, tmp_path / 'none.pth')


def edited(small: Path, path: Path, change: Callable[[dict], None]) -> Path:
    checkpoint = torch.load(small, weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, path)
    return path


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda c: c['meta']['adapters'].update(rank=10**9), 'rank is 1000000000, expected a whole number'),
        (lambda c: c['meta']['adapters'].update(targets='os.system'), 'targets is .os.system., expected names'),
        (lambda c: c['meta']['adapters'].update(digest='../../x'), 'expected 64 digits'),
        (lambda c: c['meta']['adapters'].update(base=['x']), 'expected a name'),
        (lambda c: c['meta'].update(adapters=[1]), 'expected a dict'),
        (lambda c: c['state_dict'].update({'backbone.norm.weight': torch.zeros(64)}), 'which they do not learn'),
        (lambda c: cut(c, 'lora_A'), 'one of rank 64'),
        (
            lambda c: drop(c, '0.mlp.0.lora_'),
            r"adapters of \['attention', 'mlp'\] .*: 0.mlp.0.lora_A.weight, 0.mlp.0.lora",
        ),
        (lambda c: c['meta']['adapters'].update(targets=['mlp']), r"adapters of \['mlp'\] .*: 0.attention.steps"),
    ],
)
def test_a_file_of_adapters_is_data_of_a_known_form(change, words, base, trained, tmp_path):
    in_process('convert', trained('lora') / 'epoch_2.pth', tmp_path / 'a.pth', '--to', 'adapters')
    odd = edited(tmp_path / 'a.pth', tmp_path / 'b.pth', change)
    with pytest.raises(ValueError, match=words):
        scores(odd, start=base, **{'training.adapters': None})
    if 'adapters of' in words:  # as layers, too
        targets = torch.load(odd, weights_only=True)['meta']['adapters']['targets']
        with pytest.raises(ValueError, match=words):
            scores(odd, start=base, **{'training.adapters.targets': targets})


def drop(checkpoint: dict, name: str) -> None:
    state = checkpoint['state_dict']
    for key in [key for key in state if name in key]:
        del state[key]


def cut(checkpoint: dict, name: str) -> None:
    key = next(key for key in checkpoint['state_dict'] if name in key)
    checkpoint['state_dict'][key] = checkpoint['state_dict'][key][:1].clone()


SECRET = 'https://me:S3CRET word@h/x.pth?X-Amz-Signature=S3CRET' + 400 * '&x=S3CRET'


def test_no_secret_and_no_endless_name_of_a_start_is_in_a_checkpoint(base, trained, motion, tmp_path, monkeypatch):  # noqa: F811
    folder, other = tmp_path / 'run', {**changes_of('lora', base), 'max_epochs': 1}
    runner = runner_of(folder, motion, **other)
    runner.cfg.model.backbone.init_cfg.checkpoint = runner.cfg.start = SECRET  # as the weights of an address
    runner.model.init_weights = lambda: None  # it is not to be had
    runner.train()
    (meta, hub) = parts(folder / 'epoch_1.pth', 'meta', 'message_hub')
    assert 'S3CRET' not in f'{meta}{hub}'
    assert meta['adapters']['base'] == 'https://***@h/x.pth?***'
    again = runner_of(folder, motion, resume=folder / 'epoch_1.pth', **other)
    again.cfg.model.backbone.init_cfg.checkpoint = again.cfg.start = SECRET
    told: list[str] = []
    monkeypatch.setattr(again.logger, 'warning', told.append)
    again.load_or_resume()
    assert not told
    checkpoint = edited(folder / 'epoch_1.pth', tmp_path / 'long.pth', lambda c: c['meta']['backbone'].clear())
    checkpoint = edited(checkpoint, checkpoint, lambda c: c['meta']['adapters'].update(base=5000 * 'x'))
    scores(checkpoint)  # which version 1.0 wrote
    in_process('convert', checkpoint, tmp_path / 'a.safetensors', '--to', 'adapters')
    assert (tmp_path / 'a.safetensors').stat().st_mode == checkpoint.stat().st_mode
    with pytest.raises(ValueError, match='x' * 1000 + ', and'):
        scores(tmp_path / 'a.safetensors', start=None)


def test_a_training_starts_from_a_file_of_adapters_with_its_base(base, trained, motion, tmp_path):  # noqa: F811
    in_process('convert', trained('lora') / 'epoch_2.pth', tmp_path / 'a.pth', '--to', 'adapters')
    runner = runner_of(tmp_path / 'run', motion, start=base, **LORA)
    runner.model.init_weights()
    runner.load_checkpoint(str(tmp_path / 'a.pth'))
    (expected,) = parts(trained('lora') / 'epoch_2.pth', 'state_dict')
    torch.testing.assert_close(dict(runner.model.state_dict()), dict(expected), rtol=0, atol=0)


@pytest.mark.parametrize('scheme', ['SpaceAttention', 'JointAttention'])
def test_a_scheme_that_adds_nothing_to_an_image_model_is_refused(scheme):
    config = load_config(TINY, {**SHAPE, 'recipe': 'frozen_time', 'model.backbone.attention.type': scheme})
    with pytest.raises(ValueError, match=f'{scheme} adds no attention step; use DividedAttention, or recipe=lora'):
        MODELS.build(config.model)


def test_parts_of_other_backbones_are_refused():
    with pytest.raises(ValueError, match="frozen='image' is for a TimeSformer, and the backbone is Linear"):
        freeze_image_part(torch.nn.Linear(1, 1))


def adapted(**changes: Any) -> Any:
    config = load_config(TINY, {**SHAPE, **LORA, 'start': None, **changes})
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    model.init_weights()
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.05)
    return model


@pytest.mark.parametrize(('with_cp', 'dropout'), [(False, 0.0), (True, 0.0), (False, 0.3)])
def test_products_of_ours_are_those_of_peft_in_values_and_gradients(with_cp, dropout, monkeypatch):
    model = adapted(**{'training.adapters.dropout': dropout, 'model.backbone.with_cp': with_cp}).train()
    weights = torch.randn(64)
    results = []
    for has_products in (True, False):
        if not has_products:
            monkeypatch.setattr('mmtsf.models.kernels.through.has_products', lambda module: False)
        torch.manual_seed(1)
        model.zero_grad()
        output = model.backbone(clips())
        (output * weights).sum().backward()
        results.append([output, *(parameter.grad for parameter in model.parameters() if parameter.grad is not None)])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)
    assert len(results[0]) > 10


def test_adapters_keep_the_names_of_a_plain_model_and_its_short_last_block():
    model = adapted().eval()
    with without_adapters(model):
        plain = set(model.state_dict())
    assert {key for key in model.state_dict() if '.lora_' not in key} == plain
    assert model.backbone.can_end_at_cls(clips())
    whole = model.backbone.norm(model.backbone.encode(clips())[0][:, 0])
    torch.testing.assert_close(model.backbone(clips()), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_compiled_blocks_with_adapters_give_the_same():
    model = adapted().eval()
    expected = model.backbone(clips())
    model.backbone.compiled = True
    torch.testing.assert_close(model.backbone(clips()), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ('key', 'value', 'words'),
    [
        ('state1', torch.zeros(192, 64), 'state1 = torch.float32 .*, expected torch.uint8'),
        ('absmax1', torch.full((48,), -1.0), 'absmax1 that is not finite, or negative'),
        ('absmax2', torch.zeros(3), r'absmax2 = torch.float32 \(3,\), expected numbers \(48,\)'),
        ('qmap1', torch.zeros(256), "has .*'qmap1'"),
    ],
)
def test_states_of_8_bits_are_compared_before_the_first_step(key, value, words):
    model = torch.nn.Linear(64, 192)
    optimizer = adamw_8bit(model.parameters(), fused=True)
    model(torch.ones(1, 64)).sum().backward()
    optimizer.step()
    runner = SimpleNamespace(model=model, cfg=Config(), optim_wrapper=SimpleNamespace(optimizer=optimizer))
    check_optimizer(runner, optimizer.state_dict(), RunRecord())
    saved = optimizer.state_dict()
    saved['state'][0][key] = value
    with pytest.raises(ValueError, match=words):
        check_optimizer(runner, saved, RunRecord())


def test_8_bits_without_the_package_shared_out_paged_or_by_others_are_refused(monkeypatch, tmp_path):
    from bitsandbytes.optim import Adam8bit

    parameter = [torch.nn.Parameter(torch.zeros(2))]
    with pytest.raises(ValueError, match='Adam8bit of bitsandbytes, .* use AdamW8bit'):
        OptimWrapper(Adam8bit(parameter))
    with pytest.raises(ValueError, match='is_paged=True'):
        adamw_8bit(parameter, is_paged=True)
    monkeypatch.setattr(Runner, '_is_sharded', True)
    with pytest.raises(ValueError, match="parallel is 'fsdp', which shares out no states of AdamW8bit; use AdamW"):
        runner_of(tmp_path, tmp_path, **EIGHT)
    monkeypatch.setitem(sys.modules, 'bitsandbytes', None)
    monkeypatch.delitem(sys.modules, 'mmtsf.engine.optimizers.bitsandbytes_adamw', raising=False)
    monkeypatch.setitem(sys.modules, 'bitsandbytes.optim', None)
    with pytest.raises(ValueError, match=r"needs bitsandbytes; pip install 'mmtsf\[bitsandbytes\]'"):
        adamw_8bit(parameter)
