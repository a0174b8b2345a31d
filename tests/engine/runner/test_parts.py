"""Parts of MMEngine and of mmtsf mix in a run, or say by name what they lack."""

import multiprocessing
import os
import signal
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.optim import OptimWrapper as MMEngineWrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from mmengine.runner import Runner as PlainRunner
from torch import nn
from toys import ToyData, ToyModel, toy_runner

from mmtsf.engine.runner import ResumableTrainLoop, Runner

RUNNERS = pytest.mark.parametrize('runner', [Runner, PlainRunner], ids=['our runner', "MMEngine's"])
#: Our hooks of default_runtime.py
HOOKS = dict(
    checkpoint=dict(type='CheckpointHook', interval=1),
    logger=dict(type='LoggerHook'),
    reproducibility=dict(type='ReproducibilityHook'),
    checkpoint_format=dict(type='CheckpointFormatHook'),
    preemption=dict(type='PreemptionHook'),
    finite_loss=dict(type='FiniteLossHook'),
    broken_videos=dict(type='BrokenVideosHook'),
    progress_bar=dict(type='ProgressBarHook'),
    validation_clips=dict(type='ValidationClipsHook'),
)
PLAIN = dict(type='mmengine.optim.OptimWrapper', optimizer=dict(type='SGD', lr=0.1))


class Stop(Hook):
    """Ends a run before a given iteration, as a power cut would."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def before_train_iter(self, runner: PlainRunner, *_: Any, **__: Any) -> None:
        if runner.iter == self.iteration:
            raise InterruptedError


def loader(**changes: Any) -> dict:
    sampler = dict(type='mmengine.dataset.DefaultSampler', shuffle=True)
    return dict(batch_size=2, dataset=ToyData(), sampler=sampler, collate_fn=dict(type='default_collate')) | changes


def weights(runner: PlainRunner) -> list[float]:
    return torch.cat([value.flatten() for value in runner.model.state_dict().values()]).tolist()


@RUNNERS
@pytest.mark.parametrize(
    ('checkpoint', 'logger', 'wrapper'),  # any two of them are together in all ways
    [
        ('CheckpointHook', 'LoggerHook', 'OptimWrapper'),
        ('CheckpointHook', 'mmengine.hooks.LoggerHook', 'mmengine.optim.OptimWrapper'),
        ('mmengine.hooks.CheckpointHook', 'LoggerHook', 'mmengine.optim.OptimWrapper'),
        ('mmengine.hooks.CheckpointHook', 'mmengine.hooks.LoggerHook', 'OptimWrapper'),
    ],
)
def test_hooks_runners_and_optimizer_wrappers_of_both_mix(runner, checkpoint, logger, wrapper, tmp_path):
    hooks = HOOKS | dict(checkpoint=dict(type=checkpoint, interval=1), logger=dict(type=logger))
    parts = dict(default_hooks=hooks, optim_wrapper=PLAIN | dict(type=wrapper), scores=dict(acc=[0.5] * 9))
    toy_runner(tmp_path, runner, max_epochs=1, **parts).train()
    again = toy_runner(tmp_path, runner, max_epochs=3, resume=True, **parts)
    again.train()
    assert (again.epoch, again.iter) == (3, 12)
    assert len(again.message_hub.get_scalar('train/loss').data[0]) == 12


@RUNNERS
@pytest.mark.parametrize('kept', [dict(checkpoint=None), dict(checkpoint=dict(type='mmengine.hooks.CheckpointHook'))])
def test_a_signal_hook_that_cannot_write_says_what_it_needs_and_takes_no_signal(runner, kept, tmp_path, capfd):
    toy_runner(tmp_path, runner, default_hooks=HOOKS | kept, log_level='WARNING').train()
    assert "PreemptionHook needs mmtsf's CheckpointHook" in capfd.readouterr().out


@RUNNERS
@pytest.mark.parametrize('stop', [2, 99])
def test_signals_mean_what_they_did_after_a_training_that_ends_or_fails(stop, runner, tmp_path):
    hooks = HOOKS | dict(checkpoint=dict(type='CheckpointHook', interval=1))
    with nullcontext() if stop == 99 else pytest.raises(InterruptedError):
        toy_runner(tmp_path, runner, default_hooks=hooks, train_dataloader=loader(), custom_hooks=[Stop(stop)]).train()
    context = multiprocessing.get_context('fork')
    for number in (signal.SIGUSR1, signal.SIGTERM):
        has_begun = context.Event()
        child = context.Process(target=lambda begun: begun.set() or time.sleep(60), args=(has_begun,))
        child.start()
        has_begun.wait(30)  # a signal that comes in mid-fork is lost
        os.kill(child.pid, number)
        child.join(timeout=30)
        assert child.exitcode == -number
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@RUNNERS
def test_a_loss_that_is_not_finite_is_skipped_by_our_wrapper_and_named_with_mmengines(runner, tmp_path):
    data = loader(dataset=ToyData(broken=3), sampler=dict(type='DefaultSampler', shuffle=False))
    whole = toy_runner(tmp_path / 'ours', runner, default_hooks=HOOKS, train_dataloader=data)
    whole.train()
    assert torch.tensor(weights(whole)).isfinite().all()
    with pytest.raises(RuntimeError, match=r"loss of iteration 2 is nan.*optim_wrapper.type='mmtsf.OptimWrapper'"):
        toy_runner(tmp_path / 'plain', runner, default_hooks=HOOKS, train_dataloader=data, optim_wrapper=PLAIN).train()


@pytest.mark.parametrize('first', [3, 4, 6])
def test_data_and_samplers_of_mmengine_are_resumed_where_a_run_was_interrupted(first, tmp_path):
    hooks = HOOKS | dict(checkpoint=dict(type='CheckpointHook', interval=1, iterations=3))
    whole = toy_runner(tmp_path / 'whole', default_hooks=hooks, train_dataloader=loader())
    whole.train()
    cut = toy_runner(tmp_path / 'cut', default_hooks=hooks, train_dataloader=loader(), custom_hooks=[Stop(first)])
    with pytest.raises(InterruptedError):
        cut.train()
    again = toy_runner(tmp_path / 'cut', default_hooks=hooks, train_dataloader=loader(), resume=True)
    again.train()
    assert weights(again) == weights(whole)


@pytest.mark.parametrize('hook', [dict(type='mmengine.hooks.CheckpointHook', interval=1), dict(type='CheckpointHook')])
def test_the_log_of_a_checkpoint_of_mmengine_comes_back_without_any_hook_of_ours(hook, tmp_path):
    first = toy_runner(tmp_path, PlainRunner, max_epochs=1, default_hooks=dict(checkpoint=hook))
    first.train()
    history = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)['message_hub']['log_scalars']['train/loss']
    assert isinstance(history, HistoryBuffer)  # as MMEngine writes it
    again = toy_runner(tmp_path, max_epochs=2, resume=True, default_hooks=dict(checkpoint=hook))
    again.train()
    assert again.message_hub.get_scalar('train/loss').data[0][:4].tolist() == history.data[0].tolist()
    assert again.iter == 8


@pytest.mark.parametrize(
    ('cfg', 'kind'),
    [
        (dict(max_epochs=1), ResumableTrainLoop),
        (dict(by_epoch=True, max_epochs=1), ResumableTrainLoop),
        (dict(type='EpochBasedTrainLoop', max_epochs=1), EpochBasedTrainLoop),
        (dict(by_epoch=False, max_iters=6), IterBasedTrainLoop),
        (dict(type='IterBasedTrainLoop', max_iters=6), IterBasedTrainLoop),
    ],
    ids=str,
)
def test_a_loop_without_a_type_is_ours_unless_it_is_over_iterations(cfg, kind, tmp_path):
    runner = toy_runner(tmp_path, train_cfg=cfg)
    runner.train()
    assert type(runner.train_loop) is kind
    assert runner.iter == cfg.get('max_iters', 4)


def test_a_training_over_iterations_is_resumed(tmp_path):
    sampler = dict(type='InfiniteSampler', shuffle=True)
    hooks = HOOKS | dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=5, max_keep_ckpts=1))
    parts = dict(train_dataloader=loader(sampler=sampler), default_hooks=hooks)
    cfg = dict(by_epoch=False, max_iters=15)
    whole = toy_runner(tmp_path / 'whole', train_cfg=cfg, **parts)
    whole.train()
    with pytest.raises(InterruptedError):
        toy_runner(tmp_path / 'cut', train_cfg=cfg, custom_hooks=[Stop(11)], **parts).train()
    assert [path.name for path in (tmp_path / 'cut').glob('*.pth')] == ['iter_10.pth']
    again = toy_runner(tmp_path / 'cut', train_cfg=cfg, resume=True, **parts)
    again.train()
    assert weights(again) == weights(whole)


def test_a_runner_tests_what_it_has_trained_and_trains_once_more(tmp_path):
    runner = toy_runner(tmp_path, max_epochs=1, scores=dict(acc=[0.1, 0.2, 0.3]))
    runner.train()
    before = weights(runner)
    assert runner.val() == dict(acc=0.2)
    assert weights(runner) == before


@pytest.mark.parametrize('name', ['preemption', 'checkpoint', 'timer'])
def test_a_default_hook_that_is_none_is_left_out(name, tmp_path):
    whole, less = (
        toy_runner(tmp_path / str(i), default_hooks=HOOKS | changes) for i, changes in enumerate([{}, {name: None}])
    )
    assert len(less.hooks) == len(whole.hooks) - 1


class TwoParts(ToyModel):
    """A toy whose weight and bias have an optimizer each."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Linear(1, 1, bias=False)

    def train_step(self, data: dict, optim_wrapper: OptimWrapperDict) -> dict:
        out = self.layer(data['inputs']) + self.bias.weight
        losses = dict(loss=(out - data['data_samples']).square().mean())
        optim_wrapper['layer'].backward(losses['loss'])
        for name in ('layer', 'bias'):
            optim_wrapper[name].step()
            optim_wrapper[name].zero_grad()
        return losses


def two_optimizers(work_dir: Path, **changes: Any) -> Runner:
    model = TwoParts()
    parts = dict(layer=model.layer, bias=model.bias)
    wrappers = {n: MMEngineWrapper(torch.optim.SGD(part.parameters(), lr=0.1)) for n, part in parts.items()}
    return toy_runner(work_dir, model=model, optim_wrapper=OptimWrapperDict(**wrappers), **changes)


def test_several_optimizers_train_with_our_hooks_and_are_resumed_as_mmengine_does(tmp_path):
    hooks = HOOKS | dict(checkpoint=dict(type='CheckpointHook', interval=1, iterations=3))
    two_optimizers(tmp_path / 'run', default_hooks=hooks, max_epochs=1).train()
    with pytest.raises(ValueError, match='cannot resume: the run has several optimizers.*CheckpointFormatHook'):
        two_optimizers(tmp_path / 'run', default_hooks=hooks, resume=True).train()
    again = two_optimizers(tmp_path / 'run', default_hooks=hooks | dict(checkpoint_format=None), resume=True)
    again.train()
    assert again.iter == 8


@pytest.mark.parametrize('resume', ['auto', True])
def test_a_test_takes_the_checkpoint_that_is_named_whatever_the_config_resumes(resume, tmp_path):
    hooks = dict(checkpoint=dict(type='CheckpointHook', interval=1))
    toy_runner(tmp_path, default_hooks=hooks).train()
    runner = toy_runner(tmp_path, resume=resume, load_from=str(tmp_path / 'epoch_1.pth'), scores=dict(acc=[0.1]))
    runner.val()
    expected = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)['state_dict']
    assert all(torch.equal(expected[name], value) for name, value in runner.model.state_dict().items())


def test_what_a_checkpoint_calls_its_config_is_not_executed(tmp_path):
    toy_runner(tmp_path, max_epochs=1).train()
    path = tmp_path / 'epoch_1.pth'
    checkpoint = torch.load(path, weights_only=False)
    checkpoint['meta']['config'] = f"from pathlib import Path\nPath('{tmp_path}/executed').touch()"
    torch.save(checkpoint, path)
    toy_runner(tmp_path, resume=True).train()
    assert not Path(tmp_path, 'executed').exists()


@pytest.mark.parametrize(
    ('named', 'classes', 'refused'),
    [
        (['run', 'jump'], ['jump', 'run'], True),
        (['run', 'jump'], ['run', 'sit'], True),
        (['run', 'jump'], ['Run', 'jump'], False),
        (['0', '1'], ['run', 'jump'], False),
        (['LABEL_1', 'LABEL_0'], ['run', 'jump'], False),
        (['run', 'jump'], ['0', '1'], False),
        (None, ['run', 'jump'], False),
    ],
)
def test_weights_are_tested_on_classes_of_their_own_names_alone(named, classes, refused, tmp_path):
    torch.save(dict(state_dict=ToyModel().state_dict(), meta=dict(classes=named)), tmp_path / 'weights.pth')
    runner = toy_runner(
        tmp_path / 'run', scores=dict(acc=[0.5]), default_hooks=HOOKS, load_from=str(tmp_path / 'weights.pth')
    )
    runner.val_dataloader.dataset.metainfo = dict(classes=classes)
    words = "class . of the data set is '(jump|sit)', and '(run|jump)' in the checkpoint; .*data.classes=.*data.source="
    with pytest.raises(ValueError, match=words) if refused else nullcontext():
        runner.val()


class TwoSteps(ToyModel):
    """A toy with a step of its own, for two optimizers, that gives its loss as a number."""

    def train_step(self, data: dict, optim_wrapper: Any) -> dict:
        loss = self(data['inputs'], data['data_samples'], 'loss')['loss']
        optim_wrapper['one'].update_params(loss)
        return dict(loss=loss.item())


def test_a_step_of_ones_own_may_give_its_loss_as_a_number(tmp_path):
    model = TwoSteps()
    wrapper = OptimWrapperDict(one=MMEngineWrapper(torch.optim.SGD(model.parameters(), lr=0.1)))
    runner = toy_runner(
        tmp_path, model=model, optim_wrapper=wrapper, custom_hooks=[dict(type='FiniteLossHook')], param_scheduler=None
    )
    runner.train()
    assert runner.iter == 8
