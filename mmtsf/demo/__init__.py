"""Serve the web page of ``mmtsf demo``."""

import argparse
import gc
import signal
import sys
import threading

from mmtsf.utils.imports import for_prediction


def run(args: argparse.Namespace) -> None:
    """Serve the page until the process ends.

    Args:
        args (argparse.Namespace): Arguments of :mod:`mmtsf.commands.demo`.

    Raises:
        ValueError: If the page cannot work with the config.
    """
    with for_prediction():
        from . import folder  # before gradio, which reads on import where its files are to lie
        from .model import Demo
        from .page import build_page, serve

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the folder is removed
    page = build_page(Demo(args))
    threading.Thread(target=folder.clean, args=(page,), daemon=True).start()
    gc.collect()
    gc.freeze()  # what is there now stays; collecting what a request leaves takes milliseconds
    serve(page, args)
