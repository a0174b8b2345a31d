"""Several clips of a video are samples of their own, from one decoding."""

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from videos import grey_frames, numbers_of, write_greys

from mmtsf.config import load_config
from mmtsf.datasets.decoders import ArrayReader
from mmtsf.datasets.transforms import DecodeFrames, ForEachClip, OpenVideo, SampleClips, SampleSegments, flat_collate


class CountingReader(ArrayReader):
    """Frames in memory, and how often they were read."""

    reads = 0

    def read(self, indices: np.ndarray) -> np.ndarray:
        self.reads += 1
        return super().read(indices)


@pytest.mark.parametrize('sampling', [SampleClips(4, 3, 'random', 3), SampleSegments(4, 3)])
def test_each_clip_is_a_sample_with_its_own_augmentation_from_one_decoding(sampling):
    reader = CountingReader(np.stack(grey_frames(50)))
    augmented = []

    def augment(results: dict) -> dict:
        augmented.append(len(results['imgs']))
        return dict(frames=numbers_of(results['imgs']), num_clips=results['num_clips'])

    np.random.seed(1)
    results = dict(reader=reader)
    for transform in (OpenVideo(), sampling, DecodeFrames(), ForEachClip([augment])):
        results = transform(results)
    assert (reader.reads, augmented) == (1, [4, 4, 4])
    assert [sample['num_clips'] for sample in results] == [1, 1, 1]
    clips = [tuple(sample['frames']) for sample in results]
    assert len(set(clips)) == 3
    assert all(list(clip) == sorted(clip) for clip in clips)


def test_samples_alone_and_in_lists_are_collated_as_one_batch():
    samples = [dict(inputs=number) for number in range(4)]
    assert flat_collate([samples[:3], samples[3]]) == pseudo_collate(samples)


@pytest.mark.parametrize('sampling', ['rate', 'segments'])
def test_a_word_brings_several_clips_of_each_video_into_a_batch(sampling, tmp_path):
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        for number in range(4):
            write_greys(tmp_path / name / f'{number}.mp4', 50)
    init_default_scope('mmtsf')
    options = {'data.root': str(tmp_path), 'data.num_classes': 2, 'data.sampling': sampling}
    options |= {'train_dataloader.num_workers': 0}
    config = load_config('configs/timesformer_tiny_motion.py', options | {'data.clips_per_video': 3})
    batch = next(iter(Runner.build_dataloader(config.train_dataloader, seed=0)))
    names = [sample.filename for sample in batch['data_samples']]
    assert names == [name for name in names[::3] for _ in range(3)]
    assert len(set(names)) == 4  # two of each class are held out
    assert len({tuple(numbers_of(clip[0].permute(1, 2, 3, 0))) for clip in batch['inputs'][:3]}) > 1
    assert {clip.shape for clip in batch['inputs']} == {torch.Size([1, 3, 8, 48, 48])}
