"""Take clips of a visitor's video as a config's test pipeline does, in as many clips, crops and frames as asked."""

import copy
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from mmengine.dataset import Compose

from mmtsf.apis import ClipPacker, to_sample
from mmtsf.apis.timeline import Window, windows
from mmtsf.datasets.decoders import VideoReader
from mmtsf.datasets.transforms import DecodeFrames, OpenVideo, SampleClips
from mmtsf.datasets.transforms.read_video import OPENERS

from .reader import TimedReader

LONG = 20_000  # frames of a video that no clip is as long as
#: How transforms call a setting: ours, MMAction2's
NAMES = dict(clips=('num_clips',), frames=('num_frames', 'clip_len'), crops=('num_crops',))


class Settings(NamedTuple):
    """Hold a visitor's settings; ``attention`` is one of :func:`mmtsf.demo.attention.choices`."""

    clips: int
    crops: int
    frames: int
    attention: str = ''


class Views:
    """Take clips of a video: its settings are attributes of built transforms, so the config's state does not matter.

    Videos are opened by :class:`OpenVideo`, whatever opens them in the pipeline: it keeps to limits.

    Args:
        pipeline (Compose): Test pipeline of a config.

    Raises:
        ValueError: If the pipeline samples or decodes no video.
    """

    def __init__(self, pipeline: Compose) -> None:
        transforms = [t for t in pipeline.transforms if type(t).__name__ not in set(OPENERS.values())]
        names = [type(t).__name__ for t in transforms]
        places = [place for place, name in enumerate(names) if name == 'DecodeFrames' or name.endswith('Decode')]
        own = (t for t in pipeline.transforms if isinstance(t, OpenVideo))
        self.opener = next(own, None) or OpenVideo()
        if not places or not places[0]:
            raise ValueError(
                f'the test pipeline is {", ".join(names)}, expected transforms that sample frames of a video and '
                'decode them, e.g. SampleClips and DecodeFrames'
            )
        self.before, self.after = transforms[: places[0]], transforms[places[-1] + 1 :]
        self.packer = ClipPacker(Compose([self.opener, *self.before, DecodeFrames(), *self.after]))

    @property
    def covers(self) -> bool:
        """Whether the clips cover the video, so that its length tells their number."""
        return any(getattr(t, 'start', None) == 'cover' for t in self.before)

    def changed(self, **settings: int) -> 'Views':
        """Return these views with other settings."""
        new = copy.copy(self)
        new.before = [_with(t, {key: value for key, value in settings.items() if key != 'crops'}) for t in self.before]
        new.after = [_with(t, {key: value for key, value in settings.items() if key == 'crops'}) for t in self.after]
        new.packer = ClipPacker(Compose([self.opener, *new.before, DecodeFrames(), *new.after]))
        return new

    def has(self, setting: str) -> bool:
        """Return whether a setting makes a difference to what the model is given."""
        values = (self.shape[2], self.shape[2] + 2) if setting == 'frames' else (1, 3)
        try:
            return len({self.changed(**{setting: value}).shape for value in values}) > 1
        except (ValueError, TypeError, RuntimeError):  # such a value does not do
            return False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Different clips of a long video, crops of each, frames of each crop, tried on a black one; clips that cover a
        video are as many as it takes and count as one."""
        black = np.zeros((1, 64, 80, 3), np.uint8)
        clips = self.sample(to_sample(np.broadcast_to(black, (LONG, 64, 80, 3))))
        packed = self.packer.pack([self.packer.shrink(black[0])] * clips.shape[1])['inputs']
        return 1 if self.covers else len(np.unique(clips, axis=0)), packed.shape[0], packed.shape[2]

    def sample(self, sample: dict) -> np.ndarray:
        """Return the numbers of the frames of a video's clips ``(clips, T)``."""
        for transform in (self.opener, *self.before):
            sample = transform(dict(sample))
        return np.asarray(sample['frame_inds']).reshape(-1, sample['clip_len']) - sample.get('start_index', 0)

    def clips(self, reader: TimedReader) -> Iterator[tuple[int, list[np.ndarray]]]:
        """Yield how many clips there are, and the frames of each."""
        small = TimedReader(reader.reader, reader.end, self.packer.shrink)
        numbers = self.sample(to_sample('video') | dict(reader=reader.reader))
        for clip in numbers:
            yield len(numbers), list(small.read(clip))

    def windows(self, reader: VideoReader) -> Iterator[Window]:
        """Yield clips that cover a video; where clips have no distance of frames, it is the whole video."""
        sampler = next(t for t in self.before if hasattr(t, 'num_frames') or hasattr(t, 'clip_len'))
        num_frames = getattr(sampler, 'num_frames', None) or sampler.clip_len
        interval = getattr(sampler, 'frame_interval', None) or max(reader.num_frames // num_frames, 1)
        cover = SampleClips(num_frames, interval, 'cover', target_fps=getattr(sampler, 'target_fps', None))
        return windows(reader, cover, self.packer.shrink)


def _with(transform: Callable, settings: dict[str, int]) -> Callable:
    """Copy a transform with its settings changed."""
    new = copy.copy(transform)
    for name, value in [(name, value) for setting, value in settings.items() for name in NAMES[setting]]:
        if hasattr(new, name) and not (name == 'num_clips' and getattr(new, 'start', None) == 'cover'):
            setattr(new, name, value)
    return new
