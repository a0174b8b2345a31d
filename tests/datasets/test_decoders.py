"""Decoders hand out the frames that were asked for, or one error that names the file."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from decoders import DECODER, decoders
from helpers import SHARED
from videos import grey_frames, moving_texture, numbers_of, write_greys, write_silence, write_video

from mmtsf.datasets.decoders import ArrayReader, BrokenVideoError, open_video

AWKWARD = SHARED / 'data' / 'awkward'
UNREADABLE = {
    'README',
    'audio_only.mp4',
    'empty.mp4',
    'nasa_13013.mp4.audio.mp3',
    'sine_mono_s32_8000.wav',
    'test.wav',
    'text_renamed.mp4',
    'truncated_no_moov.mp4',
}
NO_VIDEO = 'PyAV finds no video that it can decode'


def quadrants(height: int = 64, width: int = 128) -> np.ndarray:
    """A frame ``(H, W, 3)`` whose four quarters have different greys."""
    return np.kron(np.array([[30, 90], [150, 210]], np.uint8), np.ones((height // 2, width // 2), np.uint8))[
        ..., None
    ].repeat(3, axis=2)


def patch_avi_length(path: str, num_frames: int) -> None:
    """Make the header of an AVI file promise another number of frames."""
    data = bytearray(Path(path).read_bytes())
    for chunk, offset in ((b'avih', 24), (b'strh', 40)):
        start = data.index(chunk) + offset
        data[start : start + 4] = num_frames.to_bytes(4, 'little')
    Path(path).write_bytes(data)


@decoders
@pytest.mark.parametrize('indices', [[0], [49], list(range(50)), [5, 0, 49, 5, 20], [30, 30, 30, 29]])
def test_frames_are_those_asked_for_in_the_order_asked_for(decoder, indices, tmp_path):
    reader = open_video(write_greys(tmp_path / 'video.mp4', 50), decoder)
    frames = reader.read(np.array(indices))
    assert (frames.shape, frames.dtype) == ((len(indices), 64, 128, 3), np.uint8)
    assert numbers_of(frames) == indices


@decoders
@pytest.mark.parametrize(('num_frames', 'fps'), [(1, 25), (3, 30), (50, 12), (20, 60)])
def test_length_and_rate_are_those_of_the_file(decoder, num_frames, fps, tmp_path):
    reader = open_video(write_greys(tmp_path / 'video.mp4', num_frames, fps=fps), decoder)
    assert reader.num_frames == num_frames
    assert reader.fps == (fps if num_frames > 3 else pytest.approx(reader.fps))  # the rate of so few is a guess
    assert numbers_of(reader.read(np.arange(num_frames))) == list(range(num_frames))


@decoders
def test_a_reader_can_be_read_twice(decoder, tmp_path):
    reader = open_video(write_greys(tmp_path / 'video.mp4', 20), decoder)
    assert numbers_of(reader.read(np.array([15, 2]))) == [15, 2]
    assert numbers_of(reader.read(np.array([3, 16]))) == [3, 16]


@decoders
@pytest.mark.parametrize('rotation', [90, 180, 270])
def test_the_rotation_flag_turns_frames_upright(decoder, rotation, tmp_path):
    path = write_video(tmp_path / 'video.mp4', [quadrants()] * 3, rotation=rotation)
    frames = open_video(path, decoder).read(np.array([0, 2]))
    upright = np.rot90(quadrants(), rotation // 90)
    assert frames.shape[1:] == upright.shape
    assert np.abs(frames.astype(int) - upright).max() <= 12  # edges of the quarters ring a little


@pytest.mark.parametrize('sizes', [((32, 64), (64, 128)), ((64, 128), (32, 64))])
@pytest.mark.parametrize('decoder', [DECODER['decord'], DECODER['torchcodec']])
def test_others_take_the_same_of_several_video_streams_or_are_refused(decoder, sizes, tmp_path):
    path = write_video(tmp_path / 'video.mp4', *(grey_frames(5, *size) for size in sizes))
    assert open_video(path, 'pyav').read(np.arange(5)).shape[1:3] == (64, 128)
    try:
        shape = open_video(path, decoder).read(np.arange(5)).shape
    except BrokenVideoError as error:
        assert "set decoder='pyav'" in str(error)  # noqa: PT017
    else:
        assert shape[1:3] == (64, 128)


@decoders
def test_paths_may_hold_spaces_and_accents(decoder, tmp_path):
    folder = tmp_path / 'dir with spaces é'
    folder.mkdir()
    reader = open_video(write_greys(folder / "clip 1 ünï's, 100%.mp4", 4), decoder)
    assert numbers_of(reader.read(np.array([3, 1]))) == [3, 1]


def test_frames_that_decord_cannot_decode_on_some_processors_are_an_error_with_it_and_read_without(tmp_path):
    path, indices = write_greys(tmp_path / 'narrow.mp4', 20, 64, 96), np.array([2, 19, 7])
    try:
        frames = open_video(path, 'decord').read(indices)
    except BrokenVideoError as error:
        assert 'decord cannot decode frames' in str(error)  # noqa: PT017
    else:
        assert numbers_of(frames) == [2, 19, 7]
    assert numbers_of(open_video(path).read(indices)) == [2, 19, 7]


@pytest.mark.parametrize(
    ('name', 'codec'),
    [
        ('closed.mp4', 'libx264'),
        ('open.mp4', 'libx265'),
        ('video.mkv', 'libx264'),
        ('video.flv', 'libx264'),
        ('video.ts', 'libx264'),
        ('video.avi', 'libx264'),
        ('video.avi', 'mpeg4'),
        ('video.mp4', 'mpeg4'),
        ('video.mpg', 'mpeg2video'),
        ('video.h264', 'libx264'),
        ('video.webm', 'libvpx-vp9'),
        ('video.webm', 'libvpx'),
    ],
)
def test_pyav_decodes_less_than_all_and_gives_the_same_frames(name, codec, tmp_path):
    path = write_video(tmp_path / name, moving_texture(90), codec=codec, gop_size=15, max_b_frames=2)
    reader = open_video(path)
    every = reader.read(np.arange(90))
    for indices in ([0], [89], [14, 15, 16], [7, 33, 34, 71], [44, 2, 44], list(range(0, 90, 4))):
        assert np.array_equal(reader.read(np.array(indices)), every[indices])


@pytest.mark.parametrize('promised', [21, 30, 12])
def test_what_a_header_promises_counts_for_nothing(promised, tmp_path):
    path = write_greys(tmp_path / 'video.avi', 20, codec='mpeg4')
    patch_avi_length(path, promised)
    reader = open_video(path, 'pyav')
    assert reader.num_frames == 20
    assert numbers_of(reader.read(np.array([3, 19, 0]))) == [3, 19, 0]


def test_images_of_a_folder_are_frames_in_the_order_of_their_numbers(tmp_path):
    for number, frame in enumerate(grey_frames(12)):  # img_2 comes before img_10
        cv2.imwrite(str(tmp_path / f'img_{number}.{"png" if number % 2 else "JPG"}'), frame)
    (tmp_path / 'notes.txt').write_text('no frame')
    reader = open_video(str(tmp_path))
    assert (reader.num_frames, reader.fps) == (12, None)
    assert numbers_of(reader.read(np.array([11, 2, 10, 2, 0]))) == [11, 2, 10, 2, 0]


def test_images_of_a_folder_are_read_as_rgb(tmp_path):
    cv2.imwrite(str(tmp_path / '0.png'), np.full((8, 8, 3), (10, 20, 30), np.uint8))  # OpenCV writes BGR
    assert open_video(str(tmp_path)).read(np.array([0]))[0, 0, 0].tolist() == [30, 20, 10]


@pytest.mark.parametrize(
    ('file', 'words'),
    [('notes.txt', 'the folder holds no images (.bmp .jpeg .jpg .png .webp)'), ('0.jpg', '0.jpg is not an image')],
)
def test_a_folder_without_frames_is_broken(file, words, tmp_path):
    (tmp_path / file).write_text('no image')
    with pytest.raises(BrokenVideoError) as error:
        open_video(str(tmp_path)).read(np.array([0]))
    assert str(error.value) == f'{tmp_path}: {words}'


def test_frames_in_memory_are_a_video_too():
    frames = np.stack(grey_frames(5))
    reader = ArrayReader(frames, fps=10)
    assert (reader.num_frames, reader.fps) == (5, 10)
    assert numbers_of(reader.read(np.array([4, 0, 4]))) == [4, 0, 4]


def truncated(path: Path) -> None:
    """An MP4 file without its second half, which holds the index."""
    data = Path(write_greys(path, 30)).read_bytes()
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ('name', 'write', 'words'),
    [
        ('missing.mp4', lambda path: None, 'the file does not exist'),
        ('empty.mp4', lambda path: path.touch(), 'the file is empty'),
        ('text.mp4', lambda path: path.write_text('this is no video\n' * 50), NO_VIDEO),
        ('truncated.mp4', truncated, NO_VIDEO),
        ('audio.wav', write_silence, NO_VIDEO),
        ('audio.mp4', write_silence, NO_VIDEO),
    ],
)
def test_a_file_without_a_video_is_named_with_the_reason(name, write, words, tmp_path):
    write(tmp_path / name)
    with pytest.raises(BrokenVideoError) as error:
        open_video(str(tmp_path / name))
    assert str(error.value) == f'{tmp_path / name}: {words}'


def test_a_file_that_was_cut_has_its_first_frames(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (40, 64, 128, 3), dtype=np.uint8)
    whole = open_video(write_video(tmp_path / 'whole.mp4', frames, movflags='faststart'))  # the index comes first
    cut = tmp_path / 'cut.mp4'
    data = Path(whole.path).read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    reader = open_video(str(cut))
    assert 10 < reader.num_frames < 30
    first = np.arange(reader.num_frames - 2)  # of the last ones a part is missing
    assert np.array_equal(reader.read(first), whole.read(first))


def read_eight(path: Path) -> np.ndarray:
    """Eight frames from the first to the last, by the default decoder."""
    reader = open_video(str(path))
    return reader.read(np.linspace(0, reader.num_frames - 1, 8).astype(int))


@pytest.mark.skipif(not AWKWARD.is_dir(), reason='needs ../shared/data/awkward')
@pytest.mark.parametrize(
    'path', sorted(path for path in AWKWARD.rglob('*') if path.is_file()), ids=lambda path: path.name
)
def test_an_awkward_file_gives_a_clip_or_one_error_that_begins_with_its_path(path):
    if path.name in UNREADABLE:
        with pytest.raises(BrokenVideoError, match=f'^{re.escape(str(path))}: '):
            read_eight(path)
    else:
        frames = read_eight(path)
        assert (frames.dtype, frames.ndim, len(frames), frames.shape[3]) == (np.uint8, 4, 8, 3)
        assert frames.max() > 0
