"""Read text files that people wrote, with an error that names the line where one is in another encoding."""

import codecs
import re
from pathlib import Path

#: How files in other encodings of Unicode begin
MARKS = {
    codecs.BOM_UTF32_LE: 'UTF-32',
    codecs.BOM_UTF32_BE: 'UTF-32',
    codecs.BOM_UTF16_LE: 'UTF-16',
    codecs.BOM_UTF16_BE: 'UTF-16',
}


def read_text(file: Path) -> str:
    """Read a text file in UTF-8.

    Byte order marks are left out, also those within a file that was put together of several; line ends stay.

    Args:
        file (Path): The file.

    Raises:
        ValueError: If it is in another encoding; the message names the file, the line and the remedy.
    """
    data = file.read_bytes()
    mark = next((name for start, name in MARKS.items() if data.startswith(start)), None)
    if mark is None and b'\0' not in data:
        try:
            return re.sub('^\ufeff+', '', data.decode('utf-8'), flags=re.MULTILINE)
        except UnicodeDecodeError as error:
            place, found = error.start, f'the byte 0x{data[error.start]:02x} is none of it'
    else:
        place, found = max(data.find(b'\0'), 0), f'it looks like {mark or "UTF-16"}'
    line = data.count(b'\n', 0, place) + 1
    source = mark or ('UTF-16LE' if b'\0' in data else 'GBK')
    raise ValueError(
        f'{file}, line {line}: expected text in UTF-8, but {found}; save it as UTF-8, with an editor or, where it is '
        f'{source}, iconv -f {source} -t UTF-8'
    )


def read_names(file: Path) -> list[str]:
    """Read a text file with one name a line; empty lines at its end are left out.

    Args:
        file (Path): The file.

    Raises:
        ValueError: If it is in another encoding, empty, or a line before the last name is.
    """
    names = [line.strip() for line in re.split('\r\n|\n|\r', read_text(file).rstrip())]
    if '' in names:
        raise ValueError(f'{file}, line {names.index("") + 1}: the line is empty, expected one name a line')
    return names
