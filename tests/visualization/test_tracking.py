"""What a training logs to Weights & Biases and MLflow, read back from what they keep."""

import json
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from runs import TINY, in_process, options, run_tool

from mmtsf.visualization.tracking import RunVisualizer
from mmtsf.visualization.tracking.loggable import without_secret_values

LOGS = dict(
    tensorboard=dict(type='TensorboardVisBackend'),
    wandb=dict(type='WandbBackend', project='mine'),
    mlflow=dict(type='MLflowBackend'),
)
SECRET = 'hunter2hunter2'


def records(file: Path) -> list[bytes]:
    """Records of a ``.wandb`` file: LevelDB's log, blocks of 32 KiB that begin behind a header of 7 bytes."""
    data, place, found = file.read_bytes(), 7, [b'']
    while place + 7 <= len(data):
        if (left := 2**15 - place % 2**15) < 7:
            place += left
            continue
        length, kind = struct.unpack('<HB', data[place + 4 : place + 7])
        found[-1] += data[place + 7 : place + 7 + length]
        if kind in (1, 4):  # whole, or the last part
            found.append(b'')
        place += 7 + length
    return found[:-1]


def of_wandb(folder: Path) -> tuple[dict, list[dict]]:
    """Config and history of a run that W&B has written offline."""
    from wandb.proto import wandb_internal_pb2

    (path,), config, history = folder.glob('*.wandb'), {}, []
    for data in records(path):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        for update in (*record.run.config.update, *record.config.update):
            config[update.key or '.'.join(update.nested_key)] = json.loads(update.value_json)
        if items := record.history.item:
            history.append({item.key or '.'.join(item.nested_key): json.loads(item.value_json) for item in items})
    return config, history


@pytest.fixture
def offline(tmp_path, monkeypatch) -> dict[str, str]:
    """Trackers that write to files."""
    for tracker in ('wandb', 'mlflow'):
        pytest.importorskip(tracker)
    where = f'file://{tmp_path}/ml'  # MLflow takes ten seconds to make a database
    variables = dict(WANDB_MODE='offline', MLFLOW_ALLOW_FILE_STORE='true', MLFLOW_TRACKING_URI=where)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def check_runs(run: Path, uri: str, iterations: int) -> None:
    """What two processes have logged of a run, an epoch of so many iterations each."""
    from mlflow.tracking import MlflowClient

    run_id = (run / 'run_id').read_text().strip()
    folders = sorted((run / 'wandb').glob(f'offline-run-*-{run_id}'), key=lambda folder: folder.stat().st_ctime_ns)
    assert len(folders) == 2  # of one run, by its name
    for epoch, (config, history) in enumerate(map(of_wandb, folders), 1):
        assert config['model']['backbone']['type'] == 'TimeSformer'
        assert [row['epoch'] for row in history if 'acc/top1' in row] == [epoch]
        told = [row['iteration'] for row in history if 'loss' in row]
        assert told == list(range((epoch - 1) * iterations + 1, epoch * iterations + 1))
        kinds = {row[name] for row in history for name in row if re.match(r'validation_0.*[.]_type', name)}
        assert kinds == {'image-file', 'video-file'}
    sent = {path.name for folder in folders for path in folder.rglob('*') if path.is_file()}
    assert not [name for name in sent if re.search(r'requirements|metadata|diff|[.]py$', name)]

    client = MlflowClient(uri)
    (found,) = client.search_runs([client.get_experiment_by_name('mmtsf').experiment_id])
    assert found.info.status == 'FINISHED'
    assert found.data.params['model.backbone.type'] == 'TimeSformer'
    steps = {key: [one.step for one in client.get_metric_history(found.info.run_id, key)] for key in found.data.metrics}
    assert steps['acc/top1'] == [1, 2]
    assert steps['loss'] == list(range(1, 2 * iterations + 1))
    clips = {Path(file.path).name for file in client.list_artifacts(found.info.run_id, 'clips')}
    assert {'validation_0_1.png', 'validation_0_2.mp4'} <= clips


def test_two_trackers_have_config_curves_and_clips_and_a_resumed_run_goes_on(offline, tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run/run_id').write_text('mine\n')
    frames = [np.full((32, 32, 3), 40 * number, np.uint8) for number in range(3)]
    for epoch in (1, 2):
        visualizer = RunVisualizer(f'of {epoch}', ['wandb', 'mlflow'], LOGS, str(tmp_path / f'run/{epoch}'))
        visualizer.add_config(Config(dict(model=dict(backbone=dict(type='TimeSformer')), times=epoch)))
        visualizer.begin()
        for step in (2 * epoch - 1, 2 * epoch):
            visualizer.add_scalars(dict(loss=0.5, iter=step, epoch=epoch), step)
        visualizer.add_scalars({'acc/top1': 0.25, 'time': 1.0}, epoch)
        visualizer.add_image('validation_0', frames[0], epoch)
        visualizer.add_video('validation_0', frames, epoch)
        visualizer.close()
    check_runs(tmp_path / 'run', offline['MLFLOW_TRACKING_URI'], 2)


@pytest.mark.long
def test_a_training_logs_to_two_trackers_and_goes_on_there(motion, offline, tmp_path):
    uri = f'sqlite:///{tmp_path}/mlflow.db'
    changes = {'log_to': '[wandb,mlflow]', 'default_hooks.logger.interval': 1, 'logs.mlflow.uri': uri}
    where = ('--work-dir', tmp_path / 'run')
    run_tool('tools/train.py', TINY, *where, *options(motion, max_epochs=1, **changes), **offline)
    run_tool('tools/train.py', TINY, *where, '--resume', *options(motion, **changes), **offline)
    check_runs(tmp_path / 'run', uri, 4)


def test_secrets_are_not_logged(monkeypatch, tmp_path):
    monkeypatch.setenv('MINE_API_KEY', SECRET)
    config = dict(
        data=dict(root=f'https://me:{SECRET}@host/videos?sig={SECRET}', files=[f's3://a:{SECRET}@b/c', 'plain']),
        storage=dict(access_key=SECRET, token=SECRET, note=f'is {SECRET}', num_tokens=7),
        attention=dict(cls_token='keys'),
    )
    assert SECRET not in str(without_secret_values(config))
    assert without_secret_values(config)['attention'] == dict(cls_token='keys')
    below = dict(
        dict.fromkeys(('pwd', 'cookie', 'dbpassword', 'PGPASSWORD', 'sas', 'api_key_id', 'hfToken'), SECRET),
        password=27182818,
        token=[SECRET],
        auth=('user', SECRET),
        credentials=dict(a=[dict(b=27182818)]),
        headers={'Authorization': SECRET, 'note': f'Bearer {SECRET}'},
        texts=[
            f'sv=1&sig={SECRET}&x=1',
            f'cmd --token {SECRET}',
            f'{{"secret": "{SECRET}"}}',
            Path(f's3://a:{SECRET}@b'),
        ],
        hooks=[f'https://hooks.slack.com/services/T0/{SECRET}', f'to https://host/api/webhooks/1/{SECRET} now'],
        hub=['hf_' + 20 * 'a', 'AIza' + 35 * 'a'],
        pem='-----BEGIN RSA PRIVATE KEY-----\naaaa\naaaa=\n-----END RSA PRIVATE KEY-----',
    )
    shown = str(without_secret_values(below))
    assert not [secret for secret in (SECRET, '27182818', 'aaaa', "'user'") if secret in shown]
    plain = dict(
        token=None, use_auth=True, keys=['a'], num_register_tokens=4, meta_keys=('b',), note='note: a b', key=''
    )
    assert without_secret_values(plain) == plain
    RunVisualizer('b', save_dir=str(tmp_path)).add_config(Config(config))
    assert SECRET not in (tmp_path / 'vis_data/config.py').read_text()


@pytest.mark.parametrize(
    ('words', 'told'),
    [
        ('wandbb', "log_to names 'wandbb'; did you mean 'wandb'"),
        (['files', 'other'], "log_to names 'other'; expected one of files, tensorboard"),
        (7, 'log_to is 7, expected one of'),
        ([], 'log_to is .., expected one of'),
    ],
)
def test_words_that_name_no_tracker_are_refused(words, told, tmp_path):
    with pytest.raises(ValueError, match=told):
        RunVisualizer('words', words, LOGS, save_dir=str(tmp_path))


def test_what_a_tracker_lacks_is_one_line_before_training_begins(motion, tmp_path, monkeypatch):
    pytest.importorskip('wandb')
    for name in ('WANDB_MODE', 'WANDB_API_KEY'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('HOME', str(tmp_path))
    words = ('train', TINY, '--work-dir', tmp_path / 'run', *options(motion, log_to='wandb'))
    with pytest.raises(OSError, match='log_to=wandb: .*(?i:no api key).*.*wandb login, or WANDB_API_KEY.*offline'):
        in_process(*words)
    assert not list((tmp_path / 'run').glob('*.pth'))
    with pytest.raises(OSError, match='log_to=mlflow: .*MLFLOW_TRACKING_URI, or logs.mlflow.uri'):
        RunVisualizer(
            'a', 'mlflow', dict(mlflow=dict(type='MLflowBackend', uri='file:///none')), save_dir=str(tmp_path)
        )
    (tmp_path / 'file').touch()
    uri = f'sqlite:///{tmp_path}/file/mlflow.db'
    with pytest.raises(OSError, match='log_to=mlflow: .*; MLFLOW_TRACKING_URI, or .*, names .* a file that can be'):
        RunVisualizer('c', 'mlflow', dict(mlflow=dict(type='MLflowBackend', uri=uri)), save_dir=str(tmp_path))
