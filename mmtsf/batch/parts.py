"""Keep results in a folder of Parquet files, each of which is whole or not there, and holds a known part of a list."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mmtsf.utils.files import PART, make_folder, write_text, written_whole
from mmtsf.utils.locations import facts_of, location

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
#: Parts that are looked into at a time
AT_A_TIME = 16
#: What the footer of a part holds: the state of each video's file when it was read
STATES = b'states'


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
        found = ((path.name, NAME.fullmatch(path.name)) for path in self.folder.iterdir())
        return {int(number[1]) for name, number in found if number and name == _name(int(number[1]))}

    def left(self, videos: Sequence[str]) -> dict[int, list[int]]:
        """Return what is left to do of a list: by the numbers of its parts, places of videos in them.

        Args:
            videos (Sequence[str]): The whole list.
        """
        places, there = places_of(len(videos), self.size), self.there()

        def left_of(number: int) -> list[int]:
            found = self.left_of(number, self.videos(number, videos)) if number in there else None
            return places[number] if found is None else list(found)

        with ThreadPoolExecutor(AT_A_TIME) as threads:
            return {number: left for number, left in zip(places, threads.map(left_of, places)) if left}

    def videos(self, number: int, videos: Sequence[str]) -> Sequence[str]:
        """Return the videos of a part, of those of the whole list."""
        return videos[number * self.size : (number + 1) * self.size]

    def check(self, videos: int) -> None:
        """Check that what readers of the folder take for its rows are parts of a list of so many videos.

        Raises:
            ValueError: If there is another file.
        """
        names = set(map(_name, places_of(videos, self.size)))
        others = (path for path in self.folder.iterdir() if path.name not in names and path.name[0] not in '._')
        if other := min(map(str, others), default=None):
            raise ValueError(f'{other} is no part of these results, but would be read as one; move it elsewhere')

    def left_of(self, number: int, videos: Sequence[str]) -> Sequence[int] | None:
        """Return the places in a part of videos that are broken, or whose files are others now; None if the part is not
        that of these videos, or too many are."""
        from pyarrow import ArrowException, parquet

        try:
            with (self.folder / _name(number)).open('rb') as opened, parquet.ParquetFile(opened) as file:
                rows = file.read(['video', 'error']).to_pydict()
                states = json.loads(file.schema_arrow.metadata[STATES])
        except (ArrowException, OSError, ValueError, KeyError, TypeError):  # half of one, or none of ours
            return None
        if rows['video'] != list(map(as_text, videos)) or not isinstance(states, list) or len(states) != len(videos):
            return None
        rows = zip(rows['error'], states, states_of(videos))
        places = [place for place, (error, before, now) in enumerate(rows) if error is not None or before != now]
        return places if len(places) <= ROWS else None

    def write(self, number: int, videos: Sequence[str], results: Iterable[Result], job: Job) -> Iterator[Result]:
        """Write a part while results come in the order of its videos; yield them without their values."""
        from pyarrow import Table, parquet

        schema, left = _schema(job, states_of(videos)), iter(results)
        with written_whole(self.folder / _name(number)) as part, parquet.ParquetWriter(part, schema) as file:
            while some := list(islice(left, ROWS)):
                rows = [_row(videos[result.place], result, job) for result in some]
                file.write_table(Table.from_pylist(rows, schema))
                yield from (result._replace(value=None) for result in some)

    def mend(self, number: int, videos: Sequence[str], results: Iterable[Result], job: Job) -> Iterator[Result]:
        """Write a part anew with few rows that are others now; not if they are the same; yield them without their
        values."""
        from pyarrow import Table, parquet

        path, now = self.folder / _name(number), states_of(videos)
        others = {result.place: result for result in results}
        rows = {place: _row(videos[place], result, job) for place, result in others.items()}
        with path.open('rb') as opened, parquet.ParquetFile(opened) as old:
            states = json.loads(old.schema_arrow.metadata[STATES])
            errors = old.read(['error'])['error'].to_pylist()
            new = [now[place] if place in rows else state for place, state in enumerate(states)]
            if new != states or any(row.get('error') != errors[place] for place, row in rows.items()):
                schema, places = _schema(job, new), iter(range(len(videos)))
                with written_whole(path) as part, parquet.ParquetWriter(part, schema) as file:
                    for group in old.iter_batches(ROWS):
                        kept = [rows.get(place, row) for row, place in zip(group.to_pylist(), places)]
                        file.write_table(Table.from_pylist(kept, schema))
        yield from (result._replace(value=None) for result in others.values())

    def remove(self) -> None:
        """Remove the folder with all that is written."""
        for path in [*(self.folder / _name(number) for number in self.there()), self.folder / SETTINGS]:
            path.unlink(missing_ok=True)
        if isinstance(self.folder, Path):
            self.folder.rmdir()

    def remove_begun(self) -> None:
        """Remove what was not written to its end, and a folder without results."""
        for path in self.folder.iterdir():
            if path.name.endswith(PART):
                path.unlink(missing_ok=True)
        if isinstance(self.folder, Path) and {path.name for path in self.folder.iterdir()} == {SETTINGS}:
            self.remove()

    def rows(self, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the rows of all parts, in the order of the list."""
        from pyarrow import parquet

        for number in sorted(self.there()):
            with (self.folder / _name(number)).open('rb') as file:
                for group in parquet.ParquetFile(file).iter_batches(columns=columns):
                    yield from group.to_pylist()


def places_of(videos: int, size: int) -> dict[int, list[int]]:
    """Return the places of so many videos in parts of a size, by the numbers of the parts."""
    return {first // size: list(range(min(size, videos - first))) for first in range(0, videos, size)}


def _name(number: int) -> str:
    return f'part-{number:06}.parquet'


def _schema(job: Job, states: list[str]) -> Any:
    import pyarrow

    columns = {'video': pyarrow.string(), **job.columns(), 'error': pyarrow.string()}
    return pyarrow.schema(columns.items(), {STATES: json.dumps(states)})


def states_of(videos: Sequence[str]) -> list[str]:
    """Return for each video what changes when its file does; of one in a shard the shard's."""
    from mmtsf.datasets.shards import shard_of_name

    files = [location(shard_of_name(video) or video) for video in videos]
    asked = list(dict.fromkeys(files))
    states = {file: found.state if found else '' for file, found in zip(asked, facts_of(asked))}
    return [states[file] for file in files]


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
