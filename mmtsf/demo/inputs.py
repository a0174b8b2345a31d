"""Check a visitor's input before gradio reads, copies or downloads any of it."""

from pathlib import Path
from typing import Any

import gradio as gr

from .folder import CACHE


def refusal(words: str) -> gr.Error:
    """Make an error message that the visitor sees."""
    return gr.Error(words, duration=None, print_exception=False)


class Page(gr.Blocks):
    """Check a visitor's input before gradio reads, copies or downloads any of it."""

    async def preprocess_data(self, block_fn: Any, inputs: list, *args: Any, **kwargs: Any) -> list:
        checked = [check_input(block, value) for block, value in zip(block_fn.inputs, inputs)]
        return await super().preprocess_data(block_fn, checked, *args, **kwargs)


def check_input(block: Any, value: Any) -> Any:
    """Check one input: an integer in a slider's range, a choice of a list, an upload of this
    page, or a sample's number.

    Raises:
        gr.Error: If it is something else.
    """
    if isinstance(block, (gr.Slider, gr.Number)):
        is_whole = type(value) in (int, float) and value in range(int(block.minimum), int(block.maximum) + 1)
        if not is_whole:
            raise refusal(
                f'{block.label} are {str(value)[:50]}, expected a whole number from {block.minimum} to {block.maximum}.'
            )
        return int(value)
    if isinstance(block, gr.Dropdown):
        names = [str(name) for _, name in block.choices]
        if value not in names:
            raise refusal(f'{block.label} is {str(value)[:50]}, expected one of {", ".join(names)}.')
        return value
    if isinstance(block, gr.Video):
        return None if value is None else {'path': str(uploaded(value)), 'meta': {'_type': 'gradio.FileData'}}
    if type(value) is not int or value not in range(len(block.samples)):
        raise refusal('This is no sample of this page.')
    return value


def uploaded(value: Any) -> Path:
    """Return the upload or sample that a visitor's value names.

    Raises:
        gr.Error: If it is none of this page's, or was deleted.
    """
    try:
        path = Path(value['path']).resolve(strict=True)
        if path.is_relative_to(CACHE) and path.is_file():
            return path
    except (TypeError, KeyError, ValueError, OSError):
        pass
    raise refusal('This video is not here, or no longer: upload it (again).')
