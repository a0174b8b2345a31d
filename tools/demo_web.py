#!/usr/bin/env python
"""Serve a web page that classifies a video and shows its timeline and attention:

python tools/demo_web.py CONFIG CHECKPOINT --samples VIDEOS

Needs requirements/demo.txt. Nothing is fetched from elsewhere: the page works without a network.
"""

import argparse
import gc
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from mmtsf.utils.arguments import add_model, add_options, check_exists, check_model, mistakes_of, new_parser
from mmtsf.utils.imports import skip_optimizers


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add_model(parser)
    parser.add_argument('--samples', help='video, or folder of videos, to choose from')
    parser.add_argument('--host', default='127.0.0.1', help='address to listen at; 0.0.0.0 lets others in')
    parser.add_argument('--port', type=int, default=7860)
    parser.add_argument('--max-megabytes', type=positive(int), default=200, help='largest upload (default: 200)')
    parser.add_argument('--max-minutes', type=positive(float), default=10, help='longest video (default: 10)')
    parser.add_argument('--max-seconds', type=positive(float), default=60, help='time for one video (default: 60)')
    parser.add_argument(
        '--keep-minutes', type=positive(float), default=60, help='time that uploads and results are kept (default: 60)'
    )
    parser.add_argument('--device', help='e.g. cpu or cuda:1 (default: the GPU if there is one)')
    add_options(parser)
    args = parser.parse_args()
    with mistakes_of(parser):
        check_model(args)
        if args.samples:
            check_exists(args.samples, 'a video, or a folder of videos')
    return args


def positive(kind: Callable) -> Callable:
    """Parse a number above 0."""

    def convert(word: str) -> Any:
        value = kind(word)
        if not 0 < value < 1e9:
            raise ValueError(f'{word} is not above 0')
        return value

    convert.__name__ = f'{kind.__name__} above 0'
    return convert


if __name__ == '__main__':
    parse_args()  # tells mistakes before the imports below, which take seconds
    skip_optimizers()

import demo.folder  # before gradio, which reads on import where its files are to lie
from demo.model import Demo
from demo.page import build_page, serve


def main() -> None:
    args = parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the folder is removed
    page = build_page(Demo(args))
    threading.Thread(target=clean, args=(page,), daemon=True).start()
    gc.collect()
    gc.freeze()  # what is there now stays; collecting what a request leaves takes milliseconds
    serve(page, args)


def clean(page: Any) -> None:
    """Delete expired files periodically."""
    frequency, keep = page.delete_cache
    while True:
        time.sleep(frequency)
        kept = {path for block in page.blocks.values() for path in getattr(block, 'keep_in_cache', ())}
        demo.folder.delete_old(kept, keep + 2 * frequency)


if __name__ == '__main__':
    main()
