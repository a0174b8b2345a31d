#!/usr/bin/env python
"""Measure memory and decoding rate of mmtsf predict --timeline on ten minutes and an hour of a repeated video.

python benchmarks/long_video.py VIDEO CONFIG [CHECKPOINT]

The video's packets are written again and again until it is as long; nothing is encoded. Peak memory is that of a whole
process that makes the timeline. Decoding is our stream of the sampled frames, as RGB, beside PyAV decoding every frame
and nothing else, one thread each.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

from mmtsf.datasets.decoders import file_url, open_stream, open_video
from mmtsf.datasets.transforms import SampleClips


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('video')
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('--minutes', type=float, nargs=2, default=(10, 60))
    parser.add_argument('--frame-interval', type=int, default=32)
    return parser.parse_args()


def lengthen(source: str, target: Path, seconds: float) -> None:
    """Repeat the packets of a video, with increasing timestamps, into a longer file."""
    with av.open(file_url(target), 'w') as out:
        stream = offset = None
        while offset is None or float(offset * stream.time_base) < seconds:
            video = open_stream(source)
            with video.container as container:
                stream = stream or out.add_stream_from_template(video)
                offset, end = offset or 0, 0
                for packet in container.demux(video):
                    if packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                        end = max(end, packet.pts + packet.duration)
                        packet.stream = stream
                        out.mux(packet)
                offset = end


def peak_memory(video: Path, args: argparse.Namespace) -> tuple[float, float]:
    """Measure peak memory (MB) and seconds of a process that makes a timeline."""
    start = time.perf_counter()
    command = [
        sys.executable,
        '-m',
        'mmtsf',
        'predict',
        video,
        args.config,
        args.checkpoint,
        '--timeline',
        video.parent / 'timeline',
    ]
    command += ['--frame-interval', args.frame_interval]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3, time.perf_counter() - start


def decoding_rates(video: Path, args: argparse.Namespace) -> tuple[float, float]:
    """Measure video frames per second of our reader and of the bare decoder."""
    reader = open_video(str(video))
    video_facts = dict(total_frames=reader.num_frames, avg_fps=reader.fps)
    clips = SampleClips(8, args.frame_interval, 'cover').transform(video_facts)
    start = time.perf_counter()
    for _ in reader.stream(np.unique(clips['frame_inds'])):
        pass
    ours = reader.num_frames / (time.perf_counter() - start)
    start = time.perf_counter()
    stream = open_stream(str(video))
    with stream.container as container:
        frames = sum(1 for _ in container.decode(stream))
    return ours, frames / (time.perf_counter() - start)


def main() -> None:
    args = parse_args()
    with tempfile.TemporaryDirectory() as folder:
        videos = {minutes: Path(folder, f'{minutes:g}_minutes.mp4') for minutes in args.minutes}
        print('| minutes | peak memory, MB | seconds |\n|---|---|---|')
        for minutes, video in videos.items():
            lengthen(args.video, video, 60 * minutes)
            megabytes, seconds = peak_memory(video, args)
            print(f'| {minutes:g} | {megabytes:.0f} | {seconds:.0f} |', flush=True)
        ours, bare = decoding_rates(videos[args.minutes[0]], args)
    print(f'\ndecoding: {ours:.0f} frames a second, the bare decoder {bare:.0f}: {ours / bare:.2f}')


if __name__ == '__main__':
    main()
