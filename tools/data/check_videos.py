#!/usr/bin/env python
"""Find the videos that cannot be read before a training does:

python tools/data/check_videos.py LIST --root VIDEOS
python tools/data/check_videos.py VIDEOS --full

Writes a list of the good ones, and bad.txt with paths and reasons. The same command goes on where it was interrupted.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from rich.progress import track

from mmtsf.datasets.decoders import DECODERS, open_video
from mmtsf.datasets.each_apart import each_apart
from mmtsf.datasets.list_files import is_video, list_folder, read_list, write_list
from mmtsf.datasets.transforms.video import blamed_on

NUM_FRAMES = 8  # from the first to the last
CHUNK = 64  # frames in memory at a time


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, help='folder of videos, or annotation list ("path label" lines or csv)')
    parser.add_argument('--root', type=Path, help="folder of a list's videos (default: that of the list)")
    parser.add_argument('--out', type=Path, help='folder to write to (default: SOURCE.checked)')
    parser.add_argument('--decoder', choices=sorted(DECODERS), default='pyav')
    parser.add_argument('--full', action='store_true', help=f'decode every frame (default: {NUM_FRAMES} of a video)')
    parser.add_argument('--time-limit', type=float, help='seconds for a video (default: 60, or 600 with --full)')
    cpus = len(os.sched_getaffinity(0))
    parser.add_argument('--workers', type=int, default=cpus, help='videos at a time (default: one a CPU)')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    if args.workers < 1 or (args.time_limit or 1) <= 0:
        raise ValueError(f'--workers is {args.workers} and --time-limit {args.time_limit}, expected more than 0')
    if not args.source.exists():
        raise FileNotFoundError(f'{args.source} does not exist; give a folder of videos or an annotation list')
    is_folder = args.source.is_dir()
    root = args.source if is_folder else args.root or args.source.parent
    rows = list_folder(args.source) if is_folder else read_list(args.source)
    out = args.out or args.source.with_name(f'{args.source.name}.checked')
    out.mkdir(parents=True, exist_ok=True)
    names = [name for name in dict.fromkeys(row[0] for row in rows) if is_video(name)]
    reasons = check_all(names, root, out / 'checked.tsv', args)
    bad = {name: reason for name, reason in reasons.items() if reason}
    write_list(out / f'good{".txt" if is_folder else args.source.suffix}', rows, {}, bad)
    lines = (f'{name}\t{reason}\n' for name, reason in bad.items())
    (out / 'bad.txt').write_text(''.join(lines), encoding='utf-8', errors='surrogateescape')
    print(f'{len(names) - len(bad)} good videos, {len(bad)} bad; the lists lie in {out}')
    return 1 if bad else 0


def check_all(names: list[str], root: Path, file: Path, args: argparse.Namespace) -> dict[str, str]:
    """Reason by name, empty for a good video; ``file`` keeps what is known of files that have not changed since."""
    stamps = {name: stamp(root / name, args) for name in names}
    known = dict(read_known(file))
    reasons = {name: known[name, stamps[name]] for name in names if (name, stamps[name]) in known}
    left = [(name, root / name, args.decoder, args.full) for name in names if name not in reasons]
    jobs = each_apart(check, left, args.workers, args.time_limit or (600 if args.full else 60))
    with file.open('a', encoding='utf-8', errors='surrogateescape') as lines, closing(jobs):
        for name, reason in track(jobs, 'checking', len(left), disable=not sys.stdout.isatty()):
            reasons[name] = reason
            print(f'{name}\t{stamps[name]}\t{reason}', file=lines, flush=True)
            if reason:
                print(f'bad: {name}: {reason}', file=sys.stderr)
    return {name: reasons[name] for name in names}


def stamp(path: Path, args: argparse.Namespace) -> str:
    """What a result holds for: the file as it is, and how it is checked."""
    changed = path.stat().st_mtime_ns if path.exists() else 0
    return f'{path.resolve()} {changed} {args.decoder} {"full" if args.full else "clip"}'


def read_known(file: Path) -> Iterator[tuple[tuple[str, str], str]]:
    """Results of earlier runs; the last line may be one that was interrupted."""
    if file.exists():
        for line in file.read_text(encoding='utf-8', errors='surrogateescape').split('\n')[:-1]:
            if len(words := line.split('\t', 2)) == 3:
                yield (words[0], words[1]), words[2]


def check(path: Path, decoder: str, full: bool) -> None:
    """Decode frames of a video, as training does.

    Raises:
        BrokenVideoError: If it cannot be read.
    """
    with blamed_on(str(path)):
        reader = open_video(str(path), decoder)
        last = reader.num_frames - 1
        if not full:
            reader.read(np.linspace(0, last, NUM_FRAMES).astype(int))
            return
        for start in range(0, last + 1, CHUNK):
            reader.read(np.arange(start, min(start + CHUNK, last + 1)))


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit('interrupted; the same command goes on from here')
