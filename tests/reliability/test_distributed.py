"""Several processes compute what one computes, whatever is lost on the way."""

import csv
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from processes import STEADY, apart, children, start, tensors, train, wait_for
from runs import TINY, free_port, log_of, options, run_tool


@pytest.fixture(scope='module')
def gradients_of_one(motion, tmp_path_factory):
    """Checkpoint of one process after an epoch, by batch and attention order."""
    folder = tmp_path_factory.mktemp('one')

    def checkpoint(batch: int, order: str) -> Path:
        work_dir = folder / f'{batch}_{order}'
        if not work_dir.exists():
            train(1, work_dir, *epoch_of(motion, batch, batch, order))
        return work_dir / 'epoch_1.pth'

    return checkpoint


def epoch_of(motion: Path, batch: int, batch_size: int, order: str, parallel: str = 'ddp') -> list[str]:
    """Options for an epoch whose checkpoint holds its gradients: as SGD's momentum, at weights that hardly move."""
    changes = {
        **STEADY,
        'lr': 1e-9,
        'max_epochs': 1,
        'global_batch_size': batch,
        'train_dataloader.batch_size': batch_size,
    }
    changes |= {'model.backbone.attention.order': order, 'parallel': parallel}
    return options(motion, **changes, **{'optim_wrapper.clip_grad.max_norm': 'inf'})


@pytest.mark.parametrize(
    ('parallel', 'batch', 'batch_size', 'order'),
    [
        pytest.param('ddp', 32, 16, 'time_space', marks=pytest.mark.long),
        ('ddp', 24, 6, 'time_space'),  # two accumulated steps; of 32 videos the last batch has 8, after one of 24
        pytest.param('ddp', 32, 16, 'space_time', marks=pytest.mark.long),
        pytest.param('ddp', 32, 16, 'parallel', marks=pytest.mark.long),  # the same
        pytest.param('fsdp', 24, 6, 'parallel', marks=pytest.mark.long),
    ],
)
def test_gradients_of_two_processes_equal_those_of_one_with_the_doubled_batch(
    parallel, batch, batch_size, order, motion, gradients_of_one, tmp_path
):
    train(2, tmp_path, *epoch_of(motion, batch, batch_size, order, parallel))
    one = gradients_of_one(batch, order)
    largest = max(float(gradient.abs().max()) for gradient in tensors(one, 'optimizer').values())
    assert largest > 0.1
    assert apart(one, tmp_path / 'epoch_1.pth', 'optimizer') < 1e-6 * max(largest, 1)


@pytest.fixture(scope='module')
def checkpoint(motion, tmp_path_factory) -> Path:
    work_dir = tmp_path_factory.mktemp('trained')
    train(1, work_dir, *options(motion, max_epochs=1))
    return work_dir / 'epoch_1.pth'


@pytest.mark.long
@pytest.mark.parametrize(('videos', 'in_shards'), [(11, False), (2, False), (11, True)])
def test_each_test_video_counts_once_in_one_two_and_three_processes(videos, in_shards, motion, checkpoint, tmp_path):
    data = tmp_path / 'data'
    shutil.copytree(motion, data)
    for extra in sorted(data.glob('test/*/*.mp4'))[videos:]:
        extra.unlink()
    if in_shards:
        run_tool('tools/data/transcode.py', data, tmp_path / 'shards', '--shards', 3, '--copy')
        data = tmp_path / 'shards'
    for processes in (1, 2, 3):
        work_dir = tmp_path / str(processes)
        words = [checkpoint, processes, '--work-dir', work_dir, *options(data, **{'test_dataloader.batch_size': 3})]
        assert f'videos: {videos} expected, {videos} found, {videos} scored' in run_tool(
            'tools/dist_test.sh', TINY, *words
        )
    rows = list(csv.DictReader((tmp_path / '1/per_class.csv').open()))
    assert sum(int(row['videos']) for row in rows) == videos
    for file in ('per_class.csv', 'metrics.json'):
        assert len({(tmp_path / f'{processes}/{file}').read_text() for processes in (1, 2, 3)}) == 1
    assert 0 <= json.loads((tmp_path / '1/metrics.json').read_text())['acc/top1'] <= 1


@pytest.mark.long
@pytest.mark.parametrize(('machines', 'in_shards'), [(1, False), (2, False), (1, True)])
def test_a_killed_process_restarts_all_and_the_weights_are_those_of_a_run_that_lost_none(
    machines, in_shards, motion, tmp_path
):
    changes = {**STEADY, 'model.backbone.drop_path_rate': 0.3, 'default_hooks.checkpoint.iterations': 2}
    data = motion
    if in_shards:
        run_tool('tools/data/transcode.py', motion, tmp_path / 'shards', '--shards', 3, '--copy')
        data, changes['data.window'] = tmp_path / 'shards', 2
    words = options(data, max_epochs=3, **changes)
    train(2, tmp_path / 'whole', *words)
    shared = {'processes': 2 // machines, 'NNODES': machines, 'MAX_RESTARTS': 2, 'PORT': free_port()}
    runs = [start(tmp_path / 'killed', *words, NODE_RANK=rank, **shared) for rank in range(machines)]
    wait_for(tmp_path / 'killed/iter_6.pth', runs[0])
    os.kill(children(runs[-1].pid)[-1], signal.SIGKILL)
    assert [run.wait(240) for run in runs] == [0] * machines
    assert f'resuming from {tmp_path}/killed/iter_' in (tmp_path / 'killed.log').read_text()
    for part in ('state_dict', 'optimizer'):
        difference = apart(tmp_path / 'whole/epoch_3.pth', tmp_path / 'killed/epoch_3.pth', part)
        assert difference == 0 if machines == 1 else difference < 1e-5  # of other numbers of threads


@pytest.mark.long
def test_two_machines_end_like_one_with_two_processes(motion, tmp_path):
    words = options(motion, max_epochs=1, **STEADY)
    train(2, tmp_path / 'one', *words)
    shared = {'processes': 1, 'NNODES': 2, 'PORT': free_port()}
    nodes = [start(tmp_path / 'two', *words, NODE_RANK=rank, **shared) for rank in (1, 0)]
    assert [node.wait(240) for node in nodes] == [0, 0]
    assert apart(tmp_path / 'one/epoch_1.pth', tmp_path / 'two/epoch_1.pth') < 1e-6  # of other numbers of threads


def test_other_iterations_than_those_of_the_checkpoint_cannot_be_resumed(motion, checkpoint, tmp_path):
    smaller = options(motion, **{'train_dataloader.batch_size': 4})
    log = train(1, tmp_path, '--resume', checkpoint, *smaller, fails=True)
    assert 'an iteration was 1 process x 8 clips when the checkpoint was written, and is 1 x 4 now; give ' in log
    assert '--cfg-options train_dataloader.batch_size=8' in log


@pytest.mark.parametrize('asked', [pytest.param(False, marks=pytest.mark.long), True])
def test_the_learning_rate_follows_the_batch_only_when_asked(asked, motion, tmp_path):
    words = ['--auto-scale-lr'] * asked + options(motion, max_epochs=1, lr=1e-3, **{'default_hooks.logger.interval': 1})
    train(2, tmp_path, *words)
    assert ('Scaling the original LR by 0.5' in log_of(tmp_path)) == asked
