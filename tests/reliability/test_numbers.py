"""Losses and gradients that are no numbers."""

import json
import re
from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from processes import WarmRun
from runs import ROOT, TINY
from torch import nn

NAN = float('nan')


def wrapper_of(layer: nn.Module, **changes):
    """SGD at a rate of 1, as the configs build it."""
    config = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1.0), clip_grad=dict(max_norm=100.0), **changes)
    return build_optim_wrapper(layer, config)


@pytest.mark.parametrize('bad', [NAN, float('inf')])
def test_an_update_by_a_loss_that_is_no_number_is_skipped(bad):
    layer = nn.Linear(1, 1, bias=False)
    wrapper, before = wrapper_of(layer), layer.weight.item()
    wrapper.update_params(layer(torch.tensor([bad])).sum())
    assert wrapper.skipped
    assert layer.weight.item() == before
    wrapper.update_params(layer(torch.tensor([2.0])).sum())
    assert not wrapper.skipped
    assert layer.weight.item() == pytest.approx(before - 2)


def test_an_update_by_a_gradient_that_is_no_number_is_skipped():
    layer = nn.Linear(1, 1, bias=False)
    wrapper, before = wrapper_of(layer), layer.weight.item()
    zero = (layer.weight - before).sum()
    wrapper.update_params(zero.sqrt())  # 0, whose slope is infinite
    assert wrapper.skipped
    assert layer.weight.item() == before
    wrapper.update_params(layer(torch.tensor([2.0])).sum())
    assert not wrapper.skipped
    assert layer.weight.item() == pytest.approx(before - 2)


@pytest.mark.parametrize('place', [0, 1, 2])
def test_an_accumulated_update_is_skipped_whichever_of_its_losses_is_no_number(place):
    layer = nn.Linear(1, 1, bias=False)
    wrapper, before = wrapper_of(layer, accumulative_counts=3), layer.weight.item()
    for index in range(3):
        wrapper.update_params(layer(torch.tensor([NAN if index == place else 1.0])).sum())
        assert wrapper.skipped == (index == place)
    assert layer.weight.item() == before
    for _ in range(3):
        wrapper.update_params(layer(torch.tensor([2.0])).sum())
    assert layer.weight.item() == pytest.approx(before - 2)


def write_config(folder: Path, motion: Path, bad: str, max_skips: int) -> Path:
    """A config whose clips of videos that ``bad``, a regular expression, finds are no numbers."""
    (folder / 'spoil.py').write_text(
        'import re\n\nfrom mmengine.hooks import Hook\n\nfrom mmtsf.registry import HOOKS\n\n\n'
        '@HOOKS.register_module()\n'
        'class Spoil(Hook):\n'
        '    def before_train_iter(self, runner, batch_idx, data_batch=None):\n'
        '        for index, sample in enumerate(data_batch["data_samples"]):\n'
        f'            if re.search({bad!r}, sample.metainfo["filename"]):\n'
        '                data_batch["inputs"][index] = data_batch["inputs"][index] * float("nan")\n'
    )
    path = folder / 'spoilt.py'
    path.write_text(
        f"_base_ = '{ROOT / TINY}'\n"
        "custom_imports = dict(imports=['mmtsf', 'spoil'])\n"
        "custom_hooks = [dict(type='Spoil')]\n"
        f"data = dict(root='{motion}')\n"
        'max_epochs = 2\nglobal_batch_size = 4\ntrain_dataloader = dict(batch_size=4)\n'
        'model = dict(backbone=dict(num_layers=2))\n'
        'default_hooks = dict(checkpoint=dict(iterations=1), logger=dict(interval=1),\n'
        f'    finite_loss=dict(max_skips={max_skips}))\n'
    )
    return path


def losses_and_norms(run: WarmRun) -> list[tuple[float, float]]:
    """Of every iteration, from the curves."""
    lines = next(run.work_dir.glob('*/vis_data/scalars.json')).read_text().splitlines()
    return [(row['loss'], row.get('grad_norm')) for row in map(json.loads, lines) if 'loss' in row]


def test_a_batch_whose_loss_is_no_number_is_named_and_skipped(motion, tmp_path, monkeypatch):
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    run = WarmRun(write_config(tmp_path, motion, '/left/0000', max_skips=10), tmp_path / 'run')
    log = run.finish()
    skips = re.findall(r'iteration (\d+) is skipped: loss nan, a gradient of (\[.*\])', log)
    assert len(skips) == 2  # one in each epoch
    assert all(videos.count('.mp4') == 4 and '/left/0000' in videos for _, videos in skips)
    assert all(tensor.isfinite().all() for tensor in run.final()['state_dict'].values())
    rows = losses_and_norms(run)
    assert len(rows) == 16
    assert all(norm > 0 for _, norm in rows[-3:])


def test_many_such_batches_end_the_run_which_names_the_last_good_checkpoint(motion, tmp_path, monkeypatch):
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    run = WarmRun(write_config(tmp_path, motion, '.', max_skips=2), tmp_path / 'run')
    log = run.finish(expected=2)
    assert '3 updates were not finite, more than the 2 of finite_loss.max_skips; ' in log
    assert 'there is no good checkpoint' in log
    assert list(run.work_dir.glob('*.pth')) == []


def test_weights_that_ran_away_are_not_named_as_the_last_good_checkpoint(motion, tmp_path, monkeypatch):
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    config = write_config(tmp_path, motion, 'none', max_skips=2)
    with config.open('a') as file:  # the third step leads to infinity
        file.write("param_scheduler = dict(_delete_=True, type='StepLR', step_size=2, gamma=1e38, by_epoch=False)\n")
        file.write("optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=1e-3))\n")
    run = WarmRun(config, tmp_path / 'run')
    log = run.finish(expected=2)
    assert '3 updates were not finite, more than the 2 of finite_loss.max_skips' in log
    good = Path(re.search(r'the last good checkpoint is (\S+);', log)[1])
    assert good.name == 'iter_2.pth'
    assert good.exists()
