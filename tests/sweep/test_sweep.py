"""A search: trials that end well, early or by a crash, and how it goes on after it was stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runs import ROOT, TINY, in_process, options

from mmtsf.commands import new_command
from mmtsf.config import load_config
from mmtsf.sweep import study, trial
from mmtsf.sweep.trial import Logs, follow
from mmtsf.utils.tables import read_table

pytest.importorskip('optuna')

#: In the place of a training: three validations whose scores are the rate, not finite at 0.6, a crash at 0.5, and
#: Ctrl-C at the first 0.3 if that is asked for
TRAINING = """
import json, os, signal, sys, time
folder, words = sys.argv[1], dict(word.split('=', 1) for word in sys.argv[2:])
rate, logs = float(words['lr']), os.path.join(folder, f'{time.time_ns()}/vis_data')
os.makedirs(logs)
def leave(*_):
    open(os.path.join(folder, 'iter_1.pth'), 'w').close()
    os._exit(75)
signal.signal(signal.SIGTERM, leave)
if rate == 0.5:
    sys.exit('mmtsf train: error: rate is 0.5')
stops = os.environ.get('STOPS')
for epoch in (1, 2, 3):
    with open(os.path.join(logs, 'scalars.json'), 'a') as file:
        print(json.dumps({'loss': 1.0, 'iter': epoch, 'step': epoch}), file=file)
        score = float('nan') if rate == 0.6 else rate * epoch
        print(json.dumps({'acc/top1': score, 'time': 0.1, 'step': epoch}), file=file)
    if rate == 0.3 and stops and not os.path.exists(stops):
        open(stops, 'w').close()
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(20)
open(os.path.join(folder, 'best_acc_top1_epoch_3.pth'), 'w').close()
"""
WORDS = (
    '--search',
    'lr=0.1,0.2,0.3,0.4,0.5',
    'model.backbone.drop_path_rate=0:0.3',
    '--sampler',
    'random',
    '--seed',
    '7',
)


@pytest.fixture
def search(tmp_path, monkeypatch):
    """A search of five short trials in a folder, that is given by its name."""

    def command(config, work_dir, words, gpus, more):
        return [sys.executable, '-S', '-c', TRAINING, str(work_dir), *words]

    monkeypatch.setattr(study, 'train_command', command)

    values = dict(train_cfg=dict(max_epochs=3))  # as of the config, which test_space.py looks at
    monkeypatch.setattr(study, 'check_space', lambda *_: values)
    monkeypatch.setattr(trial, 'LOOK', 0.02)

    def run(name: str, *more: str, words: tuple = WORDS, trials: int = 5) -> list[dict]:
        where = ('--work-dir', tmp_path / name, '--trials', trials, '--startup', 1)
        in_process('sweep', TINY, *words, *where, *more, '--cfg-options', 'max_epochs=3')
        return read_table(tmp_path / name / 'trials.csv')

    return run


def test_a_search_prunes_outlives_crashes_and_goes_on_where_it_was_stopped(search, tmp_path, monkeypatch):
    rows = search('whole')
    states = [row['state'] for row in rows]
    assert set(states) == {'complete', 'pruned', 'failed'}
    assert states == sorted(states, key=['complete', 'pruned', 'failed'].index)
    assert len(rows) == 5
    for row in rows:
        rate, crashes = float(row['lr']), row['lr'] == '0.5'
        assert row['reason'] == ('exit code 1: mmtsf train: error: rate is 0.5' if crashes else row['reason'])
        assert row['acc/top1'] == '' if crashes else float(row['acc/top1']) == rate * int(row['epoch'])
    scores = [float(row['acc/top1']) for row in rows if row['state'] == 'complete']
    assert scores == sorted(scores, reverse=True)
    assert 'pruned after epoch 1' in {row['reason'] for row in rows}
    best = load_config(tmp_path / 'whole/best.py')
    assert str(best.optim_wrapper.optimizer.lr) == rows[0]['lr']
    assert best.model.backbone.drop_path_rate == float(rows[0]['model.backbone.drop_path_rate'])
    kept = {path.parent.name for path in (tmp_path / 'whole').glob('*/*.pth')}
    assert kept == {f'trial_{int(rows[0]["trial"]):03}'}
    assert all((tmp_path / f'whole/{name}.png').stat().st_size > 5000 for name in ('history', 'importances'))

    said: list[str] = []
    monkeypatch.setattr(study, 'say', said.append)
    monkeypatch.setenv('STOPS', str(tmp_path / 'once'))
    with pytest.raises(KeyboardInterrupt):
        search('stopped')
    assert said[-1].startswith('stopped; go on with: mmtsf ')
    assert said[-1].endswith(' --resume')
    before = read_table(tmp_path / 'stopped/trials.csv')
    assert len(before) < 5
    with pytest.raises(ValueError, match='holds a search; go on with it by --resume'):
        search('stopped')
    with pytest.raises(ValueError, match='holds another search: --search lr is lr=0.1,0.9, and was lr=0.1,0.2'):
        search('stopped', '--resume', words=('--search', 'lr=0.1,0.9', *WORDS[2:]))
    again = search('stopped', '--resume')
    told = ('trial', 'state', 'acc/top1', 'epoch', 'lr', 'model.backbone.drop_path_rate', 'reason')
    assert [[row[name] for name in told] for row in again] == [[row[name] for name in told] for row in rows]
    assert len([line for line in said if ' goes on: ' in line]) == 1


def test_a_trial_at_which_the_search_was_killed_twice_is_given_up(search, monkeypatch):
    class Killed(BaseException):
        """As SIGKILL, which nothing meets."""

    def die(*_):
        raise Killed

    with monkeypatch.context() as killed:
        killed.setattr(study, 'follow', die)
        for _ in range(2):
            with pytest.raises(Killed):
                search('killed', '--resume', trials=1)
    (row,) = search('killed', '--resume', trials=1)
    assert row['reason'] == 'the search died 2 times while it ran'


def test_a_trial_without_a_finite_score_has_failed_and_a_metric_that_there_is_not_ends_the_search(search, tmp_path):
    nan = ('--search', 'lr=0.6,0.5')
    rows = search('nan', words=nan, trials=3)
    assert {row['reason'] for row in rows} >= {'no finite score'}
    assert {row['state'] for row in rows} == {'failed'}
    with pytest.raises(ValueError, match='--metric is acc/top11, .* trial 0 does not give; expected one of acc/top1;'):
        search('typo', '--metric', 'acc/top11')
    assert [path.name for path in (tmp_path / 'typo').glob('trial_*.log')] == ['trial_000.log']


def test_a_combination_of_choices_is_tried_once_in_a_folder_of_any_name(search, tmp_path):
    words = ('--search', 'lr=0.1,0.2', 'batch_size=1:2', '--pruner', 'none')
    rows = search('50%25 ?x#{a}', words=words, trials=9)
    assert sorted((row['lr'], row['batch_size']) for row in rows) == [(a, b) for a in ('0.1', '0.2') for b in '12']
    assert (tmp_path / '50%25 ?x#{a}/study.db').is_file()
    assert search('50%25 ?x#{a}', '--resume', words=words, trials=9) == rows


@pytest.mark.parametrize(
    ('words', 'goal'),
    [((), 'max'), (('--metric', 'acc/ece'), 'min'), (('--metric', 'acc/ece', '--goal', 'max'), 'max')],
)
def test_less_is_better_of_calibration_unless_asked_otherwise(words, goal):
    _, parser = new_command('sweep')
    assert study.Sweep(parser.parse_args([str(TINY), *WORDS[:3], *words]), 1).args.goal == goal


def test_files_of_others_and_a_damaged_study_are_left_alone(search, tmp_path):
    (tmp_path / 'others/trial_000').mkdir(parents=True)
    (tmp_path / 'others/trial_000/epoch_9.pth').touch()
    for more in ((), ('--resume',)):
        with pytest.raises(FileExistsError, match='others holds trial_000, and no search; choose another --work-dir'):
            search('others', *more)
    assert (tmp_path / 'others/trial_000/epoch_9.pth').exists()
    assert not (tmp_path / 'others/study.db').exists()
    (tmp_path / 'damaged').mkdir()
    (tmp_path / 'damaged/study.db').write_text('no study' * 100)
    with pytest.raises(OSError, match='study.db cannot be read as a study of Optuna: .*; put a copy in its place'):
        search('damaged', '--resume')


def test_logs_are_read_while_they_are_written(tmp_path):
    (tmp_path / '1/vis_data').mkdir(parents=True)
    lines = ['{"loss": 1, "iter": 4, "step": 4}', '{"epoch_loss": 1, "step": 1}', '{"AUC": 0.5, "step": 1}', '{"AU']
    file, logs = tmp_path / '1/vis_data/scalars.json', Logs(tmp_path)
    file.write_text('\n'.join(lines))
    assert logs.validations() == {1: dict(AUC=0.5)}
    file.write_text('?' * (file.stat().st_size - 4) + '{"AUC": 0.25, "names": ["a"], "time": 1, "step": 2}\n')
    assert logs.validations() == {1: dict(AUC=0.5), 2: dict(AUC=0.25)}  # what was read is not read again


def test_a_trial_that_is_stopped_may_write_its_checkpoint(tmp_path):
    begun, since = [], time.monotonic()

    def look() -> bool:
        begun.extend(tmp_path.glob('*/vis_data/scalars.json'))
        return bool(begun)

    slow = TRAINING.replace('if rate == 0.3', 'time.sleep(20)\n    if rate == 0.3')
    command = [sys.executable, '-S', '-c', slow, str(tmp_path), 'lr=1']
    assert follow(command, tmp_path / 'log', look) == 75
    assert (tmp_path / 'iter_1.pth').exists()
    assert time.monotonic() - since < 10


@pytest.mark.long
def test_a_search_by_real_trainings_that_is_killed_ends_as_one_that_is_not(motion, tmp_path):
    words = ['--search', 'lr=log:1e-4:1e-2', 'model.backbone.init_std=0.01,0.02', '--trials', '3', '--pruner', 'none']

    def begin(name: str, *more: str) -> subprocess.Popen:
        command = [sys.executable, '-m', 'mmtsf', 'sweep', TINY, *words, '--work-dir', tmp_path / name, *more]
        return subprocess.Popen([*command, *options(motion)], cwd=ROOT)

    assert begin('whole').wait(timeout=500) == 0
    killed = begin('killed')
    while not list((tmp_path / 'killed').glob('trial_001/epoch_1.pth')):
        assert killed.poll() is None
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert begin('killed', '--resume').wait(timeout=500) == 0
    tables = [read_table(tmp_path / name / 'trials.csv') for name in ('whole', 'killed')]
    for row in (*tables[0], *tables[1]):
        del row['seconds'], row['work_dir']
    assert tables[0] == tables[1]
    assert (tmp_path / 'killed/best.py').exists()


def test_an_option_of_both_kinds_is_refused(refused):
    from mmtsf.commands import run

    with refused('--cfg-options and --search have lr; give it once'):
        run('sweep', [TINY, '--search', 'lr=1:2', '--cfg-options', 'lr=1'])
    for word in ('randomness.seed', 'randomness', 'work_dir', 'resume', 'launcher'):
        with refused(f'--search has {word}, which the search gives each trial itself; give --'):
            run('sweep', [TINY, '--search', f'{word}=1,2'])
    with refused('--cfg-options has randomness.seed, which the search gives each trial itself; give --seed'):
        run('sweep', [TINY, '--search', 'lr=1:2', '--cfg-options', 'randomness.seed=3'])
    with refused('an address; a search lies on a local disk'):
        run('sweep', [TINY, '--search', 'lr=1:2', '--work-dir', 's3://bucket/run'])


def test_the_example_of_the_help_is_parsed():
    command, parser = new_command('sweep')
    line = command.__doc__.split('\n')[2]
    assert parser.parse_args(line.split()[2:]).trials == 20
    assert Path(command.__file__).name == 'sweep.py'
