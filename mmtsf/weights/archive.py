"""Open zip archives (PyTorch's files and npz files) and check their sizes before unpacking."""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

#: An archive may unpack to this many times its size, and to a little more where it is small
MOST_TIMES = 10
SMALL = 16 * 2**20
#: Bytes of the list of an archive's parts; that of a training of base size has 0.1 million
MOST_LISTED = 8 * 2**20
#: Other methods unpack without asking how much is wanted
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Refused(ValueError):
    """Report that an intact file is refused, and why."""


@contextmanager
def open_archive(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """Open an archive, and refuse repeated names or an unpacked size beyond a multiple of the file's.

    Raises:
        Refused: If they do not.
    """
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]  # what ZipFile itself goes by
    if end and end[zipfile._ECD_SIZE] > MOST_LISTED:  # type: ignore[attr-defined]
        raise Refused(f'the list of its parts is larger than {MOST_LISTED:,} bytes')
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
        if len({part.filename for part in parts}) < len(parts):
            raise Refused('two of its parts have the same name')
        if odd := [part for part in parts if part.compress_type not in METHODS or part.flag_bits & 1]:
            raise Refused(f'its part {odd[0].filename[:100]!r} is encrypted, or compressed otherwise than by deflate')
        size, unpacked = os.fstat(file.fileno()).st_size, sum(part.file_size for part in parts)
        if unpacked > MOST_TIMES * size + SMALL:
            raise Refused(
                f'its {size:,} bytes unpack to {unpacked:,}, and no more than {MOST_TIMES} times as many are taken; '
                'unpack and write it anew if you trust it'
            )
        yield archive
