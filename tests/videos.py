"""Small real video files whose frames say which they are, by their grey."""

from collections.abc import Collection, Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

NUM_GREYS = 60
#: What :func:`write_greys` has encoded, by how it was asked
ENCODED: dict[tuple, bytes] = {}


def grey_of(frame: int) -> int:
    """Grey of a frame in :func:`write_greys`; greys are 4 apart, and start again after 60 frames."""
    return 16 + 4 * (frame % NUM_GREYS)


def numbers_of(frames: np.ndarray) -> list[int]:
    """Which frames of :func:`write_greys` these ``(N, H, W, 3)`` are."""
    return [round((frame.mean() - 16) / 4) for frame in np.asarray(frames, float)]


def grey_frames(num_frames: int, height: int = 64, width: int = 128) -> list[np.ndarray]:
    """Frames ``(H, W, 3)``, each of one grey."""
    return [np.full((height, width, 3), grey_of(frame), np.uint8) for frame in range(num_frames)]


def write_video(
    path: Path | str,
    *streams: Iterable[np.ndarray],
    fps: int = 30,
    rotation: int = 0,
    codec: str = 'libx264',
    gop_size: int | None = None,
    max_b_frames: int | None = None,
    times: Sequence[int] | None = None,
    pixels: str = 'yuv420p',
    encoder_options: dict[str, str] | None = None,
    **options: str,
) -> str:
    """Encode streams of RGB frames ``(H, W, 3)`` and return the path.

    Args:
        path (Path | str): File to write; its suffix tells the container.
        streams (Iterable[np.ndarray]): Frames of each video stream.
        fps (int): Frames a second.
        rotation (int): Rotation flag, in degrees counterclockwise.
        codec (str): Name of the encoder.
        gop_size (int, optional): Largest distance of key frames. Defaults to None: the encoder's.
        max_b_frames (int, optional): Most frames in a row that refer to later ones. Defaults to None: the encoder's.
        times (Sequence[int], optional): When frames are shown, in frames at that rate. Defaults to None: one by one.
        pixels (str): Format of the pixels.
        encoder_options (dict[str, str], optional): Options of the encoder.
        options (str): Options of the container.
    """
    quality = {'crf': '12'} if codec == 'libx264' else {}
    with av.open(str(path), 'w', options=options) as container:
        encoders = []
        for frames in map(list, streams):
            encoder = container.add_stream(codec, rate=fps, options=quality | (encoder_options or {}))
            encoder.height, encoder.width, encoder.pix_fmt = *frames[0].shape[:2], pixels
            if gop_size:
                encoder.codec_context.gop_size = gop_size
            if max_b_frames:
                encoder.codec_context.max_b_frames = max_b_frames
            if rotation:
                encoder.set_display_rotation(rotation)
            encoders.append((encoder, frames))
        for encoder, frames in encoders:
            for number, frame in enumerate(frames):
                picture = av.VideoFrame.from_ndarray(frame, format='rgb24')
                if times:
                    picture.pts, picture.time_base = times[number], Fraction(1, fps)
                container.mux(encoder.encode(picture))
            container.mux(encoder.encode())
    return str(path)


def write_greys(path: Path | str, num_frames: int, height: int = 64, width: int = 128, fps: int = 30, **more) -> str:
    """Write a video of known greys, which is encoded once in a process, and return the path."""
    made = Path(path).suffix, num_frames, height, width, fps, repr(more)
    if made in ENCODED:
        Path(path).write_bytes(ENCODED[made])
        return str(path)
    write_video(path, grey_frames(num_frames, height, width), fps=fps, **more)
    if made[0] == '.mp4':  # other containers may be of several files
        ENCODED[made] = Path(path).read_bytes()
    return str(path)


def moving_texture(num_frames: int, height: int = 64, width: int = 128) -> list[np.ndarray]:
    """A blurred noise that moves, so that frames are predicted from others."""
    noise = np.random.default_rng(0).integers(0, 255, (height + 16, width + num_frames + 16, 3), dtype=np.uint8)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (9, 9), 3), None, 0, 255, cv2.NORM_MINMAX)
    return [texture[:height, shift : shift + width] for shift in range(num_frames)]


def remux(source: str, path: Path, first: int = 0, shift: int = 0, without: Collection[int] = ()) -> str:
    """Copy the packets of a video from the ``first`` one on, ``shift`` frames later, leaving some out."""
    with av.open(source) as container, av.open(str(path), 'w') as out:
        stream = container.streams.video[0]
        target = out.add_stream_from_template(stream)
        every = [packet for packet in container.demux(stream) if packet.size]
        packets = [packet for number, packet in enumerate(every) if number >= first and number not in without]
        frame = round(1 / (stream.average_rate * stream.time_base))
        begin = packets[0].pts
        for packet in packets:
            if shift:
                packet.pts, packet.dts = packet.pts - begin + shift * frame, packet.dts - begin + shift * frame
            packet.stream = target
            out.mux(packet)
    return str(path)


def write_silence(path: Path | str) -> str:
    """Encode an audio file without pictures and return the path."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('pcm_s16le' if str(path).endswith('.wav') else 'aac', rate=16000, layout='mono')
        samples = np.zeros((1, 1024), np.int16 if stream.format.name == 's16' else np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format=stream.format.name, layout='mono')
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return str(path)


def clip_pipeline(**sampling) -> list[dict]:
    """Transforms from a file to a packed clip of 2 frames of 32 x 32, or as ``sampling`` says."""
    return [
        dict(type='OpenVideo'),
        dict(type='SampleClips', **dict(num_frames=2, frame_interval=1, start='middle') | sampling),
        dict(type='DecodeFrames'),
        dict(type='Resize', scale=(-1, 32)),
        dict(type='CropViews', size=32),
        dict(type='FormatShape', input_format='NCTHW'),
        dict(type='PackActionInputs', meta_keys=('filename', 'broken')),
    ]


def gif(width: int, height: int, num_frames: int = 2) -> bytes:
    """A GIF of a few hundred bytes: a large canvas, of which its frames fill one pixel."""
    frame = b'\x21\xf9\x04\x00\x05\x00\x00\x00\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0'
    size = width.to_bytes(2, 'little') + height.to_bytes(2, 'little')
    return b'GIF89a' + size + b'\x80\0\0\0\0\0\xff\xff\xff' + num_frames * frame + b';'
