"""Compute attention for the page, which lays it over the video as it plays."""

import base64
from typing import Any

import cv2
import numpy as np
import torch
from mmaction.models import BaseRecognizer
from mmengine.dataset import pseudo_collate

from mmtsf.apis import ClipPacker
from mmtsf.apis.timeline import Window
from mmtsf.models import TimeSformer
from mmtsf.visualization import attention_of, rollout
from mmtsf.visualization.overlay import COLOURS

from .reader import parts

ALL = 'all blocks'
MAX_MAPS = 2000  # that are sent
#: Red, green and blue of the 256 values of a map
COLOUR_TABLE = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], COLOURS)[:, 0, ::-1]


def choices(model: BaseRecognizer) -> list[str]:
    """List what attention can be shown of a model's classification token: through all blocks; the same with only one
    step of those below the last block; a head of the last block, in a step that the token takes part in."""
    if not isinstance(model.backbone, TimeSformer):
        return []
    last: Any = model.backbone.blocks[-1]
    steps = last.attention.steps
    heads = [
        f'{name}, head {head + 1}'
        for name, step in steps.items()
        for head in range(step.num_heads)
        if step.grouping.with_cls
    ]
    return [ALL, *(steps if len(steps) > 1 else ()), *heads]


class Attention:
    """Collect the attention of clips that come one after the other.

    Args:
        model (BaseRecognizer): From :func:`mmtsf.apis.init_recognizer`.
        packer (ClipPacker): What makes clips of frames.
        chosen (str): One of :func:`choices`.
    """

    def __init__(self, model: BaseRecognizer, packer: ClipPacker, chosen: str) -> None:
        self.model, self.packer, self.chosen = model, packer, chosen
        self.numbers: list[int] = []
        self.maps: list[np.ndarray] = []
        self.box: list[float] = []

    @torch.no_grad()
    def add(self, window: Window) -> None:
        """Compute the attention of a clip, of each of its frames from none to the most that one of its patches has."""
        sample = self.packer.pack(window.frames)
        clip = self.model.data_preprocessor(pseudo_collate([sample]))['inputs'][0][:1]
        step, _, head = self.chosen.partition(', head ')
        if head:
            weights = attention_of(self.model.backbone, clip, -1, step, head=int(head) - 1)
        else:
            weights = rollout(self.model.backbone, clip, None if step == ALL else [step])
        most = weights.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
        maps = (weights / most * 255).byte().cpu().numpy()
        times = np.linspace(0, len(maps) - 1, len(window.numbers)).round().astype(int)  # of tubelets: they are fewer
        for number, place in zip(window.numbers.tolist(), times):
            if not self.numbers or number > self.numbers[-1]:  # the last clip overlaps the one before it
                self.numbers.append(number)
                self.maps.append(maps[place])
        if not self.box:
            height, width = window.frames[0].shape[:2]
            box = np.divide(self.packer.box(height, width), (width, height, width, height))
            self.box = box.round(4).tolist()

    def packed(self, times: np.ndarray) -> dict[str, Any] | None:
        """Return what the page draws; None if there is nothing.

        Args:
            times (np.ndarray): When frames are shown ``(N + 1,)``; the page is given parts of the whole.
        """
        if not self.maps:
            return None
        kept = slice(None, None, -(-len(self.maps) // MAX_MAPS))
        maps = np.stack(self.maps[kept])
        return dict(
            times=parts(times[self.numbers[kept]], times),
            rows=maps.shape[1],
            columns=maps.shape[2],
            box=self.box,
            maps=base64.b64encode(maps.tobytes()).decode(),
            colours=base64.b64encode(COLOUR_TABLE.tobytes()).decode(),
        )
