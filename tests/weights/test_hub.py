"""Folders for Hugging Face: whole, with a card, and read back here and by transformers, from a folder or the hub."""

import http.server
import json
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import MOTION_CLASSES, hugging_face_model
from runs import in_process

import mmtsf
from mmtsf.apis import inference_recognizer, init_recognizer
from mmtsf.config import load_config
from mmtsf.engine.runner.run_record import plain_settings
from mmtsf.weights import write
from mmtsf.weights.hub import hub_folder
from mmtsf.weights.model_card import Card, read_metrics
from mmtsf.weights.record import Record

#: Test metrics, as mmtsf test writes them
METRICS = {'acc/top1': 0.75, 'acc/mean1': 0.5, 'calibration/ece': 0.125}
SHA = '0123456789abcdef0123456789abcdef01234567'
TINY = 'mmtsf::timesformer_tiny_motion.py'


@pytest.fixture(scope='module')
def folder(tiny_checkpoint, tmp_path_factory) -> Path:
    """A folder with a card, as the command writes it."""
    above = tmp_path_factory.mktemp('hub')
    (above / 'metrics.json').write_text(json.dumps(METRICS))
    words = ('--metrics', above / 'metrics.json', '--config', TINY)
    card = ('--card', 'name=Motion | 4', 'dataset=Motion videos', 'license=apache-2.0', 'base_model=google/vit')
    assert not in_process('convert', tiny_checkpoint, above / 'hf', '--to', 'huggingface', *words, *card)
    return above / 'hf'


def test_a_folder_is_complete_and_its_card_is_one_of_the_hub(folder):
    from huggingface_hub import ModelCard

    assert {path.name for path in folder.iterdir()} == {
        'README.md',
        'config.json',
        'model.safetensors',
        'model.safetensors.sha256',
        'preprocessor_config.json',
        'video_preprocessor_config.json',
    }
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith('.')] == []
    config = json.loads((folder / 'config.json').read_text())
    assert list(config['id2label'].values()) == MOTION_CLASSES
    card = ModelCard.load(folder / 'README.md')
    told = card.data
    assert (told.license, told.base_model, told.pipeline_tag) == ('apache-2.0', 'google/vit', 'video-classification')
    assert {(one.metric_name, one.metric_type, one.metric_value) for one in told.eval_results} == {
        ('top-1 accuracy', 'accuracy', 0.75),
        ('mean class accuracy', 'accuracy', 0.5),
        ('calibration/ece', 'calibration_ece', 0.125),
    }
    assert {one.dataset_name for one in told.eval_results} == {'Motion videos'}
    assert '# Motion \\| 4' in card.text
    assert f'frame_sampling_rate={config["frame_interval"]}' in card.text


def test_options_below_the_backbone_have_an_effect_or_are_refused(folder):
    assert mmtsf.from_pretrained(folder, device='cpu', options={'model.backbone.with_cp': True}).backbone.with_cp
    for option in ({'model.backbone.num_layers': 3}, {'model.backbone.norm_eps': 0.5}, {'start': 'other.pth'}):
        with pytest.raises(ValueError, match='does not fit|norm_eps|the option start names other weights'):
            mmtsf.from_pretrained(folder, device='cpu', options=option)


def test_the_pipeline_of_transformers_and_ours_give_the_same_scores(folder, tiny_checkpoint, motion):
    transformers = pytest.importorskip('transformers')
    video = str(next(motion.glob('test/left/*.mp4')))
    ours = mmtsf.from_pretrained(folder, device='cpu')
    assert ours.dataset_meta['classes'] == MOTION_CLASSES
    frames = np.random.default_rng(0).integers(0, 256, (8, 48, 48, 3), np.uint8)
    one = mmtsf.from_pretrained(folder, device='cpu', options={'clip.frame_interval': 1, 'view': '1x1'})
    before = init_recognizer(TINY, tiny_checkpoint, 'cpu', {'clip.frame_interval': 1, 'view': '1x1'})
    scores = [inference_recognizer(model, frames).pred_scores.item for model in (one, before)]
    torch.testing.assert_close(*scores, atol=1e-5, rtol=0)
    pipeline = transformers.pipeline('video-classification', model=str(folder))
    pixels = pipeline.image_processor(list(frames), return_tensors='pt')
    theirs = pipeline.model(**pixels).logits.softmax(-1)[0]
    torch.testing.assert_close(scores[0], theirs, atol=1e-5, rtol=0)
    assert {answer['label'] for answer in pipeline(video)} <= set(MOTION_CLASSES)


def test_what_a_checkpoint_tells_of_itself_is_in_the_folder(tiny_checkpoint, tmp_path):
    """Without a config, from the training's file and from one of ours made of it."""
    checkpoint = torch.load(tiny_checkpoint, weights_only=True)
    settings = plain_settings(load_config(TINY).to_dict())
    checkpoint['meta']['run'] = dict(settings=settings)
    settings['model']['cls_head'] |= dict(multi_class=True, average_clips='score')
    settings['model']['data_preprocessor'] |= dict(mean=[10.0, 20.0, 30.0], std=[51.0] * 3)
    settings['load_from'] = 'timesformer_base_k400'
    torch.save(checkpoint, tmp_path / 'mine.pth')
    assert not in_process('convert', tmp_path / 'mine.pth', tmp_path / 'ours.safetensors')
    for source in ('mine.pth', 'ours.safetensors'):
        assert not in_process('convert', tmp_path / source, tmp_path / 'hf' / source, '--to', 'huggingface')
        assert not in_process('convert', tmp_path / 'hf' / source, tmp_path / 'again' / source, '--to', 'huggingface')
        for folder in (tmp_path / 'hf' / source, tmp_path / 'again' / source):
            config = json.loads((folder / 'config.json').read_text())
            assert config['problem_type'] == 'multi_label_classification'
            assert config['frame_interval'] == 3
            processor = json.loads((folder / 'preprocessor_config.json').read_text())
            assert processor['image_mean'] == pytest.approx([10 / 255, 20 / 255, 30 / 255])
            model = mmtsf.from_pretrained(folder, device='cpu')
            assert model.cls_head.multi_class
            assert model.cls_head.average_clips == 'score'
            assert 'gets one of them' not in (folder / 'README.md').read_text()
        assert '| start | timesformer\\_base\\_k400 |' in (tmp_path / 'hf' / source / 'README.md').read_text()


@pytest.mark.parametrize(
    ('place', 'value', 'told'),
    [
        ('multi_class', 'yes', "multi_class is 'yes', expected"),
        ('frame_interval', 10**9, 'frame_interval is 1000000000, expected'),
        ('average_clips', ['prob'], 'average_clips is .*, expected'),
        ('start', 'a\nb', 'start is .*, expected None or a text'),
        ('preprocessing', dict(mean=1e999), 'mean is inf'),
        ('run', dict(settings=dict(model=dict(cls_head=dict(multi_class=1)))), 'multi_class is 1, expected'),
    ],
)
def test_what_a_checkpoint_tells_of_itself_is_data(place, value, told):
    with pytest.raises(ValueError, match=told):
        Record.parse({place: value})


@pytest.mark.parametrize('settings', [7, dict(model=7), dict(model=dict(cls_head=[], data_preprocessor=7, backbone=1))])
def test_what_is_no_config_tells_nothing(settings):
    assert Record.parse(dict(run=dict(settings=settings))) == Record()


def test_several_labels_a_video_go_from_theirs_to_theirs(tmp_path):
    sizes = dict(num_frames=2, image_size=16, patch_size=8, num_labels=3)
    theirs = hugging_face_model(**sizes, problem_type='multi_label_classification')
    theirs.save_pretrained(tmp_path / 'theirs')
    assert not in_process('convert', tmp_path / 'theirs', tmp_path / 'again', '--to', 'huggingface')
    assert json.loads((tmp_path / 'again/config.json').read_text())['problem_type'] == 'multi_label_classification'
    ours = mmtsf.from_pretrained(tmp_path / 'again', device='cpu')
    pixels = torch.randn(1, 2, 3, 16, 16)
    with torch.no_grad():
        scores = ours.cls_head.average_clip(ours.cls_head(ours.backbone(pixels.transpose(1, 2))))
        torch.testing.assert_close(scores, theirs(pixels).logits.sigmoid(), atol=1e-5, rtol=0)


def test_a_folder_without_a_classifier_does_not_recommend_the_pipeline(tmp_path):
    hugging_face_model(image_size=16, patch_size=8).timesformer.save_pretrained(tmp_path / 'theirs')
    assert not in_process('convert', tmp_path / 'theirs', tmp_path / 'again', '--to', 'huggingface')
    config = json.loads((tmp_path / 'again/config.json').read_text())
    assert (config['architectures'], 'id2label' in config) == (['TimesformerModel'], False)
    card = (tmp_path / 'again/README.md').read_text()
    assert 'features: it has no classifier' in card
    assert 'pipeline' not in card
    with pytest.raises(ValueError, match='the folder has no classifier'):
        mmtsf.from_pretrained(tmp_path / 'again')


def test_the_card_of_space_attention_takes_the_mean_of_the_frames(motion, tmp_path, monkeypatch):
    told: list[str] = []
    monkeypatch.setattr(write, 'say', told.append)
    sizes = dict(num_frames=4, image_size=48, patch_size=16, num_labels=3)
    hugging_face_model(**sizes, attention_type='space_only').save_pretrained(tmp_path / 'theirs')
    assert not in_process('convert', tmp_path / 'theirs', tmp_path / 'again', '--to', 'huggingface')
    assert "answers by a video's first frame alone" in told[-1]
    card = (tmp_path / 'again/README.md').read_text()
    assert 'pipeline_tag' not in card
    code = re.search(r'```python\n(import av.*?)```', card, re.DOTALL)[1]
    video, said = str(next(motion.glob('test/left/*.mp4'))), {}
    exec(code.replace('FOLDER', str(tmp_path / 'again')).replace('video.mp4', video), said)
    ours = mmtsf.from_pretrained(tmp_path / 'again', device='cpu')
    with torch.no_grad():
        scores = ours.cls_head(ours.backbone(said['pixels']['pixel_values'].transpose(1, 2)))[0].softmax(-1)
    torch.testing.assert_close(said['scores'], scores, atol=1e-5, rtol=0)


def test_a_folder_that_holds_something_is_left_as_it_is(folder, tiny_checkpoint, tmp_path):
    (tmp_path / 'hf').mkdir()
    (tmp_path / 'hf/config.json').write_text('mine')
    with pytest.raises(SystemExit):
        in_process('convert', tiny_checkpoint, tmp_path / 'hf', '--to', 'huggingface')
    assert [path.read_text() for path in (tmp_path / 'hf').iterdir()] == ['mine']


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub as a download asks for."""

    folder: Path
    asked: list[str] = []

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition('?')[0]
        Hub.asked.append(path)
        if path.startswith('/api/models/me/motion'):
            files = [*(file.name for file in self.folder.iterdir()), 'modeling.py', 'pytorch_model.bin']
            told = dict(id='me/motion', sha=SHA, siblings=[dict(rfilename=name) for name in files])
            tree = [dict(type='file', path=name, size=1, oid='1' * 40) for name in files]
            self.answer(json.dumps(tree if '/tree/' in path else told).encode(), {'Content-Type': 'application/json'})
        elif path.startswith(f'/me/motion/resolve/{SHA}/'):
            data = (self.folder / path.rpartition('/')[2]).read_bytes()
            self.answer(data, {'ETag': f'"{hash(data):x}"', 'X-Repo-Commit': SHA})
        else:
            self.send_response(404)
            self.send_header('X-Error-Code', 'RepoNotFound')
            self.send_header('Content-Length', '0')
            self.end_headers()

    def answer(self, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in (headers | {'Content-Length': str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == 'GET':
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(folder, tmp_path, monkeypatch):
    """The hub's address is a server here, and its cache is empty."""
    from huggingface_hub import constants

    Hub.folder, Hub.asked = folder, []
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f'http://127.0.0.1:{server.server_port}'
    monkeypatch.setattr(constants, 'ENDPOINT', address)
    monkeypatch.setattr(constants, 'HUGGINGFACE_CO_URL_TEMPLATE', address + '/{repo_id}/resolve/{revision}/{filename}')
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'cache'))
    yield Hub
    server.shutdown()
    server.server_close()


def test_a_model_of_the_hub_is_fetched_as_data_and_then_taken_from_the_cache(hub, monkeypatch):
    from huggingface_hub import constants

    model = mmtsf.from_pretrained('me/motion', device='cpu')
    assert model.dataset_meta['classes'] == MOTION_CLASSES
    assert not [path for path in hub.asked if path.endswith(('.py', '.bin', '.md'))]
    place = hub_folder('me/motion', SHA)
    assert {path.name for path in place.iterdir()} == {
        'config.json',
        'model.safetensors',
        'preprocessor_config.json',
        'video_preprocessor_config.json',
    }
    with pytest.raises(FileNotFoundError, match='me/none cannot be fetched: .*; correct the name'):
        mmtsf.from_pretrained('me/none')
    hub.asked.clear()
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    assert hub_folder('me/motion') == place
    assert not hub.asked
    with pytest.raises(
        FileNotFoundError, match='you/motion is not in the cache of huggingface_hub, and the hub cannot'
    ):
        mmtsf.from_pretrained('you/motion')


def test_a_download_that_breaks_off_is_a_plain_line(monkeypatch):
    import huggingface_hub

    class ClientError(Exception):
        """As of an HTTP client, which is no OSError."""

    def breaks_off(*_: object, **__: object) -> None:
        raise ClientError('peer closed connection')

    monkeypatch.setattr(huggingface_hub, 'snapshot_download', breaks_off)
    with pytest.raises(FileNotFoundError, match='me/motion cannot be fetched: peer closed connection; .* try again'):
        hub_folder('me/motion')


@pytest.mark.parametrize(
    ('source', 'revision', 'told'),
    [
        ('nowhere', None, 'there is no folder nowhere, and it is no OWNER/NAME'),
        ('../secret', None, 'there is no folder ../secret'),
        ('a/b/c', None, 'no OWNER/NAME'),
        ('me/../x', None, 'no OWNER/NAME'),
        ('me/motion', '../main', "revision is '../main', expected a branch"),
    ],
)
def test_what_is_no_model_of_the_hub_is_refused(source, revision, told):
    with pytest.raises((FileNotFoundError, ValueError), match=told):
        mmtsf.from_pretrained(source, revision)


@pytest.mark.parametrize('text', ['[]', '{', '{"a": NaN}', '{"a": "b"}', '{"a\\n": 1}', '{}'])
def test_metrics_are_data(text, tmp_path):
    (tmp_path / 'metrics.json').write_text(text)
    with pytest.raises(ValueError, match='--metrics is .*metrics.json'):
        read_metrics(tmp_path / 'metrics.json')


@pytest.mark.parametrize('word', ['name', 'names=a', 'name=', 'name=a\nb', 'base_model=x', 'license=' + 'x' * 501])
def test_other_words_of_a_card_are_refused(word):
    with pytest.raises(ValueError, match='--card has'):
        Card.parse([word])
