"""Read text files that people wrote, with an error that names the line where one is in another encoding."""

import codecs
import re
from pathlib import Path
from typing import Any, BinaryIO

from .text import without_secrets

#: How files in other encodings of Unicode begin
MARKS = {
    codecs.BOM_UTF32_LE: 'UTF-32',
    codecs.BOM_UTF32_BE: 'UTF-32',
    codecs.BOM_UTF16_LE: 'UTF-16',
    codecs.BOM_UTF16_BE: 'UTF-16',
}
#: Those that may begin without a mark
WIDE = ('UTF-32LE', 'UTF-32BE', 'UTF-16LE', 'UTF-16BE')
#: Bytes that no text has: control characters but tab, line ends, form feed, end of file and escape
CONTROL = {*range(32)} - {*b'\t\n\v\f\r\x1a\x1b'}


#: Bytes up to which a text is read, here or at an address, which may never end
MOST_OF_A_TEXT = 2**30


def check_text_size(file: Any, size: int) -> None:
    """Refuse a text that is larger than any list.

    Args:
        file (Path): The file, for the message.
        size (int): Its bytes, or those that were read of it.

    Raises:
        ValueError: If it is.
    """
    if size > MOST_OF_A_TEXT:
        raise ValueError(
            f'{without_secrets(str(file))} holds {size} bytes or more, expected a text of up to {MOST_OF_A_TEXT}; '
            'correct the name, or split it'
        )


def open_text(file: Any) -> BinaryIO:
    """Open the bytes of a text file.

    Args:
        file (Path): The file, on the disk or at an address.

    Raises:
        ValueError: If it is larger than any list.
    """
    if isinstance(file, Path):
        check_text_size(file, file.stat().st_size)
        return file.open('rb')
    from .remote_file import RemoteFile

    return RemoteFile(file, lambda size: check_text_size(file, size)).open()


def _data(file: Any) -> bytes:
    data = bytearray()
    with open_text(file) as source:
        while piece := source.read(2**20):  # of a device the size is not known before
            data += piece
            check_text_size(file, len(data))
    return bytes(data)


def read_text(file: Any) -> str:
    """Read a text file in UTF-8.

    Byte order marks are left out, also those within a file that was put together of several; line ends stay.

    Args:
        file (Path): The file, on the disk or at an address.

    Raises:
        ValueError: If it is in another encoding, in which case the message names the file, the line and the remedy, or
            larger than any list.
    """
    return decoded(_data(file), file)


def decoded(data: bytes, file: Any) -> str:
    """Return the text that a file holds, see :func:`read_text`."""
    try:
        text = data.decode('utf-8')
        if '\0' not in text:
            return re.sub('^\ufeff+', '', text, flags=re.MULTILINE)
        place, found, may_be_wide = data.index(b'\0'), 'the byte 0x00 is in none', 4 * data.count(b'\0') > len(data)
    except UnicodeDecodeError as error:
        place, found, may_be_wide = error.start, f'the byte 0x{data[error.start]:02x} is none of it', True
    if encoding := _encoding(data) if may_be_wide else None:
        place, found = max(data.find(b'\0'), 0), f'it looks like {encoding[:6]}'
    line, source = data.count(b'\n', 0, place) + 1, encoding or 'GBK'
    remedy = f'save it as UTF-8, with an editor or, where it is {source}, iconv -f {source} -t UTF-8'
    if not encoding and any(byte in CONTROL for byte in data):
        remedy = 'it is no text as it is: unpack an archive, export a table as text, or remove that byte'
    raise ValueError(f'{file}, line {line}: expected text in UTF-8, but {found}; {remedy}')


def _encoding(data: bytes) -> str | None:
    """Another encoding of Unicode in which data are lines of text; None if there is none."""
    for start, name in MARKS.items():
        if data.startswith(start):
            return name
    for name in WIDE:
        try:
            text = data.decode(name).replace('\ufeff', '')
        except UnicodeDecodeError:
            continue
        if set('\n ,').intersection(text) and all(sign.isprintable() or sign.isspace() for sign in text):
            return name
    return None


def read_names(file: Any) -> list[str]:
    """Read a text file with one name a line; empty lines at its end are left out.

    Args:
        file (Path): The file, on the disk or at an address.

    Raises:
        ValueError: If it is in another encoding, empty, or a line before the last name is.
    """
    names = [line.strip() for line in re.split('\r\n|\n|\r', read_text(file).rstrip())]
    if '' in names:
        raise ValueError(f'{file}, line {names.index("") + 1}: the line is empty, expected one name a line')
    return names
