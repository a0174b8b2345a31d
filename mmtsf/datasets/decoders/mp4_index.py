"""Count the entries of an MP4 or QuickTime file's index, of which a few bytes may ask for billions."""

import os
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any

from .broken import BrokenVideoError
from .held_file import opened
from .limits import Limits

#: Entries that do no harm: they take 24 bytes each
HARMLESS = 1_000_000
#: How many times as many entries there may be where every edit of a video showed all of it
EDITED = 4
#: Boxes that FFmpeg looks into, or takes for an index, wherever they lie
INDEX = set(
    b'moov moof trak traf mdia minf stbl mvex edts udta meta ilst dinf tref wave sinf schi iprp free hoov cmov elst '
    b'stsz stz2 trun'.split()
)
#: Boxes of nothing, in which FFmpeg finds an index that was put aside
SPARE = {b'free', b'hoov'}
HANDLER = re.compile(rb'hdlr.{8}(.{4})', re.DOTALL)
#: Samples of the duration 1, as of PCM: FFmpeg makes entries of their chunks instead
ONE_BY_ONE = re.compile(rb'stts.{4}\0\0\0\x01.{4}\0\0\0\x01', re.DOTALL)
#: Flags of what a fragment says of each of its frames
OF_EACH = 0x000F00


def check_index(path: str, limits: Limits) -> None:
    """Refuse an MP4 or QuickTime file with an index of more entries than twice ``limits.frames``, as there may be sound
    beside the frames. Other files pass.

    Raises:
        BrokenVideoError: If there are more, or the index is compressed.
    """
    total, of_one_size, edits, allowed = 0, 0, 1, max(2 * limits.frames, HARMLESS)
    with opened(path, buffering=0) as file:
        for number, part in enumerate(_parts(file)):
            if b'cmov' in part:
                raise BrokenVideoError(path, 'its index is compressed; write it anew, e.g. ffmpeg -i OLD -c copy NEW')
            is_pcm = _is_pcm(part)
            tables = [] if is_pcm else [*_tables(part, b'stsz'), *_tables(part, b'stz2')]
            total += sum(count for _, _, count in tables)
            of_one_size += _pcm_entries(part) if is_pcm else 0
            of_one_size += sum(count for _, size, count in tables if size)
            of_one_size += sum(count for flags, count, _ in _tables(part, b'trun') if not flags & OF_EACH)
            edits = max([edits, *(count for _, count, _ in _tables(part, b'elst'))])
            shown = edits * total // EDITED if edits > 1 else 0
            if max(number, of_one_size, shown) > allowed:
                raise BrokenVideoError(path, f'its index is longer than limits.frames allows, {limits.frames}')


def _tables(part: bytes, name: bytes) -> Iterator[tuple[int, int, int]]:
    """What tables of a name begin with: ``flags, count`` or ``flags, size of all, count``."""
    place = part.find(name)
    while place >= 0:
        yield struct.unpack('>III', part[place + 4 : place + 16].ljust(12, b'\0'))
        place = part.find(name, place + 4)


def _is_pcm(track: bytes) -> bool:
    handlers = set(HANDLER.findall(track))
    return b'soun' in handlers and handlers <= {b'soun', b'alis', b'url '} and len(ONE_BY_ONE.findall(track)) == 1


def _pcm_entries(track: bytes) -> int:
    """Entries for the chunks of PCM, one for every 1024 samples, as if all chunks were as long as the longest."""
    chunks = max((count for name in (b'stco', b'co64') for _, count, _ in _tables(track, name)), default=0)
    place = track.find(b'stsc')
    runs = min(int.from_bytes(track[place + 8 : place + 12], 'big'), (len(track) - place) // 12)
    longest = max((int.from_bytes(track[place + 16 + 12 * i :][:4], 'big') for i in range(runs)), default=0)
    return chunks * (longest // 1024 + 1)


def _parts(file: Any) -> Iterator[bytes]:
    """Boxes of the index, whole; those in ``moov``, which are one a track, one after the other; of others, nothing."""

    def read(place: int, count: int) -> bytes:
        file.seek(place)
        return file.read(count)

    for name, start, end in _boxes(lambda place: read(place, 16), 0, file.seek(0, os.SEEK_END)):
        may_be_index = name not in SPARE or read(start + 12, 4) in (b'mvhd', b'cmov')
        part = read(start, end - start) if name in INDEX and may_be_index else b''
        inner = [*_boxes(lambda place: part[place : place + 16], 8, len(part))]  # noqa: B023  # it is used up here
        yield from (part[a:b] for _, a, b in inner) if name == b'moov' else [part]


def _boxes(head_at: Callable[[int], bytes], start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, beginning and end of each box, as FFmpeg takes them; of other files, something else and soon an end."""
    while start <= end - 8:
        head = head_at(start)
        size = int.from_bytes(head[:4], 'big')
        if size < 2:  # 0: to the end; 1: a longer number follows
            size = int.from_bytes(head[8:], 'big') if size else end - start
        if size < 8:
            return
        yield head[4:8], start, min(start + size, end)
        start += size
