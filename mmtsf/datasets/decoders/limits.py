"""Limit the sizes of videos, before their frames are decoded."""

from dataclasses import dataclass, fields

from .broken import BrokenVideoError


@dataclass(frozen=True)
class Limits:
    """Sizes above which a video is refused. A file of a few hundred bytes may ask for gigabytes.

    Args:
        frame_pixels (int): Pixels of a frame. Defaults to 8192 * 4320: what is called 8K passes.
        sample_pixels (int): Pixels of all frames that are read at once, for one sample. Defaults to 2**32: 2071 frames
            of 1920 x 1080.
        frames (int): Frames of a video. Defaults to 2,000,000: 18 hours at 30 a second.
        aspect (int): Longer side of a frame as a multiple of the shorter one, which pipelines scale to a size of their
            own. Defaults to 32.
        file_bytes (int): Bytes of a file at an address, all of which are fetched. Defaults to 2**36: 64 GiB.

    Raises:
        ValueError: If one is not an integer of at least 1.
    """

    frame_pixels: int = 8192 * 4320
    sample_pixels: int = 2**32
    frames: int = 2_000_000
    aspect: int = 32
    file_bytes: int = 2**36

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            if not isinstance(value := getattr(self, name), int) or isinstance(value, bool) or value < 1:
                raise ValueError(f'limits.{name} is {value!r}, expected an integer of at least 1')

    def check_frame(self, path: str, width: int, height: int) -> None:
        """Refuse a video by the size of its frames.

        Raises:
            BrokenVideoError: If they have too many pixels.
        """
        if width * height > self.frame_pixels:
            raise BrokenVideoError(
                path, f'its frames have {width} x {height} pixels, limits.frame_pixels allows {self.frame_pixels}'
            )
        if max(width, height) > self.aspect * min(width, height):
            raise BrokenVideoError(
                path, f'its frames have {width} x {height} pixels, limits.aspect allows sides of 1 to {self.aspect}'
            )

    def check_sample(self, path: str, frames: int, width: int, height: int) -> None:
        """Refuse to read so many frames at once.

        Raises:
            BrokenVideoError: If they have too many pixels together.
        """
        if frames * width * height > self.sample_pixels:
            raise BrokenVideoError(
                path,
                f'{frames} frames of {width} x {height} are too many pixels to read at once, limits.sample_pixels '
                f'allows {self.sample_pixels}',
            )

    def check_frames(self, path: str, frames: int) -> None:
        """Refuse a video by its length.

        Raises:
            BrokenVideoError: If it has too many frames.
        """
        if frames > self.frames:
            raise BrokenVideoError(path, f'it has more frames than limits.frames allows, {self.frames}')

    def check_bytes(self, path: str, size: int) -> None:
        """Refuse to fetch so large a file.

        Raises:
            BrokenVideoError: If it has too many bytes.
        """
        if size > self.file_bytes:
            raise BrokenVideoError(path, f'it has {size} bytes, limits.file_bytes allows {self.file_bytes}')
