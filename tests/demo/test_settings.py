"""The page with configs of all kinds, in any state: each of its settings takes effect, or is not shown."""

import argparse
import socket
from pathlib import Path

import pytest
import torch
from helpers import skip_without
from mmaction.registry import MODELS as MMACTION_MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from runs import ROOT, TINY
from videos import gif, write_greys

from mmtsf.commands import run
from mmtsf.config import load_config

skip_without('gradio')

THEIRS = [
    dict(type='DecordInit'),
    dict(type='SampleFrames', clip_len=8, frame_interval=2, num_clips=2, test_mode=True),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(-1, 48)),
    dict(type='ThreeCrop', crop_size=48),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
FRAMES = [dict(type='SampleFrames', clip_len=8, frame_interval=2), dict(type='RawFrameDecode'), *THEIRS[3:]]
ALL = dict(clips=(1, 10, 1), crops=(1, 3, 1), frames=(2, 96, 8))


def left_by_a_run(folder: Path, options: dict | None = None, **changes: object) -> str:
    """A config as a run leaves it in its work dir, with other values."""
    config = load_config(str(ROOT / TINY), options)
    config.merge_from_dict(changes)
    config.dump(folder / 'left.py')
    return str(folder / 'left.py')


def demo_of(config: str, checkpoint: Path | str, samples: str | None = None, minutes: float = 1, **options: object):
    import mmtsf.demo.folder  # noqa: F401  # before gradio
    from mmtsf.demo.model import Demo

    words = [f'{key}={value}' for key, value in options.items()]
    limits = dict(max_minutes=minutes, max_seconds=60, keep_minutes=1, max_megabytes=1)
    return Demo(
        argparse.Namespace(
            config=config, checkpoint=str(checkpoint), device='cpu', cfg_options=words, samples=samples, **limits
        )
    )


@pytest.mark.parametrize(
    ('options', 'changes', 'ranges'),
    [
        ({'view': '3x1'}, {}, dict(ALL, clips=(1, 10, 3))),
        ({'data.sampling': 'segments'}, {}, ALL),
        ({'data.sampling': 'cover'}, {}, dict(ALL, clips=(1, 1, 1))),
        ({'protocol': 'released'}, {}, ALL),
        ({}, {'test_dataloader.dataset.pipeline': THEIRS}, dict(ALL, clips=(1, 10, 2), crops=(3, 3, 3))),
        ({}, {'test_dataloader.dataset.pipeline': FRAMES}, dict(ALL, crops=(3, 3, 3))),
        ({}, {'val_dataloader': None}, ALL),
    ],
    ids=['3x1', 'segments', 'cover', 'released', 'mmaction', 'raw frames', 'no validation'],
)
def test_settings_are_those_that_the_pipeline_has(tmp_path, tiny_checkpoint, motion, options, changes, ranges):
    from mmtsf.demo.views import Settings

    demo = demo_of(left_by_a_run(tmp_path, options, **changes), tiny_checkpoint)
    assert demo.ranges == ranges
    video = str(next(motion.glob('test/left/*.mp4')))
    chosen = {name: min(least + 1, most) for name, (least, most, _) in ranges.items()}
    views = demo.views.changed(**chosen)
    [*_, last] = demo.steps(video, Settings(**chosen, attention='space, head 2'), float('inf'))
    clips, crops, frames = views.shape
    assert (crops, frames) == (chosen['crops'], chosen['frames'])
    assert clips == chosen['clips']
    assert len(last.names['best']) == 4
    assert last.timeline[-1]['end'] == 1
    assert last.attention['times'][-1] <= 1


def test_another_backbone_has_no_choice_of_frames_or_attention(tmp_path):
    init_default_scope('mmaction')
    sizes = dict(num_frames=8, img_size=48, patch_size=8, embed_dims=64, num_heads=2, num_transformer_layers=1)
    model = dict(
        type='Recognizer3D',
        backbone=dict(type='TimeSformer', pretrained=None, in_channels=3, **sizes),
        cls_head=dict(type='TimeSformerHead', num_classes=4, in_channels=64, average_clips='prob'),
        data_preprocessor=dict(type='ActionDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3, format_shape='NCTHW'),
    )
    torch.save(dict(state_dict=MMACTION_MODELS.build(model).state_dict()), tmp_path / 'theirs.pth')
    config = Config(dict(default_scope='mmaction', model=model, test_pipeline=THEIRS))
    config.test_dataloader = dict(dataset=dict(type='VideoDataset', ann_file='', pipeline=THEIRS))
    config.dump(tmp_path / 'theirs.py')
    demo = demo_of(str(tmp_path / 'theirs.py'), tmp_path / 'theirs.pth')
    assert demo.ranges == dict(clips=(1, 10, 2), crops=(3, 3, 3), frames=(8, 8, 8))
    assert demo.attention == []


def test_a_config_that_it_cannot_work_with_is_an_error_at_the_start(tmp_path, tiny_checkpoint):
    config = left_by_a_run(tmp_path, **{'test_dataloader.dataset.pipeline': THEIRS[3:]})
    with pytest.raises(ValueError, match='expected transforms that sample frames of a video and decode them'):
        demo_of(config, tiny_checkpoint)
    small = [dict(step, crop_size=200) if step['type'] == 'ThreeCrop' else step for step in THEIRS]
    with pytest.raises(ValueError, match='the page cannot classify a video of noise as .*left.py says: AssertionError'):
        demo_of(left_by_a_run(tmp_path, **{'test_dataloader.dataset.pipeline': small}), tiny_checkpoint)


def test_samples_are_one_of_each_class_spread_over_all(tmp_path, tiny_checkpoint, motion):
    from mmtsf.demo.page import samples_of

    demo = demo_of(str(ROOT / TINY), tiny_checkpoint, str(motion / 'test'))
    samples = samples_of(demo)
    assert sorted(Path(sample).parent.name for sample in samples) == sorted(
        folder.name for folder in (motion / 'test').iterdir()
    )


def test_what_has_no_choice_is_hidden_and_takes_its_one_value(tmp_path, tiny_checkpoint):
    from mmtsf.demo.inputs import check_input
    from mmtsf.demo.page import build_page

    centre = [dict(step, type='CenterCrop') if step['type'] == 'ThreeCrop' else step for step in THEIRS]
    demo = demo_of(left_by_a_run(tmp_path, **{'test_dataloader.dataset.pipeline': centre}), tiny_checkpoint)
    blocks = {getattr(block, 'label', None): block for block in build_page(demo).blocks.values()}
    assert (demo.ranges['crops'], blocks['Crops'].visible, blocks['Clips'].visible) == ((1, 1, 1), False, True)
    assert check_input(blocks['Crops'], 1) == 1
    with pytest.raises(Exception, match='Crops are 2, expected a whole number from 1 to 1'):
        check_input(blocks['Crops'], 2)


def test_a_timeline_has_an_end(tmp_path, tiny_checkpoint, monkeypatch):
    demo = demo_of(str(ROOT / TINY), tiny_checkpoint)
    from mmtsf.demo.views import Settings

    monkeypatch.setattr('mmtsf.demo.model.MAX_WINDOWS', 4)
    video = write_greys(tmp_path / 'x.mp4', 60, 16, 16)
    [*_, last] = demo.steps(video, Settings(1, 1, 2, 'all blocks'), float('inf'))
    assert 'ends after 4 clips' in last.note
    assert 0 < last.timeline[-1]['end'] < 1


def test_pixels_of_all_frames_together_are_limited(tmp_path, tiny_checkpoint):
    demo = demo_of(str(ROOT / TINY), tiny_checkpoint, minutes=0.1)
    video = tmp_path / 'x.gif'  # in 0.1 minutes of full HD there are as many pixels as in 40.8 of its frames
    video.write_bytes(gif(4000, 2300, 40))
    assert demo.open(str(video), float('inf')).num_frames == 40
    video.write_bytes(gif(4000, 2300, 41))
    with pytest.raises(Exception, match='41 frames of 4000 x 2300, this page takes as many pixels as 0.1 minutes'):
        demo.open(str(video), float('inf'))


def test_samples_are_called_like_their_class_or_file():
    from mmtsf.demo.page import names_of

    assert names_of(['v/a/0.mp4', 'v/b/0.mp4', 'v/c.mp4'], 'v') == ['a', 'b', 'c']
    assert names_of(['v/0.mp4', 'v/1.gif'], 'v') == ['0', '1']
    assert names_of(['v/a/0.mp4', 'v/a/1.mp4'], 'v') == ['0', '1']


def test_an_address_that_is_taken_is_one_line(tiny_checkpoint, refused):
    with socket.create_server(('127.0.0.1', 0)) as taken, refused(r'in use; give another as --port \d+'):
        run('demo', [str(ROOT / TINY), str(tiny_checkpoint), '--port', str(taken.getsockname()[1])])
    with refused('cannot serve at 192.0.2.1, port 7860: .*; give another --host'):
        run('demo', [str(ROOT / TINY), str(tiny_checkpoint), '--host', '192.0.2.1'])
    with refused('--port: invalid int above 0 and up to 65535 value'):
        run('demo', [str(ROOT / TINY), str(tiny_checkpoint), '--port', '70000'])
