"""Rewrite videos as small H.264 files with many key frames, each in a process of its own."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from rich.filesize import decimal
from rich.progress import track

from mmtsf.batch.engine import run
from mmtsf.batch.job import Job
from mmtsf.datasets.annotation_list import AnnotationList, write_list
from mmtsf.datasets.decoders import BrokenVideoError, Limits, file_url, open_stream
from mmtsf.datasets.decoders.frame_index import decode_all, num_lost
from mmtsf.datasets.decoders.held_file import HeldFile, hold
from mmtsf.datasets.decoders.orientation import orientation, upright
from mmtsf.utils.files import LOCK, alone_in, make_folder, write_text, written_whole
from mmtsf.utils.locations import facts_of, within
from mmtsf.utils.media import SUFFIXES
from mmtsf.utils.results import stoppable

from .video_paths import list_source

#: What all videos of a folder share
SETTINGS = ('short_side', 'keyframe_distance', 'crf')
#: Seconds after which a video is taken for broken, unless others are given
TIME_LIMIT = 3600


def write_transcoded(args: argparse.Namespace) -> int:
    """Rewrite the videos of a folder or a list that are not there yet, or were changed since.

    Args:
        args (argparse.Namespace): Arguments of :mod:`mmtsf.commands.transcode`.

    Raises:
        ValueError: If there are no videos, two would get the same name, or the folder holds something else.

    Returns:
        int: 1 if one is broken.
    """
    root, videos = list_source(args.source, args.root)
    targets = match_targets([row.path for row in videos.rows])
    if not targets:
        raise ValueError(f'{args.source} holds no videos; give a folder or a list of files {SUFFIXES}')
    settings = {name: getattr(args, name) for name in SETTINGS}
    with alone_in(args.out):
        begin(args.out, settings)
        return _write(args, root, videos, targets)


def _write(args: argparse.Namespace, root: Any, videos: AnnotationList, targets: dict[str, str]) -> int:
    left = outdated(targets, root, args.out)
    broken = report(transcode_all(Transcode(root, args), left, args), len(left), args.out)
    if args.source.is_file():
        write_list(args.out / args.source.name, videos, targets, broken)
    whole = [name for name in targets if name not in broken]
    before, after = size(sources(whole, root), root), size([args.out / targets[name] for name in whole], args.out)
    counts = f'{len(left) - len(broken)} videos done, {len(targets) - len(left)} skipped, {len(broken)} broken'
    print(f'{counts}; {before} before, {after} after')
    return 1 if broken else 0


def outdated(targets: dict[str, str], root: Any, out: Any) -> list[str]:
    """Return the names of videos whose target is not there, or was written before the video was changed last, as far as
    that is told; what cannot be asked about is left to the work."""
    made = dict(zip(targets, facts_of([out / target for target in targets.values()], out)))
    there = [name for name, facts in made.items() if facts and facts.size]
    begun = dict(zip(there, facts_of(sources(there, root), root)))
    slack = 0 if isinstance(root, Path) and isinstance(out, Path) else 1  # servers tell whole seconds
    old = set[str]()
    for name, source in begun.items():
        target = made[name]
        if source and target and source.time and target.time and source.time > target.time + slack:
            old.add(name)
    return [name for name in targets if name not in begun or name in old]


def sources(names: Iterable[str], root: Any) -> list[Any]:
    return [within(root, name) for name in names]


def size(files: list[Any], folder: Any) -> str:
    return decimal(sum(facts.size for facts in facts_of(files, folder) if facts))


def match_targets(names: list[str]) -> dict[str, str]:
    """Return the new path of every video, both relative to their folders.

    Raises:
        ValueError: If two videos would get the same one.
    """
    targets, sources = dict[str, str](), dict[str, str]()
    for name in names:
        targets[name] = target_of(name)
        if sources.setdefault(targets[name], name) != name:
            raise ValueError(f'{sources[targets[name]]} and {name} would both become {targets[name]}; rename one')
    return targets


def target_of(name: str) -> str:
    """Return the new path of a video, relative to the folder."""
    return str(Path(name).with_suffix('.mp4'))


def begin(out: Path, settings: dict[str, int]) -> None:
    """Make the output folder and store the settings in it.

    Raises:
        ValueError: If it has other settings, or holds something else.
    """
    file = out / 'transcode.json'
    if not file.exists():
        if out.exists() and any(path.name != LOCK for path in out.iterdir()):
            raise ValueError(f'{out} is not empty and was not written by this tool; give another folder')
        make_folder(out)
        write_text(file, json.dumps(settings))
    if (begun := json.loads(file.read_text())) != settings:
        raise ValueError(f'{out} was begun with {begun}, not {settings}; give the same ones or another folder')


def report(jobs: Generator[tuple[str, str], None, None], total: int, out: Path) -> dict[str, str]:
    """Draw a progress bar, and list the broken videos with their reasons as they are found."""
    file = out / 'broken.txt'
    text = file.read_text(encoding='utf-8', errors='surrogateescape') if file.exists() else ''
    known = dict(line.split('\t', 1) for line in text.split('\n')[:-1])  # of another list or an earlier run: they stay
    results = {}
    with stoppable(total, 'videos', 'the same command goes on from here') as is_done, closing(jobs):
        for name, reason in track(jobs, 'transcoding', total, disable=not sys.stdout.isatty()):
            results[name] = reason
            if reason:
                print(f'broken: {name}: {reason}', file=sys.stderr)
            if reason != known.get(name, ''):
                known[name] = reason
                write_broken(file, known)
            is_done()
    return {name: reason for name, reason in results.items() if reason}


def write_broken(file: Any, reasons: dict[str, str]) -> None:
    """Write the list of broken videos, or remove it where there are none."""
    lines = [f'{name}\t{reason}\n' for name, reason in sorted(reasons.items()) if reason]
    if lines:
        write_text(file, ''.join(lines))
    else:
        file.unlink(missing_ok=True)


class Transcode(Job):
    """Rewrite videos, see :func:`transcode`.

    Args:
        root (Path): Their folder.
        args (argparse.Namespace): Arguments of :mod:`mmtsf.commands.transcode`.
    """

    alone = True  # x264's files depend on what memory held before

    def __init__(self, root: Any, args: argparse.Namespace) -> None:
        self.root, self.out, self.time_limit = root, args.out, args.time_limit or TIME_LIMIT
        self.settings = {name: getattr(args, name) for name in SETTINGS} | dict(limits=Limits(**args.limits))

    def part_of(self, video: str) -> Path:
        """Return the name of a video's file until that is whole."""
        target = self.out / target_of(video)
        return target.with_name(f'{target.name}.part')

    def remove_part(self, video: str) -> None:
        """Remove what a process that was ended has left; at an address that is nothing."""
        if isinstance(self.out, Path):
            self.part_of(video).unlink(missing_ok=True)

    def prepare(self, video: str) -> None:
        """Rewrite a video to a temporary file, and rename it when it is complete, or put it at its address."""
        source, target = within(self.root, video), self.out / target_of(video)
        if isinstance(target, Path):
            transcode_whole(source, self.part_of(video), target, self.settings)
            return
        with written_whole(target) as part:
            transcode(source, part, **self.settings)


def transcode_all(job: Transcode, names: list[str], args: argparse.Namespace) -> Generator[tuple[str, str], None, None]:
    """Transcode videos in parallel; yield names, with a reason if a video is broken."""
    left = set(names)
    try:
        with closing(run(job, names, args)) as done:
            for result in done:
                name = names[result.place]
                left.discard(name)
                job.remove_part(name)
                yield name, result.reason
    finally:
        for name in left:
            job.remove_part(name)


def transcode_whole(source: Any, part: Path, target: Path, settings: dict[str, Any]) -> None:
    """Transcode to a temporary file, and rename it when it is complete."""
    part.parent.mkdir(parents=True, exist_ok=True)
    transcode(source, part, **settings)
    part.replace(target)


def transcode(
    source: Any, target: Path, short_side: int, keyframe_distance: int, crf: int, limits: Limits = Limits()
) -> None:
    """Rewrite a video as H.264 in MP4, without sound.

    Args:
        source (Path): Video file, on the disk or at an address.
        target (Path): File to write.
        short_side (int): Short side in pixels, unless that of the source is smaller.
        keyframe_distance (int): Frames from a key frame to the next, at most.
        crf (int): Quality of x264, from 0 (lossless) to 51.
        limits (Limits): Sizes above which the source is refused. Defaults to generous ones.

    Raises:
        BrokenVideoError: If the source cannot be read.
    """
    held = hold(str(source), limits)
    stream = open_stream(held, limits)
    options = {'crf': str(crf), 'preset': 'medium', 'x264-params': 'open-gop=0'}
    with stream.container, av.open(file_url(target), 'w', format='mp4', options={'movflags': 'faststart'}) as out:
        video = out.add_stream('libx264', rate=stream.average_rate or 25, options=options)
        encoder = video.codec_context
        encoder.pix_fmt, encoder.gop_size, encoder.thread_count = 'yuv420p', keyframe_distance, 1
        encoder.time_base = stream.time_base
        for frame in read_frames(held, stream, short_side, limits):
            if not encoder.is_open:
                encoder.width, encoder.height = frame.width, frame.height
                encoder.color_range, encoder.colorspace = frame.color_range, frame.colorspace
            out.mux(video.encode(frame))
        out.mux(video.encode())
    if isinstance(held, HeldFile):
        held.check()


def read_frames(path: str, stream: VideoStream, short_side: int, limits: Limits) -> Iterator[av.VideoFrame]:
    """Read frames for encoding: upright, scaled, with increasing timestamps from 0.

    Raises:
        BrokenVideoError: If none can be decoded, or more of them are missing than there.
    """
    step = max(round(1 / ((stream.average_rate or 25) * (stream.time_base or 1))), 1)
    is_avi = stream.container.format.name == 'avi'  # it keeps times of decoding alone
    start: int | None = None
    last, reformatter, tally, count = -step, VideoReformatter(), Counter[str](), 0
    for frame in decode_all(path, stream, limits, tally=tally):
        count += 1
        time = frame.dts if is_avi else frame.pts
        start = time if start is None else start
        last = last + step if time is None or start is None or time - start <= last else time - start
        frame = scale(frame, short_side, reformatter)
        frame.pts, frame.time_base, frame.pict_type = last, stream.time_base, PictureType.NONE
        yield frame
    if (lost := num_lost(stream, tally)) >= count:
        raise BrokenVideoError(path, f'{lost} packets are damaged or missing beside {count} frames')


def scale(frame: av.VideoFrame, short_side: int, reformatter: VideoReformatter) -> av.VideoFrame:
    """Scale a frame to even sizes, and turn and mirror it as its display matrix asks."""
    shortest = min(frame.width, frame.height)
    width, height = (side * min(short_side, shortest) // shortest // 2 * 2 for side in (frame.width, frame.height))
    is_turned = any(orientation(frame))
    planes = 'yuv444p' if is_turned else 'yuv420p'  # planes of one size can be turned
    small = reformatter.reformat(frame, width, height, planes, interpolation=Interpolation.AREA, threads=1)
    if not is_turned:
        return small
    turned = av.VideoFrame.from_ndarray(np.ascontiguousarray(upright(small.to_ndarray(), frame, axis=1)), planes)
    turned.color_range, turned.colorspace = small.color_range, small.colorspace
    return reformatter.reformat(turned, format='yuv420p', threads=1)
