"""Serve a web page that classifies a video and shows its timeline and attention:

mmtsf demo CONFIG CHECKPOINT --samples VIDEOS

Needs requirements/demo.txt. Nothing is fetched from elsewhere: the page works without a network.
"""

import argparse
import errno
import socket
from importlib.util import find_spec

from mmtsf.utils.arguments import add_device, add_model, add_options, check_exists, check_model, positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_model(parser)
    parser.add_argument('--samples', help='video, or folder of videos, to choose from: one of each class')
    parser.add_argument('--host', default='127.0.0.1', help='address to listen at; 0.0.0.0 lets others in')
    parser.add_argument('--port', type=positive(int, 65535), default=7860)
    parser.add_argument('--max-megabytes', type=positive(int), default=200, help='largest upload (default: 200)')
    parser.add_argument('--max-minutes', type=positive(float), default=10, help='longest video (default: 10)')
    parser.add_argument('--max-seconds', type=positive(float), default=60, help='time for one video (default: 60)')
    parser.add_argument(
        '--keep-minutes', type=positive(float), default=60, help='time that uploads and results are kept (default: 60)'
    )
    add_device(parser)
    add_options(parser)


def check(args: argparse.Namespace) -> None:
    """Check paths, that gradio is installed, and that the address is free.

    Raises:
        OSError: If something does not exist, or the page cannot be at that address.
        ModuleNotFoundError: If gradio is not installed.
    """
    check_model(args)
    if args.samples:
        check_exists(args.samples, 'a video, or a folder of videos')
    if find_spec('gradio') is None:
        raise ModuleNotFoundError('the page needs gradio', name='gradio')
    check_free(args.host, args.port)


def check_free(host: str, port: int) -> None:
    """Check that a server can listen at an address.

    Raises:
        OSError: If it cannot.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OSError(f'port {port} of {host} is in use; give another as --port {port % 65535 + 1}') from error
        raise OSError(f'cannot serve at {host}, port {port}: {error.strerror}; give another --host, --port') from error


def run(args: argparse.Namespace) -> None:
    """Serve the page until it is stopped."""
    from mmtsf.demo import run

    run(args)
