"""Testing as a user starts it."""

import csv
import json
import pickle
import shutil
from pathlib import Path

import pytest
from runs import TINY, options, run_tool


@pytest.fixture(scope='module')
def checkpoint(motion, tmp_path_factory) -> Path:
    work_dir = tmp_path_factory.mktemp('trained')
    run_tool('tools/train.py', TINY, '--work-dir', work_dir, *options(motion, max_epochs=1))
    return work_dir / 'epoch_1.pth'


def test_two_processes_report_exactly_what_one_reports(motion, checkpoint, tmp_path):
    one = run_tool('tools/test.py', TINY, checkpoint, '--work-dir', tmp_path / '1', *options(motion))
    # 12 videos in batches of 5 for two processes: uneven, and every video counts once
    uneven = options(motion, **{'test_dataloader.batch_size': 5})
    two = run_tool('tools/dist_test.sh', TINY, checkpoint, 2, '--work-dir', tmp_path / '2', *uneven)
    for log, name in ((one, '1'), (two, '2')):
        assert 'videos: 12 expected, 12 found, 12 scored' in log
        assert (tmp_path / name / 'confusion_matrix.png').stat().st_size > 5000
        rows = list(csv.DictReader((tmp_path / name / 'per_class.csv').open()))
        assert [row['class'] for row in rows] == ['left', 'left_then_right', 'right', 'right_then_left']
        assert [row['videos'] for row in rows] == ['3'] * 4
    assert (tmp_path / '1/per_class.csv').read_text() == (tmp_path / '2/per_class.csv').read_text()
    metrics = [json.loads((tmp_path / name / 'metrics.json').read_text()) for name in '12']
    scores = [{name: found.pop(f'acc/{name}') for name in ('ece', 'nll', 'brier')} for found in metrics]
    assert metrics[0] == metrics[1]
    assert scores[0] == pytest.approx(scores[1], rel=1e-4)  # other batches round otherwise


def test_dumped_predictions_give_the_reported_accuracy(motion, checkpoint, tmp_path):
    dump = tmp_path / 'predictions.pkl'
    run_tool('tools/test.py', TINY, checkpoint, '--dump', dump, '--work-dir', tmp_path, *options(motion))
    predictions = pickle.loads(dump.read_bytes())
    assert 'DumpResults' not in (tmp_path / Path(TINY).name).read_text()  # which would write over it
    hits = [int(p['pred_scores']['item'].argmax()) == int(p['gt_labels']['item']) for p in predictions]
    assert len(hits) == 12
    assert json.loads((tmp_path / 'metrics.json').read_text())['acc/top1'] == pytest.approx(sum(hits) / 12)


def test_a_broken_video_is_an_error_or_left_out_and_named_when_asked(motion, checkpoint, tmp_path):
    data = tmp_path / 'data'
    shutil.copytree(motion, data)
    broken = sorted(data.glob('test/left/*.mp4'))[0]
    broken.write_bytes(b'')
    arguments = [TINY, checkpoint, '--work-dir', tmp_path]
    assert f'{broken}: the file is empty' in run_tool('tools/test.py', *arguments, *options(data), fails=True)
    log = run_tool('tools/test.py', *arguments, *options(data, **{'data.skip_broken': True}))
    assert 'videos: 12 expected, 12 found, 11 scored' in log
    assert f'not scored: {broken}: the file is empty' in log


def test_a_checkpoint_of_another_model_is_refused_shape_by_shape(motion, checkpoint, tmp_path):
    wider = options(motion, **{'model.backbone.embed_dims': 128})
    log = run_tool('tools/test.py', TINY, checkpoint, '--work-dir', tmp_path, *wider, fails=True)
    assert 'the checkpoint does not fit the model of this config; give the config it was trained with' in log
    assert 'backbone.norm.weight: (64,) in the checkpoint, (' in log
    deeper = options(motion, **{'model.backbone.num_layers': 3})
    log = run_tool('tools/test.py', TINY, checkpoint, '--work-dir', tmp_path, *deeper, fails=True)
    assert 'weights are missing: backbone.blocks.2.attention.steps.time.norm.weight' in log


def test_other_classes_keep_the_body_and_start_a_fresh_head(motion, checkpoint, tmp_path):
    data = tmp_path / 'data'
    shutil.copytree(motion, data)
    for split in ('train', 'val', 'test'):
        shutil.rmtree(data / split / 'left')
    fewer = options(data, **{'data.num_classes': 3, 'load_from': checkpoint, 'max_epochs': 1})
    assert 'epoch 1/1' in run_tool('tools/train.py', TINY, '--work-dir', tmp_path / 'run', *fewer)


def test_a_dump_needs_its_ending(checkpoint):
    log = run_tool('tools/test.py', TINY, checkpoint, '--dump', 'out.json', fails=True)
    assert '--dump is out.json, expected a name that ends in .pkl' in log


def test_attention_is_drawn(motion, checkpoint, tmp_path):
    video, out = next(motion.glob('test/left/*.mp4')), tmp_path / 'attention.png'
    config = checkpoint.parent / Path(TINY).name
    run_tool('tools/analysis/visualize_attention.py', video, config, checkpoint, out)
    assert out.stat().st_size > 20000
