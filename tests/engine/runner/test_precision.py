"""A config's word chooses the precision, by what the machine has, and the log says which and why."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from toys import toy_runner

from mmtsf.config import load_config
from mmtsf.engine.optimizers import Bf16OptimWrapper
from mmtsf.engine.runner import precision
from mmtsf.engine.runner.precision import set_precision, set_tf32


@pytest.fixture
def card(monkeypatch, request):
    """A machine as its parameter says: without a GPU, or with one that has bfloat16, or none."""
    monkeypatch.setattr(precision, 'is_cuda_available', lambda: request.param != 'none')
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda: 'a card')
    monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda including_emulation: request.param == 'new')


def config_of(amp='auto', **wrapper) -> Config:
    return Config(dict(amp=amp, optim_wrapper=dict(type='OptimWrapper', clip_grad=dict(max_norm=1.0)) | wrapper))


@pytest.mark.parametrize(
    ('card', 'amp', 'kind', 'line'),
    [
        ('none', 'auto', 'OptimWrapper', 'precision: float32, weights in float32 (amp=auto: there is no GPU)'),
        ('new', 'auto', 'Bf16OptimWrapper', 'precision: bfloat16, weights in float32 (amp=auto: a card)'),
        ('old', 'auto', 'OptimWrapper', 'precision: float32, weights in float32 (amp=auto: a card has no bfloat16)'),
        ('none', 'bfloat16', 'Bf16OptimWrapper', 'precision: bfloat16, weights in float32 (amp=bfloat16)'),
        ('old', 'float16', 'AmpOptimWrapper', 'precision: float16, weights in float32 (amp=float16)'),
        ('new', 'off', 'OptimWrapper', 'precision: float32, weights in float32 (amp=off)'),
        ('new', False, 'OptimWrapper', 'precision: float32, weights in float32 (amp=off)'),
    ],
    indirect=['card'],
)
def test_a_word_chooses_the_wrapper(card, amp, kind, line):
    config = config_of(amp)
    assert set_precision(config) == line
    assert config.optim_wrapper == dict(type=kind, clip_grad=dict(max_norm=1.0))
    assert 'amp' not in config
    assert set_precision(config) is None  # once more does nothing


@pytest.mark.parametrize('card', ['new'], indirect=True)
@pytest.mark.parametrize('kind', ['AmpOptimWrapper', 'mmtsf.Bf16OptimWrapper', 'mmengine.optim.OptimWrapper'])
def test_a_wrapper_that_a_config_has_chosen_stays_unless_the_word_is_another(card, kind):
    config = config_of(type=kind)
    assert set_precision(config) == f'precision: that of optim_wrapper.type={kind!r}'
    assert config.optim_wrapper.type == kind
    config = config_of(constructor='Several', one=dict(type='OptimWrapper'))
    del config.optim_wrapper.type
    before = config.optim_wrapper.to_dict()
    assert set_precision(config) == "precision: that of optim_wrapper.constructor='Several'"
    assert config.optim_wrapper == before
    with pytest.raises(ValueError, match="amp is 'off', but optim_wrapper.constructor is 'Several'"):
        set_precision(Config(dict(amp='off', optim_wrapper=before)))
    config = config_of('off', type='AmpOptimWrapper', loss_scale=8.0, dtype='float16')
    set_precision(config)
    assert config.optim_wrapper == dict(type='OptimWrapper', clip_grad=dict(max_norm=1.0))


@pytest.mark.parametrize(
    ('card', 'amp', 'kind', 'words'),
    [
        ('none', 'float16', 'OptimWrapper', 'float16 needs a GPU, and there is none; use --amp bfloat16'),
        ('old', 'bfloat16', 'OptimWrapper', 'a card has no bfloat16; use --amp float16'),
        ('none', 'fp16', 'OptimWrapper', "amp is 'fp16', expected one of .'auto', 'bfloat16', 'float16', 'off'"),
        ('none', 'bfloat16', 'OtherWrapper', "amp is 'bfloat16', but optim_wrapper.type is 'OtherWrapper'"),
    ],
    indirect=['card'],
)
def test_what_is_not_to_be_had_is_named(card, amp, kind, words):
    with pytest.raises(ValueError, match=words):
        set_precision(config_of(amp, type=kind))


def test_shipped_configs_say_auto_and_a_config_without_the_word_is_left_alone():
    config = load_config('configs/timesformer_base_k400.py')
    assert (config.amp, config.tf32) == ('auto', True)
    config = Config(dict(optim_wrapper=dict(type='OptimWrapper')))
    assert set_precision(config) is None


@pytest.mark.parametrize('card', ['new'], indirect=True)
def test_the_word_beats_the_dtype_of_a_wrapper(card):
    config = config_of('float16', type='AmpOptimWrapper', dtype='bfloat16', loss_scale=8.0)
    assert 'float16' in set_precision(config)
    assert config.optim_wrapper == dict(type='AmpOptimWrapper', clip_grad=dict(max_norm=1.0), loss_scale=8.0)


@pytest.mark.parametrize('scope', ['mmengine', 'mmaction'])
def test_a_wrapper_of_another_scope_is_made_ours(scope):
    config = config_of('bfloat16', _scope_=scope, optimizer=dict(type='SGD', lr=0.1))
    set_precision(config)
    wrapper = build_optim_wrapper(torch.nn.Linear(2, 1), config.optim_wrapper)
    assert type(wrapper) is Bf16OptimWrapper


@pytest.mark.parametrize('word', [None, True, 'bf16', ['auto']])
def test_a_word_for_no_precision_is_named(word):
    with pytest.raises(ValueError, match='amp is .* expected one of'):
        set_precision(config_of(word))


def test_words_for_tf32_are_checked_before_anything_is_set(tmp_path):
    before = torch.get_float32_matmul_precision()
    for word in ('no', None, 2, ''):
        with pytest.raises(ValueError, match=f'tf32 is {word!r}, expected True, False, on or off'):
            set_tf32(word)
    assert torch.get_float32_matmul_precision() == before
    set_tf32('off')
    with pytest.raises(ValueError, match="tf32 is 'maybe'"):
        toy_runner(tmp_path, cfg=dict(tf32='maybe'))
    torch.set_float32_matmul_precision(before)


def test_a_precision_that_is_not_to_be_had_stops_a_training(tmp_path):
    runner = toy_runner(tmp_path)
    runner.refused = ValueError('of the precision')
    with pytest.raises(ValueError, match='of the precision'):
        runner.train()


def test_on_a_cpu_products_stay_as_they_are():
    before = torch.get_float32_matmul_precision()
    set_tf32(True)
    if not torch.cuda.is_available():
        assert torch.get_float32_matmul_precision() == before


@pytest.mark.gpu
def test_products_in_float32_are_in_tf32_where_it_is_asked_for():
    x = torch.rand(512, 512, device='cuda')
    exact = (x.double() @ x.double()).float()
    apart = {}
    for wanted in (True, False):
        set_tf32(wanted)
        apart[wanted] = float(((x @ x) - exact).abs().max())
    assert apart[False] < 1e-3 < apart[True]


@pytest.mark.gpu
def test_a_card_with_bfloat16_takes_it():
    config = config_of()
    assert torch.cuda.get_device_name() in set_precision(config)
    assert config.optim_wrapper.type == 'Bf16OptimWrapper'
