"""Features are what the backbone has before the classifier."""

import pytest
import torch
from helpers import SCHEMES, assert_close
from mmaction.structures import ActionDataSample
from runs import ROOT, TINY

from mmtsf.apis import extract, init_recognizer

CLIPS = torch.randint(0, 256, (3, 3, 8, 48, 48), dtype=torch.uint8)


@torch.no_grad()
@pytest.mark.parametrize('scheme', SCHEMES)
def test_levels_are_means_of_one_another_and_of_every_scheme(scheme):
    model = init_recognizer(ROOT / TINY, device='cpu', options={'model.backbone.attention.type': scheme})
    features = {level: extract(model, CLIPS, level) for level in ('video', 'clip', 'frame', 'tokens')}
    shapes = {level: tuple(feature.shape) for level, feature in features.items()}
    assert shapes == dict(video=(64,), clip=(3, 64), frame=(3, 8, 64), tokens=(3, 8, 6, 6, 64))
    assert_close(features['video'], features['clip'].mean(0))
    assert_close(features['frame'], features['tokens'].mean((2, 3)))
    assert_close(features['clip'], model.backbone(CLIPS))
    assert_close(features['clip'][1:2], extract(model, CLIPS[1:2], 'clip'))


@torch.no_grad()
def test_the_classifier_turns_clip_features_into_the_models_scores(model):
    batch = dict(inputs=[CLIPS], data_samples=[ActionDataSample()])
    logits = model.cls_head(extract(model, model.data_preprocessor(batch)['inputs'][0], 'clip'))
    (result,) = model.test_step(batch)
    assert_close(logits.softmax(1).mean(0), result.pred_scores.item)


def test_views_are_run_a_few_at_a_time(model, monkeypatch):
    whole = extract(model, CLIPS, 'clip')
    seen = []
    model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    monkeypatch.setitem(model.test_cfg, 'max_testing_views', 2)
    assert_close(extract(model, CLIPS, 'clip'), whole)
    assert seen == [2, 1]


def test_an_unknown_level_is_refused(model):
    with pytest.raises(ValueError, match=r"level is 'patch', expected one of \('video', 'clip', 'frame', 'tokens'\)"):
        extract(model, CLIPS, 'patch')
