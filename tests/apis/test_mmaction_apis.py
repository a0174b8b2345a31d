"""MMAction2's APIs on our config and checkpoint, and its ways to call ours."""

from pathlib import Path

import cv2
import mmaction.apis
import numpy as np
import pytest
import torch
from helpers import assert_close
from mmaction.apis import ActionRecogInferencer, MMAction2Inferencer
from mmengine.config import Config
from mmengine.dataset import Compose
from runs import ROOT, TINY

from mmtsf.apis import TimeSformerInferencer, inference_recognizer, init_recognizer
from mmtsf.config import load_config, resolve
from mmtsf.datasets.decoders import open_video

#: MMAction2's transforms of the same clip as our test protocol's: 8 frames, one in 3, from the middle
THEIRS = [
    dict(type='DecordInit'),
    dict(type='SampleFrames', clip_len=8, frame_interval=3, num_clips=1, test_mode=True),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(-1, 48)),
    dict(type='CenterCrop', crop_size=48),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]


@pytest.fixture
def video(motion) -> str:
    return str(next(motion.glob('test/left/*.mp4')))


@pytest.fixture
def frames(video) -> np.ndarray:
    reader = open_video(video)
    return reader.read(np.arange(reader.num_frames))


@pytest.fixture
def scores(model, video):
    """Scores ``(K,)`` of the video by our own API."""
    return inference_recognizer(model, video).pred_scores.item


def tiny() -> Config:
    """The quickstart's config, resolved, as for APIs that know nothing of references."""
    return resolve(Config.fromfile(ROOT / TINY))


@pytest.mark.parametrize(
    'read', [str, Path, Config.fromfile, load_config, lambda path: Config(Config.fromfile(path).to_dict())]
)
def test_a_config_is_taken_in_any_state(read, tiny_checkpoint, video, scores):
    model = init_recognizer(read(ROOT / TINY), tiny_checkpoint, 'cpu')
    assert_close(inference_recognizer(model, video).pred_scores.item, scores, atol=0)
    inferencer = TimeSformerInferencer(read(ROOT / TINY), tiny_checkpoint, 'cpu')
    assert inferencer(video, topk=1)['predictions'][0]['scores'] == pytest.approx([float(scores.max())])


def test_the_config_that_was_given_stays_as_it_was(tiny_checkpoint):
    config = Config.fromfile(ROOT / TINY)
    before = config.to_dict()
    model = init_recognizer(config, tiny_checkpoint, 'cpu', {'views.num_clips': 3})
    assert model.cfg.test_pipeline[1].num_clips == 3
    assert config.to_dict() == before


@pytest.mark.parametrize('config', [['a.py'], 7, None])
@pytest.mark.parametrize('make', [init_recognizer, TimeSformerInferencer, mmaction.apis.init_recognizer])
def test_what_is_no_config_is_refused_in_mmactions_words(config, make):
    with pytest.raises(TypeError, match='config must be a filename or Config object, but got <class'):
        make(config, device='cpu')


def test_the_model_is_returned_as_it_is_trained(tiny_checkpoint, model):
    plain = mmaction.apis.init_recognizer(tiny(), str(tiny_checkpoint), 'cpu').state_dict()
    ours = model.state_dict()
    assert list(ours) == list(plain)
    assert all(ours[key].equal(plain[key]) for key in ours)


def test_mmactions_apis_give_our_scores(tiny_checkpoint, video, scores):
    model = mmaction.apis.init_recognizer(tiny(), str(tiny_checkpoint), 'cpu')
    result = mmaction.apis.inference_recognizer(model, video)
    assert_close(result.pred_scores.item, scores)
    assert_close(inference_recognizer(model, video).pred_scores.item, scores)


def test_mmactions_api_takes_our_model(model, video, scores):
    assert_close(mmaction.apis.inference_recognizer(model, video).pred_scores.item, scores, atol=0)


@pytest.mark.parametrize('decoder', ['Decord', 'PyAV', 'OpenCV'])
def test_a_pipeline_of_mmactions_transforms_gives_nearly_our_scores(decoder, model, video, scores):
    swapped = [dict(t, type=t['type'].replace('Decord', decoder)) for t in THEIRS]
    result = inference_recognizer(model, video, Compose(swapped))
    assert_close(result.pred_scores.item, scores, atol=1e-3)  # decoders round colours differently


def test_frames_in_memory_pass_through_mmactions_transforms(model, frames, video, scores):
    pipeline = Compose([THEIRS[1], dict(type='ArrayDecode'), *THEIRS[3:]])
    assert_close(inference_recognizer(model, frames, pipeline).pred_scores.item, scores, atol=1e-6)


@pytest.mark.parametrize('inputs', ['video', 'array', 'rawframes'])
def test_mmactions_inferencer_gives_our_scores(inputs, tiny_checkpoint, video, frames, scores, tmp_path):
    for number, frame in enumerate(frames, 1):
        cv2.imwrite(str(tmp_path / f'img_{number:05}.png'), frame[..., ::-1])
    given = dict(video=video, array=frames, rawframes=str(tmp_path))[inputs]
    more = dict(pack_cfg=dict(filename_tmpl='img_{:05}.png')) if inputs == 'rawframes' else {}
    inferencer = ActionRecogInferencer(tiny(), str(tiny_checkpoint), 'cpu', input_format=inputs, scope='mmtsf', **more)
    (got,) = inferencer(given)['predictions']
    assert got['pred_scores'] == pytest.approx(scores.tolist(), abs=1e-3)


def test_mmactions_inferencer_of_inferencers_gives_our_scores(tiny_checkpoint, video, scores, tmp_path):
    config = tiny()  # whose names that inferencer looks up in MMAction2's scope, unless they tell theirs
    for part in (config.model, *config.test_dataloader.dataset.pipeline):
        part['_scope_'] = 'mmtsf'
    config.dump(tmp_path / 'tiny.py')
    inferencer = MMAction2Inferencer(str(tmp_path / 'tiny.py'), str(tiny_checkpoint), 'cpu')
    (got,) = inferencer(video)['predictions']
    assert got['rec_scores'][0] == pytest.approx(scores.tolist(), abs=1e-3)


def test_our_inferencer_takes_the_arguments_of_its_base(tiny_checkpoint, video, scores):
    config = Config.fromfile(ROOT / TINY)._cfg_dict
    inferencer = TimeSformerInferencer(config, str(tiny_checkpoint), 'cpu', 'mmtsf', True)
    (got,) = inferencer(video, return_datasamples=False, batch_size=1)['predictions']
    assert max(got['scores']) == pytest.approx(float(scores.max()))


def test_our_inferencer_takes_a_pipeline_of_mmactions_transforms(tiny_checkpoint, video, scores):
    config = tiny()
    config.test_dataloader.dataset.pipeline = THEIRS
    (got,) = TimeSformerInferencer(config, tiny_checkpoint, 'cpu')(video)['predictions']
    assert (got['video'], got['times']) == (video, None)
    assert max(got['scores']) == pytest.approx(float(scores.max()), abs=1e-3)


@pytest.mark.parametrize('fused', [False, True])
def test_a_backbone_and_head_of_mmaction_load_their_own_weights(fused, video, tmp_path):
    config = tiny()
    sizes = dict(num_frames=8, img_size=48, patch_size=16, embed_dims=32, num_heads=2, num_transformer_layers=1)
    config.model.backbone = dict(type='mmaction.TimeSformer', pretrained=None, **sizes)
    config.model.cls_head = dict(type='mmaction.TimeSformerHead', num_classes=4, in_channels=32, average_clips='prob')
    trained = init_recognizer(config, device='cpu')
    torch.save(dict(state_dict=trained.state_dict()), tmp_path / 'theirs.pth')
    again = init_recognizer(config, tmp_path / 'theirs.pth', 'cpu', fused=fused)
    scores = [inference_recognizer(model, video).pred_scores.item for model in (trained, again)]
    assert_close(scores[1], scores[0], atol=0)
    torch.save(dict(state_dict={'cls_head.fc_cls.bias': torch.zeros(4)}), tmp_path / 'part.pth')
    with pytest.raises(ValueError, match='the checkpoint does not fit the model of this config'):
        init_recognizer(config, tmp_path / 'part.pth', 'cpu')
