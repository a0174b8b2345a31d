"""Updates that are not finite change nothing, in whatever precision, and nobody waits for the device to know."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner as PlainRunner
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from toys import ToyData, ToyModel, toy_runner

from mmtsf.engine.hooks import FiniteLossHook
from mmtsf.engine.optimizers.amp_optim_wrapper import LEAST_SCALE
from mmtsf.engine.scalars import LaterHistory, log_later

NAN = float('nan')
SCALE = dict(AmpOptimWrapper=dict(loss_scale=8.0))
OPTIMIZERS = [
    dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.1, dampening=0.5),
    dict(type='SGD', lr=0.1, momentum=0.9, nesterov=True),
    dict(type='SGD', lr=0.1),
    dict(type='Adam', lr=0.1),
    dict(type='AdamW', lr=0.1, weight_decay=0.1, amsgrad=True),
    dict(type='RMSprop', lr=0.1, momentum=0.9),
]
#: What makes Python wait for a tensor's numbers
READS = {'item', 'tolist', 'cpu', 'numpy', '__bool__', '__float__', '__int__', '__index__', '__format__'}


def trained(optimizer: dict, losses: list[float], **changes: Any) -> tuple[nn.Module, Any]:
    """A layer and its wrapper, after updates by inputs that make these losses."""
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    config = dict(type='OptimWrapper', optimizer=dict(optimizer), clip_grad=dict(max_norm=0.1)) | changes
    wrapper = build_optim_wrapper(layer, config)
    for value in losses:
        with wrapper.optim_context(layer):
            loss = layer(torch.full((1, 3), value)).square().sum()
        wrapper.update_params(loss)
    return layer, wrapper


def numbers(layer: nn.Module, wrapper: Any) -> dict[str, Tensor]:
    """Of weights and of all states."""
    states = {f'{i}.{k}': v for i, s in wrapper.optimizer.state_dict()['state'].items() for k, v in s.items()}
    return {k: v for k, v in {**layer.state_dict(), **states}.items() if isinstance(v, Tensor)}


@pytest.mark.parametrize('optimizer', OPTIMIZERS, ids=lambda kind: '_'.join(map(str, kind.values())))
@pytest.mark.parametrize('fused', [True, False])
@pytest.mark.parametrize('place', [0, 1, 3])
@pytest.mark.parametrize('wrapper', ['OptimWrapper', 'Bf16OptimWrapper', 'AmpOptimWrapper'])
def test_an_update_that_is_not_finite_leaves_weights_and_states_bit_for_bit(wrapper, place, fused, optimizer):
    if fused and optimizer['type'] == 'RMSprop':
        pytest.skip('PyTorch has no fused one')
    optimizer = optimizer | (dict(fused=True) if fused else {})
    fixed = dict(type=wrapper) | (dict(loss_scale=8.0) if wrapper == 'AmpOptimWrapper' else {})
    good = [1.0, 0.5, -1.0]
    expected = numbers(*trained(optimizer, good, **fixed))
    for bad in (NAN, float('inf')):
        found = numbers(*trained(optimizer, [*good[:place], bad, *good[place:]], **fixed))
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize('fused', [True, False])
def test_an_overflow_of_float16_is_skipped_and_halves_the_scale_without_a_word(fused):
    optimizer = dict(type='SGD', lr=0.1, momentum=0.9, fused=fused)
    start = trained(optimizer, [])[0].state_dict()
    layer, wrapper = trained(optimizer, [1.0, 1.0], type='AmpOptimWrapper', loss_scale=dict(init_scale=2.0**24))
    assert not wrapper.skipped
    assert wrapper.loss_scaler.get_scale() == 2.0**22
    assert all(torch.equal(value, start[name]) for name, value in layer.state_dict().items())
    layer, wrapper = trained(optimizer, [1.0] * 20, type='AmpOptimWrapper', loss_scale=dict(init_scale=2.0**24))
    assert wrapper.loss_scaler.get_scale() > 1
    assert not torch.equal(layer.weight, start['weight'])


class Broken(torch.autograd.Function):
    """Nothing to the loss, and a gradient that is no number."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 0

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * NAN


class BrokenGradients(ToyModel):
    """A toy whose first gradients are no numbers while its losses are."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.left = number

    def forward(self, inputs: Tensor, data_samples: Tensor | None = None, mode: str = 'tensor') -> Any:
        out = super().forward(inputs, data_samples, mode)
        if mode == 'loss' and self.left > 0:
            self.left -= 1
            out['loss'] = Broken.apply(out['loss']) + out['loss']
        return out


def test_overflows_of_float16_without_end_are_counted_and_end_the_run(tmp_path):
    model = BrokenGradients(1000)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    runner = long_run(tmp_path, model=model, type='AmpOptimWrapper', interval=1)
    with pytest.raises(RuntimeError, match='11 updates were not finite'):
        runner.train()
    assert runner.iter + 1 == 17 + 11  # from 2 ** 16 to below 1, which is usual
    assert all(torch.equal(value, before[name]) for name, value in runner.model.state_dict().items())


def test_an_overflow_under_a_scale_that_stays_is_counted(tmp_path):
    model = BrokenGradients(1)
    runner = long_run(tmp_path, model=model, type='AmpOptimWrapper', interval=1, loss_scale=8.0, max_skips=0)
    with pytest.raises(RuntimeError, match='1 updates were not finite'):
        runner.train()


@pytest.mark.parametrize('fused', [True, False])
def test_after_a_burst_of_overflows_the_scale_is_not_0_and_weights_are_numbers(fused):
    layer, wrapper = trained(dict(type='SGD', lr=0.1, fused=fused), [], type='AmpOptimWrapper')
    before = layer.weight.clone()
    for number in range(200):
        with wrapper.optim_context(layer):
            loss = layer(torch.ones(1, 3)).square().sum()
        wrapper.update_params(loss + (Broken.apply(loss) if number < 180 else 0))
        assert wrapper.loss_scaler.get_scale() >= LEAST_SCALE
    assert wrapper.loss_scaler.get_scale() == LEAST_SCALE
    assert not wrapper.skipped
    assert layer.weight.isfinite().all()
    assert not torch.equal(layer.weight, before)


@pytest.mark.parametrize('kind', ['OptimWrapper', 'Bf16OptimWrapper', 'AmpOptimWrapper'])
@pytest.mark.parametrize('clip', [None, dict(type='value', clip_value=0.5)], ids=str)
@pytest.mark.parametrize('value', [NAN, float('inf')])
def test_a_gradient_is_looked_at_however_it_is_clipped(value, clip, kind):
    layer, wrapper = trained(OPTIMIZERS[0], [1.0], type=kind, clip_grad=clip, **SCALE.get(kind, {}))
    before = {name: number.clone() for name, number in numbers(layer, wrapper).items()}
    for bad in (True, False):
        with wrapper.optim_context(layer):
            out = layer(torch.ones(1, 3))
        if bad:
            out.register_hook(lambda gradient: gradient * value)
        wrapper.update_params(out.square().sum())
        assert wrapper.skipped == bad
        assert all(torch.equal(number, before[name]) for name, number in numbers(layer, wrapper).items()) == bad


def test_the_state_of_the_scaler_is_saved_and_loaded():
    kind, optimizer = dict(type='AmpOptimWrapper'), dict(type='AdamW', lr=0.1, fused=True)
    layer, wrapper = trained(optimizer, [1.0] * 3, **kind, loss_scale=dict(init_scale=2.0**18, growth_interval=2))
    state = wrapper.state_dict()
    assert state['loss_scaler']['scale'] != 2.0**18
    _, other = trained(optimizer, [], **kind)
    other.load_state_dict(state)
    assert other.state_dict()['loss_scaler'] == state['loss_scaler']
    assert other.optimizer.state_dict()['state'].keys() == state['state'].keys()


@pytest.mark.parametrize(
    ('option', 'words'),
    [
        (dict(loss_scale='auto'), "loss_scale is 'auto', expected 'dynamic', a number or a dict"),
        (dict(dtype='float8'), "dtype is 'float8', expected 'float16' or 'bfloat16'"),
    ],
)
def test_what_the_scaler_does_not_know_is_named(option, words):
    with pytest.raises(ValueError, match=words):
        trained(OPTIMIZERS[2], [], type='AmpOptimWrapper', **option)


# Waiting for the device


class Reads(TorchFunctionMode):
    """Counts what makes Python wait for a tensor's numbers, by who asks."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: dict | None = None) -> Any:
        name = getattr(function, '__name__', '')
        if name in READS:
            self.found[name] += 1
        return function(*args, **(kwargs or {}))


class InnerReads(TorchDispatchMode):
    """Counts those that PyTorch's own functions make within."""

    def __init__(self, found: Counter[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: dict | None = None) -> Any:
        if function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default):
            self.found[str(function)] += 1
        return function(*args, **(kwargs or {}))


class CountReads:
    """Wraps a wrapper's updates and the hooks of an iteration in a counter, each iteration's own."""

    def __init__(self, runner: PlainRunner) -> None:
        self.counts: list[Counter] = []
        run_iter = runner.train_loop.run_iter

        def counted(index: int, batch: Any) -> None:
            with Reads() as reads, InnerReads(reads.found):
                run_iter(index, batch)
            self.counts.append(reads.found)

        runner.train_loop.run_iter = counted


class LongData(ToyData):
    """Sixty-four samples."""

    def __init__(self, broken: int | None = None) -> None:
        super().__init__()
        self.inputs = self.inputs.repeat(8, 1)
        if broken is not None:
            self.inputs[broken] = NAN

    def __len__(self) -> int:
        return len(self.inputs)


def long_run(
    folder: Any,
    interval: int = 10,
    broken: int | None = None,
    max_skips: int = 10,
    model: nn.Module | None = None,
    **changes: Any,
) -> Any:
    """A toy of 32 iterations with our hooks of an iteration."""
    sampler = dict(type='DefaultSampler', shuffle=False)
    loader = dict(batch_size=2, dataset=LongData(broken), sampler=sampler, collate_fn=dict(type='default_collate'))
    hooks: dict = dict(
        logger=dict(type='LoggerHook', interval=interval, ignore_last=False),
        runtime_info=dict(type='RuntimeInfoHook'),
        finite_loss=dict(type='FiniteLossHook', max_skips=max_skips),
        checkpoint=dict(type='CheckpointHook', interval=1, iterations=15),
        checkpoint_format=dict(type='CheckpointFormatHook'),
        preemption=dict(type='PreemptionHook'),
    )
    optimizer = dict(type='SGD', lr=0.01, momentum=0.9, fused=True)
    wrapper = dict(type='OptimWrapper', optimizer=optimizer, clip_grad=dict(max_norm=10.0)) | changes
    return toy_runner(
        folder,
        max_epochs=1,
        model=model or ToyModel(),
        train_dataloader=loader,
        default_hooks=hooks,
        optim_wrapper=wrapper,
        log_level='WARNING',
    )


@pytest.mark.parametrize(
    'changes',
    [{}, dict(accumulative_counts=2), dict(type='Bf16OptimWrapper'), dict(type='AmpOptimWrapper')],
    ids=str,
)
def test_an_ordinary_iteration_reads_no_tensor(changes, tmp_path):
    runner = long_run(tmp_path, **changes)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    counts = CountReads(runner).counts
    runner.train()
    reading = [number for number, found in enumerate(counts, 1) if found]
    # the first update makes the states; the log at 10, 20, 30 and 32; a checkpoint at 15, and at the end of the epoch
    assert len(counts) == 32
    assert set(reading) <= {1, 2, 3, 10, 15, 16, 20, 30, 32}
    assert {10, 20, 30} <= set(reading)


def test_what_is_logged_and_kept_is_what_mmengine_logs(tmp_path):
    ours = long_run(tmp_path / 'ours')
    ours.train()
    theirs = toy_runner(
        tmp_path / 'theirs',
        PlainRunner,
        max_epochs=1,
        train_dataloader=ours.train_dataloader,
        optim_wrapper=dict(
            type='mmengine.optim.OptimWrapper',
            optimizer=dict(type='SGD', lr=0.01, momentum=0.9, fused=True),
            clip_grad=dict(max_norm=10.0),
        ),
        default_hooks=dict(runtime_info=dict(type='mmengine.hooks.RuntimeInfoHook')),
    )
    theirs.train()
    for name in ('train/loss', 'train/grad_norm'):
        ours_said, theirs_said = (run.message_hub.get_scalar(name).data[0].tolist() for run in (ours, theirs))
        assert ours_said == theirs_said
        assert len(ours_said) == 32
    assert isinstance(ours.message_hub.get_scalar('train/loss'), LaterHistory)


def test_whoever_reads_a_history_gets_all_numbers_in_one_transfer(monkeypatch):
    init_default_scope('mmtsf')
    hub = MessageHub.get_instance('test_whoever_reads')
    for number in range(5):
        log_later(hub, 'loss', torch.tensor(float(number)))
        log_later(hub, 'norm', torch.tensor(10.0 + number), unless=torch.tensor(float(number == 3)))
    with Reads() as reads:
        assert hub.get_scalar('norm').current() == 14
        assert hub.get_scalar('loss').mean() == 2
    assert reads.found == {'tolist': 1}
    assert hub.get_scalar('norm').data[0].tolist() == [10, 11, 12, 14]
    hub.update_scalar('loss', 5)
    assert hub.state_dict()['log_scalars']['loss'].data[0].tolist() == [0, 1, 2, 3, 4, 5]
    assert type(hub.state_dict()['log_scalars']['loss']).__name__ == 'HistoryBuffer'
    monkeypatch.setattr('mmtsf.engine.scalars.MOST', 3)
    for number in range(3):
        log_later(hub, 'loss', torch.tensor(float(number)))
    assert not hub.get_scalar('loss').waiting


@contextmanager
def looks_at(hook: type) -> Iterator[list[int]]:
    """Iterations after which the hook looks."""
    seen, look = [], hook.look

    def noted(self: Any, runner: Any) -> None:
        seen.append(runner.iter)
        look(self, runner)

    hook.look = noted
    try:
        yield seen
    finally:
        hook.look = look


@pytest.mark.parametrize('interval', [1, 10])
def test_skips_are_named_with_their_iteration_when_the_log_is_written(interval, tmp_path, capfd):
    with looks_at(FiniteLossHook):
        long_run(tmp_path, interval, broken=7).train()
    out = capfd.readouterr().out
    assert 'iteration 4 is skipped: loss nan' in out
    assert out.count('is skipped') == 1


@pytest.mark.parametrize(('interval', 'last'), [(1, 4), (10, 10), (99, 15)])
def test_too_many_skips_end_the_run_at_the_next_look_and_before_a_checkpoint(interval, last, tmp_path):
    runner = long_run(tmp_path, interval, broken=7, max_skips=0)
    with pytest.raises(RuntimeError, match='1 updates were not finite, more than the 0 of finite_loss.max_skips'):
        runner.train()
    assert runner.iter + 1 == last
    assert not list(tmp_path.glob('*.pth'))


# On a GPU


@pytest.mark.gpu
@pytest.mark.parametrize('optimizer', OPTIMIZERS[:5], ids=lambda kind: '_'.join(map(str, kind.values())))
@pytest.mark.parametrize('kind', ['OptimWrapper', 'Bf16OptimWrapper', 'AmpOptimWrapper'])
def test_an_update_on_a_gpu_waits_for_nothing_and_is_skipped_there(kind, optimizer):
    layer = nn.Linear(64, 8).cuda()
    config = dict(type=kind, optimizer=dict(optimizer, fused=True), clip_grad=dict(max_norm=1.0))
    wrapper = build_optim_wrapper(layer, config)
    good, bad = torch.rand(4, 64, device='cuda'), torch.full((4, 64), NAN, device='cuda')

    def update(x: Tensor) -> None:
        with wrapper.optim_context(layer):
            loss = layer(x).square().mean()
        wrapper.update_params(loss)

    for _ in range(20):  # the first ones make states, and find the scale
        update(good)
    before = {name: value.clone() for name, value in numbers(layer, wrapper).items()}
    torch.cuda.set_sync_debug_mode('error')
    try:
        update(bad)
        found = {name: value.clone() for name, value in numbers(layer, wrapper).items()}
        update(good)
    finally:
        torch.cuda.set_sync_debug_mode('default')
    assert all(torch.equal(found[name], before[name]) for name in before)
    assert not torch.equal(layer.weight, before['weight'])


@pytest.mark.gpu
def test_an_ordinary_iteration_of_a_run_on_a_gpu_waits_for_nothing(tmp_path):
    runner = long_run(tmp_path, interval=10)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    run_iter = runner.train_loop.run_iter

    def watched(index: int, batch: Any) -> None:
        ordinary = index + 1 in (5, 6, 7, 12, 13, 22, 23)
        batch = {name: value.cuda() for name, value in batch.items()} if ordinary else batch
        torch.cuda.set_sync_debug_mode('error' if ordinary else 'default')
        try:
            run_iter(index, batch)
        finally:
            torch.cuda.set_sync_debug_mode('default')

    runner.train_loop.run_iter = watched
    runner.train()
    assert runner.iter == 32
