"""Keep results in a folder of Parquet files, each of which is whole or not there, and holds a known part of a list."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mmtsf.utils.files import make_folder, write_text, written_whole

from .job import Job, Result

if TYPE_CHECKING:
    from mmtsf.utils.remote_path import RemotePath

#: Says what the folder is of; what reads a folder of Parquet files leaves out names that begin so
SETTINGS = '_settings.json'
NAME = re.compile(r'part-(\d+)\.parquet')
#: Rows that are written at once
ROWS = 16
#: Videos in a part, at most
MOST = 128


class Parts(NamedTuple):
    """A folder of results.

    Attributes:
        folder (Path | RemotePath): The folder.
        size (int): Videos in a part.
    """

    folder: Path | RemotePath
    size: int

    def there(self) -> set[int]:
        """Return the numbers of the parts that are written."""
        return {int(found[1]) for path in self.folder.iterdir() if (found := NAME.fullmatch(path.name))}

    def write(self, number: int, videos: Sequence[str], results: Iterable[Result], job: Job) -> Iterator[Result]:
        """Write a part while results come in the order of its videos; yield them without their values."""
        import pyarrow
        from pyarrow import parquet

        columns = {'video': pyarrow.string(), **job.columns(), 'error': pyarrow.string()}
        schema, left = pyarrow.schema(columns.items()), iter(results)
        with (
            written_whole(self.folder / f'part-{number:06}.parquet') as part,
            parquet.ParquetWriter(part, schema) as file,
        ):
            while some := list(islice(left, ROWS)):
                rows = [_row(videos[result.place], result, job) for result in some]
                file.write_table(pyarrow.Table.from_pylist(rows, schema))
                yield from (result._replace(value=None) for result in some)

    def rows(self, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the rows of all parts, in the order of the list."""
        from pyarrow import parquet

        for number in sorted(self.there()):
            with (self.folder / f'part-{number:06}.parquet').open('rb') as file:
                for group in parquet.ParquetFile(file).iter_batches(columns=columns):
                    yield from group.to_pylist()


def _row(video: str, result: Result, job: Job) -> dict[str, Any]:
    if result.reason:
        return dict(video=as_text(video), error=as_text(result.reason))
    return dict(job.row(result.value), video=as_text(video))


def as_text(name: str) -> str:
    """Return a name of a file, which is bytes, as text that Parquet can hold."""
    return name.encode(errors='backslashreplace').decode()


def open_parts(folder: Path | RemotePath, settings: str, size: int) -> Parts:
    """Begin a folder of results, or go on with one that belongs to the same job.

    Args:
        folder (Path | RemotePath): The folder.
        settings (str): All that the results depend on.
        size (int): Videos in a part, where it is begun.

    Raises:
        ValueError: If it belongs to another job, or holds something else.
    """
    file, digest = folder / SETTINGS, hashlib.sha256(settings.encode(errors='surrogateescape')).hexdigest()
    if not file.exists():
        if folder.exists() and any(folder.iterdir()):
            raise ValueError(f'{folder} is not empty and was not begun by this command; choose another')
        make_folder(folder)
        write_text(file, json.dumps(dict(settings=digest, size=size)))
    begun = _read(file)
    if begun.get('settings') != digest:
        raise ValueError(
            f'{folder} was begun with another list, level, config or checkpoint; finish that, remove it, or choose '
            'another'
        )
    return Parts(folder, begun['size'])


def _read(file: Path | RemotePath) -> dict[str, Any]:
    """Read the settings of a folder.

    Raises:
        ValueError: If they are none.
    """
    try:
        begun = json.loads(file.read_text())
        if isinstance(begun['settings'], str) and type(begun['size']) is int and begun['size'] >= 1:
            return begun
    except (ValueError, TypeError, KeyError):
        pass
    raise ValueError(f'{file} is damaged; remove {file.parent}, or choose another')
