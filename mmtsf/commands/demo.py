"""Serve a web page that classifies a video and shows its timeline and attention:

mmtsf demo CONFIG CHECKPOINT --samples VIDEOS

Needs requirements/demo.txt. Nothing is fetched from elsewhere: the page works without a network.
"""

import argparse
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from mmtsf.utils.arguments import add_model, add_options, check_exists, check_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_model(parser)
    parser.add_argument('--samples', help='video, or folder of videos, to choose from: one of each class')
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


def positive(kind: Callable) -> Callable:
    """Parse a number above 0."""

    def convert(word: str) -> Any:
        value = kind(word)
        if not 0 < value < 1e9:
            raise ValueError(f'{word} is not above 0')
        return value

    convert.__name__ = f'{kind.__name__} above 0'
    return convert


def check(args: argparse.Namespace) -> None:
    """Check paths, and that gradio is installed.

    Raises:
        OSError: If something does not exist.
        ImportError: If gradio is not installed.
    """
    check_model(args)
    if args.samples:
        check_exists(args.samples, 'a video, or a folder of videos')
    if find_spec('gradio') is None:
        raise ImportError('the page needs gradio: pip install "mmtsf[demo]", or requirements/demo.txt')


def run(args: argparse.Namespace) -> None:
    """Serve the page until it is stopped."""
    from mmtsf.demo import run

    run(args)
