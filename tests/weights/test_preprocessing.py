"""How frames become a model's input goes with its weights, to Hugging Face's pipeline and back."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import SHARED, assert_close, hugging_face_model, randomise
from runs import TINY

from mmtsf.apis import build_pipeline, inference_recognizer, init_recognizer, to_sample, views_of
from mmtsf.datasets.decoders import open_video
from mmtsf.weights import Preprocessing, read_checkpoint, translate
from mmtsf.weights.convert import convert
from mmtsf.weights.preprocessing import from_hugging_face, to_hugging_face

transformers = pytest.importorskip('transformers')

PIXELS = {'model.data_preprocessor.mean': [90.0, 110.0, 130.0], 'model.data_preprocessor.std': [50.0, 60.0, 70.0]}
#: One view of consecutive frames, as the pipeline takes them, of the size of the videos: others are scaled otherwise
VIEW = {'clip.frame_interval': 1, 'view': '1x1', 'clip.size': 112}


def trained(options: dict, folder: Path) -> Path:
    """A checkpoint with random weights, as training writes it."""
    model = init_recognizer(TINY, device='cpu', options=options)
    randomise(model, 0.1)
    meta = dict(
        backbone=model.cfg.model.backbone.to_dict(),
        dataset_meta=dict(classes=['a', 'b', 'c', 'd']),
        preprocessing=Preprocessing.of_config(model.cfg).plain(),
    )
    torch.save(dict(state_dict=model.state_dict(), meta=meta), folder / 'model.pth')
    return folder / 'model.pth'


@pytest.fixture
def clip(motion) -> Path:
    return next(motion.glob('test/left/*.mp4'))


def first_frames(path: Path, number: int = 8) -> np.ndarray:
    return open_video(str(path)).read(np.arange(number))


@pytest.mark.parametrize('to_rgb', [False, True])
def test_hugging_faces_pipeline_gives_our_scores(to_rgb, clip, tmp_path):
    options = PIXELS | VIEW | {'model.data_preprocessor.to_rgb': to_rgb}
    checkpoint = trained(options, tmp_path)
    convert(str(checkpoint), tmp_path / 'hf', 'huggingface')
    pipeline = transformers.pipeline('video-classification', model=str(tmp_path / 'hf'))
    found = {answer['label']: answer['score'] for answer in pipeline(str(clip))}
    for source in (checkpoint, tmp_path / 'hf'):
        told = options if source == checkpoint else PIXELS_BACK[to_rgb] | VIEW
        model = init_recognizer(TINY, source, 'cpu', told)
        scores = inference_recognizer(model, first_frames(clip)).pred_scores.item.tolist()
        assert found == pytest.approx(dict(zip('abcd', scores)), abs=1e-4)
    assert max(found.values()) - min(found.values()) > 0.05


#: A model of BGR frames comes back as one of RGB frames
PIXELS_BACK = {
    False: PIXELS,
    True: {key: value[::-1] for key, value in PIXELS.items()},
}


@pytest.mark.parametrize('name', ['camera_motion', 'fights'])
def test_the_same_on_a_real_clip(name, tmp_path):
    folder = SHARED / 'data' / name
    if not folder.is_dir():
        pytest.skip(f'{folder} is not there')
    path = next(folder.rglob('*.mp4'))
    options = VIEW | {'clip.size': min(first_frames(path, 1).shape[1:3])}
    convert(str(trained(options, tmp_path)), tmp_path / 'hf', 'huggingface')
    pipeline = transformers.pipeline('video-classification', model=str(tmp_path / 'hf'))
    found = {answer['label']: answer['score'] for answer in pipeline(str(path))}
    model = init_recognizer(TINY, tmp_path / 'hf', 'cpu', options)
    scores = inference_recognizer(model, first_frames(path)).pred_scores.item.tolist()
    assert found == pytest.approx(dict(zip('abcd', scores)), abs=1e-4)


def test_processors_make_our_input(tmp_path, clip):
    checkpoint = trained(PIXELS | VIEW, tmp_path)
    convert(str(checkpoint), tmp_path / 'hf', 'huggingface')
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / 'hf')
    frames = first_frames(clip)
    theirs = processor(list(frames), return_tensors='pt')['pixel_values'][0].transpose(0, 1)
    model = init_recognizer(TINY, checkpoint, 'cpu', PIXELS | VIEW)
    assert_close(views_of(model, build_pipeline(model)(to_sample(frames)))[0], theirs)


def hugging_face(folder: Path, config: dict = {}, processor: dict | None = None) -> Path:
    """A folder of theirs for the small model's config, changed."""
    sizes = dict(num_frames=8, image_size=48, patch_size=8, hidden_size=64, num_attention_heads=2, num_hidden_layers=4)
    hugging_face_model(**sizes | dict(intermediate_size=256, num_labels=4)).save_pretrained(folder)
    told = json.loads((folder / 'config.json').read_text())
    (folder / 'config.json').write_text(json.dumps(told | config))
    if processor is not None:
        (name, usual), *_ = to_hugging_face(Preprocessing(), 48).items()
        (folder / 'preprocessor_config.json').write_text(json.dumps(usual | processor))
    return folder


@pytest.mark.parametrize(
    ('config', 'processor', 'words'),
    [
        (dict(hidden_act='gelu_new'), None, "config.json has hidden_act 'gelu_new', expected 'gelu'"),
        (dict(layer_norm_eps=1e-12), None, 'norm_eps 1e-12, and this one has 1e-06; set model.backbone.norm_eps=1e-12'),
        (dict(num_attention_heads=4), None, 'num_heads 4, and this one has 2; set model.backbone.num_heads=4'),
        (dict(problem_type='multi_label_classification'), None, 'several labels each.*data.multi_class=True'),
        (dict(problem_type='regression'), None, "config.json has problem_type 'regression'"),
        (dict(model_type='videomae'), None, "config.json has model_type 'videomae', expected 'timesformer'"),
        ({}, dict(image_mean=[0.5, 0.5, 0.5]), r'normalised otherwise; set .*mean=\[127.5,127.5,127.5\]'),
        ({}, dict(image_std=[0.229, 0.224, 0.225]), r'std=\[58.395,57.12,57.375\]'),
        ({}, dict(do_normalize=False), r'mean=\[0,0,0\] .*std=\[255,255,255\]'),
        ({}, dict(do_rescale=False), r'mean=\[0.45,0.45,0.45\]'),
        ({}, dict(rescale_factor=0), 'rescale_factor is 0, expected a number more than 0'),
        ({}, dict(image_mean=[1e308, 1, 1]), 'preprocessor_config.json is not taken: mean is .inf, '),
        ({}, dict(image_mean=None), 'preprocessor_config.json has no image_mean'),
        ({}, dict(image_std=[0.2, 0]), 'image_std|std is .0.2, 0., expected three numbers'),
        ({}, dict(image_std=0), 'std is 0, expected numbers more than 0'),
        ({}, dict(do_flip_channel_order=True), 'do_flip_channel_order, which has no counterpart here'),
        ({}, dict(image_processor_type='VivitImageProcessor'), 'offset, which has no counterpart here'),
        ({}, dict(crop_size=64), 'crops frames to 64 pixels, and the model of config.json takes 48'),
        ({}, dict(size='os.system'), "a size is 'os.system'|a size is"),
    ],
)
def test_what_a_folder_computes_otherwise_is_refused(config, processor, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        init_recognizer(TINY, hugging_face(tmp_path, config, processor), 'cpu')


def test_what_a_folder_tells_can_be_honoured(tmp_path):
    theirs = hugging_face(tmp_path, dict(layer_norm_eps=1e-3), dict(image_mean=0.5, image_std=[0.5]))
    told = {f'model.data_preprocessor.{name}': [127.5] * 3 for name in ('mean', 'std')}
    model = init_recognizer(TINY, theirs, 'cpu', told | {'model.backbone.norm_eps': 1e-3})
    assert model.backbone.norm.eps == 1e-3
    convert(str(theirs), tmp_path / 'ours.pth')
    again = init_recognizer(TINY, tmp_path / 'ours.pth', 'cpu', told | {'model.backbone.norm_eps': 1e-3})
    assert_close(again.backbone.norm.weight, model.backbone.norm.weight)
    with pytest.raises(ValueError, match='set model.backbone.norm_eps=0.001'):
        init_recognizer(TINY, tmp_path / 'ours.pth', 'cpu', told)


def test_a_file_of_a_folder_is_read_with_what_its_config_tells(tmp_path):
    theirs = hugging_face(tmp_path, dict(hidden_act='relu'))
    with pytest.raises(ValueError, match="config.json has hidden_act 'relu'"):
        translate(read_checkpoint(str(theirs / 'model.safetensors')))


def test_processors_that_differ_are_named(tmp_path):
    told = [dict(image_mean=mean, image_std=0.5) for mean in (0.5, 0.4)]
    with pytest.raises(ValueError, match='preprocessor_config.json and processor_config.json: image_processor scale'):
        from_hugging_face({'preprocessor_config.json': told[0], 'processor_config.json: image_processor': told[1]}, 48)


def test_dropout_and_another_resizing_are_said(tmp_path):
    theirs = hugging_face(tmp_path, dict(hidden_dropout_prob=0.1), dict(size=dict(height=48, width=48)))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always')
        translate(read_checkpoint(str(theirs)))
    text = ' '.join(str(one.message) for one in said)
    assert 'hidden_dropout_prob 0.1, which has no place here' in text
    assert 'frames are squeezed to a square' in text


@pytest.mark.parametrize('told', [7, dict(mean='os.system'), dict(std=[1, 0, 1]), dict(more=1), dict(to_rgb='yes')])
def test_what_our_files_tell_is_data(told):
    with pytest.raises(ValueError, match='expected'):
        Preprocessing.parse(told)
