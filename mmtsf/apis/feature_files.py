"""Write features of many videos to one file, and go on after an interruption."""

import argparse
import hashlib
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from mmtsf.batch.job import Result
from mmtsf.batch.local import LocalEngine
from mmtsf.batch.parts import as_text
from mmtsf.preparation.video_paths import known_videos
from mmtsf.utils.cores import num_cores
from mmtsf.utils.files import give_usual_rights, write_text, written_whole
from mmtsf.utils.results import stoppable
from mmtsf.utils.text import counted

from .features import extract
from .model_job import ModelJob
from .recognizer import views_of


class Features(ModelJob):
    """Extract features of videos.

    Args:
        args (argparse.Namespace): Arguments of :mod:`mmtsf.commands.features`.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args)
        self.level = args.level

    def finish(self, results: list[Result]) -> list[Result]:
        """Replace samples by their features."""
        return [result if result.reason else result._replace(value=self._extract(result.value)) for result in results]

    def _extract(self, sample: dict) -> np.ndarray:
        return extract(self._model, views_of(self._model, sample), self.level).float().cpu().numpy()

    def columns(self) -> dict[str, Any]:
        """Return the types of a feature's shape and its values."""
        return columns()

    def row(self, value: np.ndarray) -> dict[str, Any]:
        """Return a feature's shape and its values."""
        return dict(shape=list(value.shape), feature=value.reshape(-1))


def write_features(args: argparse.Namespace) -> int:
    """Write the features of many videos; go on where an earlier run was stopped.

    Args:
        args (argparse.Namespace): Arguments of :mod:`mmtsf.commands.features`.

    Returns:
        int: 1 if a video cannot be read, else 0.

    Raises:
        OSError: If there are no videos.
        RuntimeError: If none can be read.
        ValueError: If an earlier run was another one.
    """
    videos = known_videos(args.list, args.root, args.allow_outside)
    job = Features(args)
    settings = f'{args.level}\n{job.settings()}\n{videos}'
    broken = (write_data_set if args.engine == 'ray' else write_file)(job, videos, settings, args)
    return 1 if broken else 0


def write_file(job: Features, videos: list[str], settings: str, args: argparse.Namespace) -> int:
    """Write features to one file, by way of a folder of partial results; return how many videos are broken."""
    with closing(LocalEngine(job, args.workers or num_cores())) as engine:
        open_parts(args.parts, settings)
        left = [number for number in range(len(videos)) if not part_of(args.parts, number).exists()]
        done = len(videos) - len(left)
        with (
            stoppable(len(videos), 'videos', 'the same command goes on from here', done) as is_done,
            closing(engine.run(videos[number] for number in left)) as results,
        ):
            for result in track(results, 'extracting', len(left), disable=not sys.stdout.isatty()):
                number = left[result.place]
                if result.reason:
                    print(f'not read: {videos[number]}: {result.reason}', file=sys.stderr)
                features = np.empty(0, np.float32) if result.reason else result.value
                write_part(part_of(args.parts, number), features)
                is_done()
    return merge(args.parts, videos, args.out)


def write_data_set(job: Features, videos: list[str], settings: str, args: argparse.Namespace) -> int:
    """Write features to a folder of Parquet files, by Ray; return how many videos are broken."""
    from mmtsf.batch import data_set

    parts = data_set.write_data_set(job, videos, args.out, settings, args)
    broken = [row['video'] for row in parts.rows(['video', 'error']) if row['error']]
    if len(broken) == len(videos):
        parts.remove()
        raise RuntimeError(f'none of the {len(videos)} videos could be read')
    write_broken(args.out, broken)
    return told(len(videos) - len(broken), args.out, len(broken))


def told(read: int, out: Path, broken: int) -> int:
    """Print how many videos were read, and return how many were not."""
    print(f'wrote features of {counted(read, "video")} to {out}; {broken} could not be read')
    return broken


def open_parts(folder: Path, settings: str) -> None:
    """Make the folder of partial results, or check that it belongs to the same job.

    Raises:
        ValueError: If it belongs to another one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, digest = folder / 'settings', hashlib.sha256(settings.encode(errors='surrogateescape')).hexdigest()
    if file.exists() and file.read_text() != digest:
        raise ValueError(
            f'{folder} was begun with another list, level, config or checkpoint; finish that, remove it with '
            f'rm -r {folder}, or choose another OUT'
        )
    file.write_text(digest)


def part_of(folder: Path, number: int) -> Path:
    return folder / f'{number}.npy'


def write_part(path: Path, features: np.ndarray) -> None:
    with written_whole(path) as part, part.open('wb') as file:
        np.save(file, features)


def merge(parts: Path, videos: list[str], out: Path) -> int:
    """Merge all features into one file, and remove the folder of partial results; return how many videos are broken."""
    read = [number for number in range(len(videos)) if np.load(part_of(parts, number), mmap_mode='r').size]
    if not read:
        shutil.rmtree(parts)
        raise RuntimeError(f'none of the {len(videos)} videos could be read')
    names = [videos[number] for number in read]
    if out.suffix != '.npy':  # which hold no bytes of names that are no text
        names = [as_text(name) for name in names]
    are_read = set(read)
    broken = [video for number, video in enumerate(videos) if number not in are_read]
    features = (np.load(part_of(parts, number)) for number in read)
    writers = {'.npy': write_npy, '.safetensors': write_safetensors, '.parquet': write_parquet}
    with written_whole(out) as part:
        writers[out.suffix](part, names, features)
    if out.suffix == '.npy':
        write_names(out.with_suffix('.txt'), names)
    write_broken(out, broken)
    shutil.rmtree(parts)
    return told(len(names), out, len(broken))


def write_broken(out: Path, broken: list[str]) -> None:
    """List beside a file the videos that could not be read; nothing, also of an earlier run, if all could."""
    file = out.with_suffix('.broken.txt')
    if broken:
        write_names(file, broken)
    else:
        file.unlink(missing_ok=True)


def write_names(file: Path, names: list[str]) -> None:
    write_text(file, ''.join(f'{name}\n' for name in names))


def write_npy(path: Path, names: list[str], features: Iterator[np.ndarray]) -> None:
    """Write one array ``(videos, ...)``, one video at a time."""
    array = None
    for row, (name, feature) in enumerate(zip(names, features)):
        if array is None:
            array = np.lib.format.open_memmap(path, 'w+', feature.dtype, (len(names), *feature.shape))
        if feature.shape != array.shape[1:]:
            raise ValueError(
                f'{name} has features of shape {feature.shape}, the videos before it {array.shape[1:]}: videos of '
                'different lengths do not fit one array; the same command with .safetensors or .parquet writes them'
            )
        array[row] = feature
    del array


def write_safetensors(path: Path, names: list[str], features: Iterator[np.ndarray]) -> None:
    from safetensors.numpy import save_file

    save_file(dict(zip(names, features)), path)
    give_usual_rights(path)


def columns() -> dict[str, Any]:
    """Return the types of a feature's shape and its values in Parquet files."""
    import pyarrow

    return dict(shape=pyarrow.list_(pyarrow.int32()), feature=pyarrow.list_(pyarrow.float32()))


def write_parquet(path: Path, names: list[str], features: Iterator[np.ndarray]) -> None:
    """Write rows ``video, shape, feature``, one row group each."""
    import pyarrow
    from pyarrow import parquet

    with parquet.ParquetWriter(path, pyarrow.schema(dict(video=pyarrow.string(), **columns()).items())) as file:
        for name, feature in zip(names, features):
            file.write_table(pyarrow.table([[name], [list(feature.shape)], [feature.reshape(-1)]], file.schema))
