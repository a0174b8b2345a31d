"""How many entries FFmpeg makes of the index of an MP4 or QuickTime file: a few bytes may ask for billions."""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import BinaryIO

from .broken import BrokenVideoError
from .limits import Limits

#: Entries that do no harm: they take 24 bytes each
HARMLESS = 1_000_000
#: Tables, with the fields that they begin with: ``flags, size of all, count``, or ``flags, count``
TABLE = re.compile(rb'(stsz|stz2|elst|trun|cmov)(?=(.{4})(.{4})(.{4}))', re.DOTALL)
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
    in_fragments, allowed = 0, max(2 * limits.frames, HARMLESS)
    with open(path, 'rb') as file:
        for part in _parts(file):
            tables: defaultdict[bytes, list[tuple[int, ...]]] = defaultdict(list)
            for name, *fields in TABLE.findall(part):
                tables[name].append(tuple(int.from_bytes(field, 'big') for field in fields))
            if tables[b'cmov']:
                raise BrokenVideoError(path, 'its index is compressed; write it anew, e.g. ffmpeg -i OLD -c copy NEW')
            in_fragments += sum(count for flags, count, _ in tables[b'trun'] if not flags & OF_EACH)
            edits = max((count for _, count, _ in tables[b'elst']), default=1)
            sizes = [count for _, size, count in tables[b'stsz'] if (size or edits > 1) and not _is_pcm(part)]
            sizes += [count for _, _, count in tables[b'stz2'] if edits > 1]
            if max(edits * max(sizes, default=0), in_fragments) > allowed:
                raise BrokenVideoError(path, f'its index is longer than limits.frames allows, {limits.frames}')


def _is_pcm(track: bytes) -> bool:
    return set(HANDLER.findall(track)) <= {b'soun', b'alis', b'url '} and len(ONE_BY_ONE.findall(track)) == 1


def _parts(file: BinaryIO) -> Iterator[bytes]:
    """Whole boxes but those of pictures and sound; of the index, one after the other."""
    for name, start, end in _boxes(file, 0, file.seek(0, 2)):
        inner = [*_boxes(file, start + 8, end)] if name == b'moov' else [(name, start, end)]
        for _, first, last in inner if name != b'mdat' else ():
            file.seek(first)
            yield file.read(last - first)


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, beginning and end of each box, as FFmpeg takes them; none, where a file is no such one."""
    while start <= end - 8:
        file.seek(start)
        head = file.read(16)
        size = int.from_bytes(head[:4], 'big')
        if size < 2:  # 0: to the end; 1: a longer number follows
            size = int.from_bytes(head[8:], 'big') if size else end - start
        if size < 8:
            return
        yield head[4:8], start, min(start + size, end)
        start += size
