"""Classify the newest window of frames of a camera or a network stream."""

import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from itertools import repeat
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from mmaction.models import BaseRecognizer
from mmengine.dataset import pseudo_collate

from mmtsf.datasets.decoders import BrokenVideoError, VideoReader, open_video
from mmtsf.datasets.transforms import SampleClips
from mmtsf.utils.sources import is_live

from .clip_packer import ClipPacker


class Moment(NamedTuple):
    """What a model says of the newest window.

    Attributes:
        time (float): When its last frame came, in seconds since the first one.
        delay (float): Seconds from then until the scores were there.
        scores (np.ndarray): Scores ``(K,)`` of the classes.
    """

    time: float
    delay: float
    scores: np.ndarray


class LiveWindows:
    """The last frames of a live source. A thread reads it as fast as it comes and keeps one window; what the reader of
    windows has no time for is dropped.

    Args:
        source (str | VideoReader): Number of a camera, address of a stream, or a video, which plays at its own rate.
        packer (ClipPacker): Says how large frames are kept.
        sampling (SampleClips): Says how many frames make a window, and at which distance.

    Attributes:
        num_frames (int): Frames read so far.
        num_windows (int): Windows that were complete so far.
        num_taken (int): Windows that were handed out.

    Raises:
        BrokenVideoError: If a video cannot be opened.
        ConnectionError: If a camera or stream cannot be opened.
    """

    def __init__(self, source: str | VideoReader, packer: ClipPacker, sampling: SampleClips) -> None:
        self._times: Any = repeat(0.0)  # a camera or stream waits by itself
        if isinstance(source, str) and is_live(source):
            self._frames: Any = _capture(source)
        else:
            reader = open_video(source) if isinstance(source, str) else source
            self._times = np.arange(reader.num_frames) / 30 if reader.times is None else reader.times
            self._frames = reader.stream(np.arange(reader.num_frames))
        self._error: BrokenVideoError | None = None
        self._packer = packer
        self._frame_interval = sampling.frame_interval
        self._window: deque[np.ndarray] = deque(maxlen=sampling.num_frames)
        self._newest = 0.0
        self._changed = threading.Condition()
        self._ended = False
        self._last = 0  # window that was handed out
        self.started = time.monotonic()
        self.num_frames = self.num_windows = self.num_taken = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for frame, due in zip(self._frames, self._times):
                if (wait := self.started + due - time.monotonic()) > 0:
                    time.sleep(wait)
                if self._ended:
                    return
                if self.num_frames % self._frame_interval == 0:
                    self._keep(self._packer.shrink(frame))
                self.num_frames += 1
        except BrokenVideoError as error:
            self._error = error
        finally:
            self._frames.close()
            while self._window and not self.num_windows:  # shorter than a window
                self._keep(self._window[-1])
            with self._changed:
                self._ended = True
                self._changed.notify()

    def _keep(self, frame: np.ndarray) -> None:
        with self._changed:
            self._window.append(frame)
            if len(self._window) == self._window.maxlen:
                self.num_windows += 1
                self._newest = time.monotonic()
                self._changed.notify()

    def __iter__(self) -> Iterator[tuple[float, list[np.ndarray]]]:
        """Time of the last frame, by the clock of :func:`time.monotonic`, and frames ``(H, W, 3)`` of the newest
        window, each one once, until the source ends.

        Raises:
            BrokenVideoError: If a frame of a video cannot be decoded.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or self.num_windows > self._last)
                if self.num_windows == self._last:
                    if self._error:
                        raise self._error
                    return
                self._last = self.num_windows
                newest, frames = self._newest, list(self._window)
            self.num_taken += 1
            yield newest, frames

    def close(self) -> None:
        """End the reading."""
        self._ended = True
        self._thread.join()


def _capture(source: str) -> Generator[np.ndarray, None, None]:
    """Frames ``(H, W, 3)`` of a camera or stream as they come, RGB."""
    capture = cv2.VideoCapture(int(source) if source.isdigit() else source)
    if not capture.isOpened():
        raise ConnectionError(
            f'{source} cannot be opened, expected the number of a camera, the address of a stream that is on the air, '
            'or a video file'
        )

    def frames() -> Generator[np.ndarray, None, None]:
        try:
            while (taken := capture.read())[0]:
                yield cv2.cvtColor(taken[1], cv2.COLOR_BGR2RGB)
        finally:
            capture.release()

    return frames()


def watch(model: BaseRecognizer, windows: LiveWindows, packer: ClipPacker) -> Iterator[Moment]:
    """Classify the newest window of a live source, over and over; it waits for no more than one step of the model.

    Yields:
        Moment: Time, delay and scores of every window that there was time for.
    """
    for newest, frames in windows:
        with torch.no_grad():
            scores = model.test_step(pseudo_collate([packer.pack(frames)]))[0].pred_scores.item.cpu().numpy()
        yield Moment(newest - windows.started, time.monotonic() - newest, scores)
