"""Read from a packet how many frames it shows, and whether decoding may start at it.

Key-frame flags of containers are often false, and a packet may show no frame. So both are taken from the bitstream
itself, as its standard writes it, for the codecs of :data:`INSPECTORS`. Of all others, and of packets that are damaged
or unusual, nothing is known without decoding.
"""

from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import NamedTuple


class Picture(NamedTuple):
    """What a packet holds.

    Attributes:
        shown (bool): Whether it shows a frame; otherwise it shows none.
        is_start (bool): Whether all frames that are shown no earlier than this one can be decoded from here on.
        is_open (bool): For a start: whether frames that follow may refer to what was before it.
        is_bidirectional (bool): Whether it is decoded from two others, and is lost where one is missing.
    """

    shown: bool = True
    is_start: bool = False
    is_open: bool = False
    is_bidirectional: bool = False


PREDICTED = Picture()
START = Picture(is_start=True)
OPEN_START = Picture(is_start=True, is_open=True)
BIDIRECTIONAL = Picture(is_bidirectional=True)
HIDDEN = Picture(shown=False)
HIDDEN_START = Picture(shown=False, is_start=True)


def length_size(codec: str, extradata: bytes | None) -> int:
    """Bytes of the lengths before the units of H.264 and H.265 (ISO/IEC 14496-15); 0 if start codes part them."""
    places = {'h264': 4, 'hevc': 21}
    if not extradata or extradata[0] != 1 or codec not in places or len(extradata) <= places[codec]:
        return 0
    return (extradata[places[codec]] & 3) + 1


def units(data: bytes, length_size: int) -> Iterator[tuple[int, int]]:
    """Hand out beginning and end of each unit of H.264 or H.265.

    Raises:
        ValueError: If the lengths do not add up, or there are zeros that no unit may have.
    """
    place = 0
    while length_size and place < len(data):
        start = place + length_size
        place = start + int.from_bytes(data[place:start], 'big')
        if not start < place <= len(data) or data.find(b'\0\0\0', start, place) >= 0:
            raise ValueError
        yield start, place
    if not length_size:
        if b'\0\0\0\0' in data:
            raise ValueError
        start = data.find(b'\0\0\1') + 3
        while start > 2:
            place = data.find(b'\0\0\1', start)
            yield start, place if place >= 0 else len(data)
            start = place + 3


def _h264(data: bytes, length_size: int) -> Picture | None:
    """ISO/IEC 14496-10, 7.3.1: a start is an IDR picture, or an exact recovery point without a delay."""
    pictures, is_idr, is_recovery = 0, False, False
    for start, end in units(data, length_size):
        kind = data[start] & 31
        if data[start] & 0x80 or end - start < 2 or 2 <= kind <= 4:  # damaged; partitioned
            return None
        if kind in (1, 5):
            pictures += data[start + 1] >> 7  # its first macroblock is that of the picture
            is_idr |= kind == 5
        elif kind == 6:
            is_recovery |= _is_recovery_point(data[start + 1 : end])
    if pictures != 1:
        return None
    return START if is_idr else OPEN_START if is_recovery else PREDICTED


def _is_recovery_point(sei: bytes) -> bool:
    """Whether messages (annex D) tell that decoding is exact from here on."""
    place = 0
    while place + 2 < len(sei):
        kind, size = sei[place], sei[place + 1]
        if kind == 255 or size == 255:  # longer ones come later
            return False
        if kind == 6:
            return sei[place + 2] >> 6 == 3  # recovery_frame_cnt 0 as a code of one bit, exact_match_flag
        place += 2 + size
    return False


def _hevc(data: bytes, length_size: int) -> Picture | None:
    """ITU-T H.265, 7.3.1 and table 7-1: a start is an IDR or CRA picture."""
    pictures, kinds = 0, set()
    for start, end in units(data, length_size):
        kind, layer = data[start] >> 1, (data[start] & 1) << 5 | data[start + 1] >> 3
        if end - start < 3 or kind > 63 or 16 <= kind <= 18 or kind in (36, 37):  # damaged; after a cut or an end
            return None
        if kind < 32 and layer == 0:
            pictures += data[start + 2] >> 7  # first_slice_segment_in_pic_flag
            kinds.add(kind)
    if pictures != 1:
        return None
    return START if kinds <= {19, 20} else OPEN_START if kinds <= {19, 20, 21} else PREDICTED


def _vp8(data: bytes, _: int) -> Picture | None:
    """RFC 6386, 9.1."""
    is_key = not data[0] & 1
    if is_key and data[3:6] != b'\x9d\x01\x2a':
        return None
    return _picture(data[0] & 0x10, is_key)


def _vp9(data: bytes, _: int) -> Picture | None:
    """VP9 bitstream specification, 6.2: a start is a key frame."""
    frames = [_vp9_frame(frame) for frame in _vp9_frames(data)]
    shown = sum(shown for shown, _ in frames)
    return _picture(shown, frames[0][1]) if shown < 2 else None


def _vp9_frames(data: bytes) -> list[bytes]:
    """Frames of a superframe, which has an index of their sizes at its end (annex B); others are one frame."""
    marker = data[-1]
    count, width = (marker & 7) + 1, (marker >> 3 & 3) + 1
    index = data[-2 - count * width :]
    if marker >> 5 != 6 or index[0] != marker:
        return [data]
    sizes = [int.from_bytes(index[1 + width * i : 1 + width * (i + 1)], 'little') for i in range(count)]
    ends = list(accumulate(sizes))
    if ends[-1] > len(data) - len(index) or not all(sizes):
        raise ValueError
    return [data[end - size : end] for end, size in zip(ends, sizes)]


def _vp9_frame(data: bytes) -> tuple[bool, bool]:
    """Whether a frame is shown, and whether it is a key frame."""
    head = data[0]
    first = 5 if head >> 4 & 3 == 3 else 4  # bits before that which shows an earlier frame: profile 3 has one more
    earlier, is_inter, shown = (head >> 7 - first - i & 1 for i in range(3))
    if head >> 6 != 2 or (first == 4 and not earlier and not is_inter and data[1:4] != b'\x49\x83\x42'):
        raise ValueError
    return bool(earlier or shown), not earlier and not is_inter


def _av1(data: bytes, _: int) -> Picture | None:
    """AV1 bitstream specification, 5.3 to 5.9: a start is a key frame that is shown."""
    frames = []
    for kind, first in _open_bitstream_units(data):
        if kind == 1 and first & 8:  # a still picture, whose header is another one
            return None
        if kind in (3, 6):
            earlier, is_key, shown = first >> 7, first >> 5 & 3 == 0, first >> 4 & 1
            frames.append((bool(earlier or shown), bool(not earlier and is_key and shown)))
    return _picture(1, frames[0][1]) if sum(shown for shown, _ in frames) == 1 else None


def _open_bitstream_units(data: bytes) -> Iterator[tuple[int, int]]:
    """Type and first byte of each unit that has any."""
    place = 0
    while place < len(data):
        head = data[place]
        if head & 0x80 or head & 4 and data[place + 1] & 0x18:  # damaged; another layer
            raise ValueError
        place += 2 if head & 4 else 1
        size = len(data) - place
        if head & 2:
            width = next(i for i in range(8) if not data[place + i] & 0x80) + 1
            size = sum((data[place + i] & 0x7F) << 7 * i for i in range(width))
            place += width
        if place + size > len(data):
            raise ValueError
        if size:
            yield head >> 3 & 15, data[place]
        place += size


def _mpeg4(data: bytes, _: int) -> Picture | None:
    """ISO/IEC 14496-2, 6.2.5. One that is not coded has less than ten bytes; it may stand for a frame or for none."""
    place = data.find(b'\0\0\1\xb6')
    if place < 0 or data.find(b'\0\0\1\xb6', place + 4) >= 0 or len(data) - place < 10:
        return None
    return (START, PREDICTED, BIDIRECTIONAL, PREDICTED)[data[place + 4] >> 6]


def _mpeg12(data: bytes, _: int) -> Picture | None:
    """ISO/IEC 13818-2, 6.2.3: a start is an I picture, of two fields."""
    place = data.find(b'\0\0\1\0')
    if place < 0 or data.find(b'\0\0\1\0', place + 4) >= 0:
        return None
    extension = data.find(b'\0\0\1\xb5', place + 4)
    if extension >= 0 and (data[extension + 4] >> 4 != 8 or data[extension + 6] & 3 != 3):
        return None
    kind = data[place + 5] >> 3 & 7
    return {1: START, 2: PREDICTED, 3: BIDIRECTIONAL}.get(kind)


def _picture(shown: int, is_start: bool) -> Picture:
    if shown:
        return START if is_start else PREDICTED
    return HIDDEN_START if is_start else HIDDEN


def _intra(_: bytes, __: int) -> Picture:
    return START


DAMAGED = (IndexError, StopIteration, ValueError)
INTRA = ['dnxhd', 'dvvideo', 'ffvhuff', 'huffyuv', 'jpeg2000', 'mjpeg', 'png', 'prores', 'rawvideo', 'v210']
#: By FFmpeg's name of a codec, what tells the picture of a packet from its bytes and the :func:`length_size`. None, and
#: an error of :data:`DAMAGED`, mean that it must be decoded to know
INSPECTORS: dict[str, Callable[[bytes, int], Picture | None]] = dict.fromkeys(INTRA, _intra) | dict(
    av1=_av1, h264=_h264, hevc=_hevc, mpeg1video=_mpeg12, mpeg2video=_mpeg12, mpeg4=_mpeg4, vp8=_vp8, vp9=_vp9
)
