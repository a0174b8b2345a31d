#!/usr/bin/env python
"""Measure the demo page's memory over requests, each of a new visitor with a new upload:

    python benchmarks/reliability/page_memory.py CHECKPOINT --requests 200

CHECKPOINT is of configs/timesformer_tiny_motion.py. What is counted: see memory.py.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / 'tests'))

from memory import megabytes
from page import Served, Visitor, served
from videos import write_greys


def over_requests(page: Served, folder: Path, requests: int) -> Iterator[float]:
    """Return the page process' memory in MB after each request."""
    for number in range(requests):
        visitor = Visitor(page)
        video = write_greys(folder / f'{number}.mp4', 60 + number % 7)
        output = visitor.ask(visitor.upload(Path(video)))
        assert 'data' in output, output
        visitor.http.close()
        yield megabytes(page.pid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint')
    parser.add_argument('--requests', type=int, default=200)
    parser.add_argument('--warm-up', type=int, default=20, help='requests that are not looked at (default: 20)')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder), Path(args.checkpoint).resolve()) as page:
        used = []
        for number, now in enumerate(over_requests(page, Path(folder), args.requests), 1):
            used.append(now)
            if number % 20 == 0:
                print(f'{number:5} requests {now:7.1f} MB', flush=True)
        after = used[args.warm_up :]
        print(f'after {args.warm_up} requests {after[0]:.1f} MB, then {min(after):.1f} to {max(after):.1f} MB')


if __name__ == '__main__':
    main()
