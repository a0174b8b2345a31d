"""Write videos, and text on their frames."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from mmtsf.datasets.decoders import file_url


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """Encode RGB frames ``(H, W, 3)`` uint8 as H.264, one at a time; the last odd row or column is cut off."""
    with av.open(file_url(path), 'w') as container:
        stream = container.add_stream('libx264', rate=Fraction(fps).limit_denominator(1000), options={'crf': '23'})
        for number, frame in enumerate(frames):
            even = np.ascontiguousarray(frame[: len(frame) // 2 * 2, : frame.shape[1] // 2 * 2])
            if number == 0:
                stream.height, stream.width, stream.pix_fmt = *even.shape[:2], 'yuv420p'
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format='rgb24')))
        container.mux(stream.encode())


def with_words(frame: np.ndarray, lines: list[str]) -> np.ndarray:
    """Draw lines of text at the upper left of a frame ``(H, W, 3)``, each a twentieth of its height."""
    frame = np.ascontiguousarray(frame)
    scale = max(frame.shape[0] / 720, 0.35)
    for number, line in enumerate(lines, 1):
        place = (int(12 * scale), int(36 * scale * number))
        for color, thickness in (((0, 0, 0), 5), ((255, 255, 255), 2)):  # white with a black rim
            cv2.putText(
                frame, line, place, cv2.FONT_HERSHEY_SIMPLEX, scale, color, max(int(thickness * scale), 1), cv2.LINE_AA
            )
    return frame
