"""What a training shows in TensorBoard."""

import cv2
import numpy as np
from runs import TINY, options, run_tool
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def test_tensorboard_has_curves_and_validation_clips_with_attention(motion, tmp_path):
    changes = options(motion, log_to='tensorboard', **{'default_hooks.logger.interval': 1})
    run_tool('tools/train.py', TINY, '--work-dir', tmp_path, *changes)
    (folder,) = tmp_path.glob('*/vis_data')
    events = EventAccumulator(str(folder), size_guidance=dict(images=0, scalars=0))
    events.Reload()
    scalars = {'loss', 'lr', 'data_time', 'time', 'grad_norm', 'acc/top1', 'acc/mean1'}
    assert scalars <= set(events.Tags()['scalars'])
    assert events.Tags()['images'] == [f'validation_{number}' for number in range(4)]
    files = sorted(path.name for path in folder.glob('vis_image/*.png'))
    assert files == sorted(f'{tag}_{epoch}.png' for tag in events.Tags()['images'] for epoch in (1, 2))
    for tag in events.Tags()['images']:
        assert [image.step for image in events.Images(tag)] == [1, 2]
        first, second = (cv2.imdecode(np.frombuffer(i.encoded_image_string, np.uint8), 1) for i in events.Images(tag))
        assert first.shape == (2 * 112, 8 * 112, 3)  # frames over their attention
        clip, attention = first[40:112].astype(int), first[112 + 40 :].astype(int)
        assert np.abs(clip - attention).mean() > 10
        assert np.abs(first[40:112].astype(int) - second[40:112]).max() < 3  # the same clip, another attention
        assert np.abs(attention - second[112 + 40 :]).mean() > 0.5


def test_a_run_that_logs_to_files_draws_nothing(motion, tmp_path):
    run_tool('tools/train.py', TINY, '--work-dir', tmp_path, *options(motion, max_epochs=1))
    assert [path.name for path in tmp_path.rglob('*.png')] == ['curves.png']  # but for the run's curves
