"""Frozen backbones, and heads over tokens."""

import pytest
import torch
from helpers import SCHEMES, assert_close
from mmaction.models import BaseRecognizer
from mmaction.structures import ActionDataSample
from mmengine.optim import build_optim_wrapper

from mmtsf.apis import extract, init_recognizer
from mmtsf.config import load_config
from mmtsf.models import VideoRecognizer
from mmtsf.registry import MODELS

CONFIG = 'configs/timesformer_tiny_motion.py'
SMALL = {'start': None, 'model.backbone.num_layers': 2, 'model.backbone.drop_path_rate': 0.5, 'clip.num_frames': 4}


def built(recipe: str, **options) -> tuple[BaseRecognizer, dict]:
    """A small model and the config of its optimizer."""
    config = load_config(CONFIG, dict(recipe=recipe, **SMALL, **options))
    model = MODELS.build(config.model)
    model.init_weights()
    return model, config.optim_wrapper


def batch_of(labels: list, views: int = 1) -> dict:
    """Random clips with these labels."""
    inputs = [torch.randint(256, (views, 3, 4, 48, 48), dtype=torch.uint8) for _ in labels]
    return dict(inputs=inputs, data_samples=[ActionDataSample().set_gt_labels(label) for label in labels])


@pytest.mark.parametrize('multi_class', [False, True], ids=['one_label', 'several_labels'])
@pytest.mark.parametrize('recipe', ['linear_probe', 'attentive_probe'])
def test_a_probe_changes_the_head_alone(recipe: str, multi_class: bool) -> None:
    model, optimizer = built(recipe, **{'data.multi_class': multi_class})
    starts = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    wrapper = build_optim_wrapper(model, optimizer)
    labels = [torch.tensor([1.0, 0, 1, 0]), torch.zeros(4), torch.ones(4)] if multi_class else [3, 0, 1]
    batch = batch_of(labels)
    model.train()
    losses = [float(model.train_step(batch, wrapper)['loss']) for _ in range(4)]
    assert losses == sorted(losses, reverse=True)
    for name, tensor in model.state_dict().items():
        changed = not torch.equal(tensor, starts[name])
        assert changed == name.startswith('cls_head.'), name


def test_nothing_of_a_frozen_backbone_is_dropped_or_kept_for_a_backward_pass() -> None:
    model, _ = built('linear_probe')
    clips = torch.randn(2, 1, 3, 4, 48, 48)
    features = [model.train().extract_feat(clips)[0] for _ in range(2)]
    assert torch.equal(*features)
    assert not features[0].requires_grad
    assert model.cls_head.training
    assert not model.backbone.training


@pytest.mark.parametrize('scheme', SCHEMES)
def test_tokens_are_all_patches_after_the_norm(scheme: str) -> None:
    model, _ = built('attentive_probe', **{'model.backbone.attention.type': scheme})
    clips = torch.randn(2, 3, 4, 48, 48)
    expected = extract(model.eval(), clips, 'tokens').flatten(1, 3)
    assert_close(model.extract_feat(clips.unsqueeze(1))[0], expected)


def test_views_are_run_a_few_at_a_time_in_testing() -> None:
    model, _ = built('attentive_probe')
    batch = batch_of([3, 0], views=5)
    whole = [sample.pred_scores.item for sample in model.eval().test_step(batch)]
    model.test_cfg = dict(max_testing_views=3)
    parts = [sample.pred_scores.item for sample in model.test_step(batch)]
    assert_close(torch.stack(parts), torch.stack(whole))


def test_without_its_options_it_is_mmaction2s_recognizer() -> None:
    model, _ = built('paper')
    ours = VideoRecognizer(
        **{key: value for key, value in load_config(CONFIG, SMALL).model.items() if key not in ('type', '_scope_')}
    )
    ours.load_state_dict(model.state_dict())
    batch = batch_of([3, 0], views=2)
    expected, found = ([s.pred_scores.item for s in m.eval().test_step(batch)] for m in (model, ours))
    assert_close(torch.stack(found), torch.stack(expected))


def test_a_probe_is_loaded_again(tmp_path) -> None:
    model, _ = built('attentive_probe')
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'probe.pth')
    options = dict(recipe='attentive_probe', **SMALL)
    again = init_recognizer(CONFIG, tmp_path / 'probe.pth', 'cpu', options)
    batch = batch_of([3, 0])
    expected, found = ([s.pred_scores.item for s in m.eval().test_step(batch)] for m in (model, again))
    assert_close(torch.stack(found), torch.stack(expected))
