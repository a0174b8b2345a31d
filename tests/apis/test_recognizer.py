"""One call from a file to scores."""

import csv

import pytest
import torch
from helpers import MOTION_CLASSES, assert_close
from runs import ROOT, TINY, run_tool
from videos import write_greys

from mmtsf.apis import inference_recognizer, init_recognizer
from mmtsf.datasets.decoders import BrokenVideoError


def test_scores_are_those_of_the_test_tool(model, tiny_checkpoint, motion, tmp_path):
    run_tool('tools/test.py', TINY, tiny_checkpoint, '--work-dir', tmp_path, '--cfg-options', f'data.root={motion}')
    rows = list(csv.DictReader((tmp_path / 'predictions.csv').open()))
    assert len(rows) == 12
    for row in rows:
        result = inference_recognizer(model, row['video'])
        scores = result.pred_scores.item
        assert model.dataset_meta['classes'][int(result.pred_labels.item)] == row['predicted']
        assert [float(row['score']), float(row['score_of_class'])] == pytest.approx(
            [float(scores.max()), float(scores[MOTION_CLASSES.index(row['class'])])], abs=1e-4
        )


def test_a_fused_model_gives_the_scores_of_the_plain_one(tiny_checkpoint, motion):
    path = next(motion.glob('test/left/*.mp4'))
    models = [init_recognizer(ROOT / TINY, tiny_checkpoint, 'cpu', fused=fused) for fused in (True, False)]
    scores = [inference_recognizer(model, path).pred_scores.item for model in models]
    assert_close(scores[0], scores[1])
    fused, plain = (model.state_dict() for model in models)
    assert 'backbone.fused' in fused
    assert len(plain) > len(fused)


def test_class_names_come_with_the_checkpoint_or_are_numbers(model, tiny_checkpoint, tmp_path):
    assert model.dataset_meta['classes'] == MOTION_CLASSES
    assert init_recognizer(ROOT / TINY, device='cpu').dataset_meta['classes'] == ['0', '1', '2', '3']
    bare = tmp_path / 'bare.pth'
    torch.save(dict(state_dict=torch.load(tiny_checkpoint)['state_dict']), bare)
    assert init_recognizer(ROOT / TINY, bare, 'cpu').dataset_meta['classes'] == ['0', '1', '2', '3']


def test_options_change_the_config(tiny_checkpoint):
    model = init_recognizer(ROOT / TINY, tiny_checkpoint, 'cpu', {'views.num_clips': 3})
    assert model.cfg.test_dataloader.dataset.pipeline[1].num_clips == 3


def test_missing_files_are_named(model, tiny_checkpoint, tmp_path):
    with pytest.raises(BrokenVideoError, match=r'none\.mp4: the file does not exist'):
        inference_recognizer(model, tmp_path / 'none.mp4')
    with pytest.raises(FileNotFoundError, match=r'the config none\.py does not exist'):
        init_recognizer('none.py', tiny_checkpoint, 'cpu')


def test_a_short_video_has_scores(model, tmp_path):
    scores = inference_recognizer(model, write_greys(tmp_path / 'short.mp4', 2)).pred_scores.item
    assert scores.sum().item() == pytest.approx(1)
