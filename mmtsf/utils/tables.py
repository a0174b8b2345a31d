"""Write csv files whose texts a spreadsheet does not take for formulas."""

import csv
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from numbers import Number
from pathlib import Path

#: How a text begins that a spreadsheet takes as a formula, as OWASP lists them
SIGNS = ('=', '+', '-', '−', '@')
BREAKS = ('\t', '\r', '\n')
#: Kinds of characters that are not seen before a sign: control, format, spaces, marks; and letters without a shape
UNSEEN = {'Cc', 'Cf', 'Cs', 'Mn', 'Zl', 'Zp', 'Zs'}
FILLERS = "'\u115f\u1160"


@contextmanager
def new_table(path: Path, header: Iterable[str]) -> Iterator[Callable[[Iterable], None]]:
    """Write a csv file row by row, with the function that the context gives.

    Numbers are written as they are; in the place of a text that would be a formula stands the text with an apostrophe
    before it.

    Args:
        path (Path): The file.
        header (Iterable[str]): Names of the columns.
    """
    with path.open('w', encoding='utf-8', newline='', errors='surrogateescape') as file:  # names of files are bytes
        writer = csv.writer(file)

        def write(row: Iterable) -> None:
            writer.writerow(as_row(row))

        write(header)
        yield write


def as_row(cells: Iterable) -> list:
    """Return cells as a row of a csv file, of which none is a formula."""
    return [cell if cell is None or isinstance(cell, Number) else as_text(str(cell)) for cell in cells]


def read_table(path: Path) -> list[dict[str, str]]:
    """Read the rows of a file that :func:`new_table` wrote, with the original texts."""
    with path.open(encoding='utf-8', newline='', errors='surrogateescape') as file:
        rows = ([_as_it_was(cell) for cell in row] for row in csv.reader(file))
        header = next(rows, [])
        return [dict(zip(header, row)) for row in rows]


def as_text(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would take for a formula, full-width signs included."""
    normal = unicodedata.normalize('NFKC', text)
    seen = (c for c in normal if c not in FILLERS and unicodedata.category(c) not in UNSEEN)
    return f"'{text}" if next(seen, '') in SIGNS or normal.lstrip("'").startswith(BREAKS) else text


def rounded(number: float, digits: int = 4) -> Decimal:
    """Format a number with a fixed number of decimals."""
    return Decimal(f'{number:.{digits}f}')


def _as_it_was(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and as_text(cell[1:]) == cell else cell
