"""Write features of many videos to one file, in one process or several, and go on after an interruption."""

import argparse
import hashlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
from mmaction.models import BaseRecognizer
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.dist import all_gather_object, barrier, get_dist_info
from rich.progress import track
from torch.utils.data import DataLoader, Dataset

from mmtsf.config import load_config
from mmtsf.datasets.decoders import BrokenVideoError
from mmtsf.engine.launch import init_processes, keep_freed_memory
from mmtsf.preparation.video_paths import list_source, videos_of
from mmtsf.utils.arguments import parsed
from mmtsf.utils.files import write_text, written_whole
from mmtsf.utils.media import is_video
from mmtsf.utils.results import say_stopped
from mmtsf.utils.text import counted
from mmtsf.weights.sources import local_path

from .features import extract
from .recognizer import build_pipeline, init_recognizer, to_sample, views_of

T = TypeVar('T')


class Videos(Dataset):
    """Load the views of a video by its index, or the reason why it cannot be read."""

    def __init__(self, videos: list[tuple[int, Path]], pipeline: Compose) -> None:
        self.videos, self.pipeline = videos, pipeline

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> tuple[int, dict | str]:
        number, path = self.videos[index]
        try:
            return number, self.pipeline(to_sample(path))
        except BrokenVideoError as error:
            return number, error.reason


def write_features(args: argparse.Namespace) -> int:
    """Write the features of many videos to one file; go on where an earlier run was stopped.

    Args:
        args (argparse.Namespace): Arguments of :mod:`mmtsf.commands.features`.

    Returns:
        int: In the first process 1 if a video cannot be read, else 0.

    Raises:
        OSError: If there are no videos.
        RuntimeError: If none can be read, or another process fails.
        ValueError: If an earlier run was another one.
    """
    parts: Path = args.parts
    videos = known_videos(args.list, args.root, args.allow_outside)
    config = load_config(args.config, parsed(args.cfg_options))
    init_processes(args.launcher)
    rank, world_size = get_dist_info()
    model, pipeline = together(lambda: load(config, args.checkpoint, args.device))
    settings = f'{args.level}\n{identity(args.checkpoint)}\n{config.pretty_text}\n{videos}'
    together(lambda: open_parts(parts, settings) if rank == 0 else None)
    keep_freed_memory(model.data_preprocessor.device)
    share = [item for item in list(enumerate(videos))[rank::world_size] if not part_of(parts, item[0]).exists()]
    loader = DataLoader(Videos(share, pipeline), None, num_workers=args.workers)
    try:
        for number, sample in track(loader, 'extracting', len(share), disable=rank > 0 or not sys.stdout.isatty()):
            if isinstance(sample, str):
                print(f'not read: {videos[number]}: {sample}', file=sys.stderr)
                features = np.empty(0, np.float32)
            else:
                features = extract(model, views_of(model, sample), args.level).float().cpu().numpy()
            write_part(part_of(parts, number), features)
    except KeyboardInterrupt:
        if rank == 0:
            say_stopped(len(list(parts.glob('*.npy'))), len(videos), 'videos', 'the same command goes on from here')
        raise
    barrier()
    broken = merge(parts, videos, args.out) if rank == 0 else 0
    return 1 if broken else 0


def known_videos(source: Path, root: Path | None, allow_outside: bool) -> list[Path]:
    """List the videos of a list, a folder or a file; at least one must exist.

    Raises:
        FileNotFoundError: If none is.
        ValueError: If an option is given that is for lists, and this is none.
    """
    if (root or allow_outside) and (source.is_dir() or is_video(str(source))):
        option = '--root' if root else '--allow-outside'
        raise ValueError(f'{option} is for lists, and {source} is none; leave it out')
    videos = list(find_videos(source, root, allow_outside))
    if not videos:
        raise FileNotFoundError(f'{source} names no videos; give an annotation list, a folder of videos or a video')
    if not any(video.exists() for video in videos):
        raise FileNotFoundError(
            f'none of the {len(videos)} videos of {source} exists, the first is {videos[0]}; give the folder that the '
            'list starts from with --root'
        )
    return videos


def load(config: Config, checkpoint: str, device: str | None = None) -> tuple[BaseRecognizer, Compose]:
    model = init_recognizer(config, checkpoint, device, fused=True)
    return model, build_pipeline(model)


def together(work: Callable[[], T]) -> T:
    """Run a function in all processes; if it fails in one, all end.

    Raises:
        RuntimeError: If it failed in another one.
    """
    result, error = None, None
    try:
        result = work()
    except Exception as caught:  # of any kind: the others wait for an answer
        error = caught
    problems = all_gather_object(error and f'{type(error).__name__}: {error}')
    if error:
        raise error
    if problem := next(filter(None, problems), None):
        raise RuntimeError(f'another process failed: {problem}')
    return cast(T, result)


def identity(checkpoint: str) -> str:
    """Identify a checkpoint and its version."""
    path = local_path(checkpoint).resolve()
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return '\n'.join(f'{file} {file.stat().st_size} {file.stat().st_mtime_ns}' for file in files)


def find_videos(source: Path, root: Path | None, allow_outside: bool) -> Iterator[Path]:
    if source.is_dir() or is_video(str(source)):
        yield from map(Path, videos_of(str(source)))
    else:
        folder, videos = list_source(source, root, allow_outside)
        yield from (folder / path for path in dict.fromkeys(row.path for row in videos.rows))


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


def merge(parts: Path, videos: list[Path], out: Path) -> int:
    """Merge all features into one file, and remove the folder of partial results; return how many videos are broken."""
    read = [number for number in range(len(videos)) if np.load(part_of(parts, number), mmap_mode='r').size]
    if not read:
        shutil.rmtree(parts)
        raise RuntimeError(f'none of the {len(videos)} videos could be read')
    names = [str(videos[number]) for number in read]
    if out.suffix != '.npy':  # which hold no bytes of names that are no text
        names = [name.encode(errors='backslashreplace').decode() for name in names]
    broken = [str(video) for number, video in enumerate(videos) if number not in set(read)]
    features = (np.load(part_of(parts, number)) for number in read)
    writers = {'.npy': write_npy, '.safetensors': write_safetensors, '.parquet': write_parquet}
    with written_whole(out) as part:
        writers[out.suffix](part, names, features)
    if out.suffix == '.npy':
        write_names(out.with_suffix('.txt'), names)
    if broken:
        write_names(out.with_suffix('.broken.txt'), broken)
    shutil.rmtree(parts)
    print(f'wrote features of {counted(len(names), "video")} to {out}; {len(broken)} could not be read')
    return len(broken)


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


def write_parquet(path: Path, names: list[str], features: Iterator[np.ndarray]) -> None:
    """Write rows ``video, shape, feature``, one row group each."""
    import pyarrow
    from pyarrow import parquet

    columns = {
        'video': pyarrow.string(),
        'shape': pyarrow.list_(pyarrow.int32()),
        'feature': pyarrow.list_(pyarrow.float32()),
    }
    with parquet.ParquetWriter(path, pyarrow.schema(columns.items())) as file:
        for name, feature in zip(names, features):
            file.write_table(pyarrow.table([[name], [list(feature.shape)], [feature.reshape(-1)]], file.schema))
