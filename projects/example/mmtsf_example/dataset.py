"""Read videos and labels from a JSON file."""

import json
from pathlib import Path
from typing import Any

from mmtsf.datasets import VideoListDataset
from mmtsf.registry import DATASETS


@DATASETS.register_module()
class JsonDataset(VideoListDataset):
    """Videos of one split, from ``{"videos": [{"path": ..., "class": ..., "split": ...}, ...]}``.

    Args:
        split (str): Which videos to take.
        base: Arguments of :class:`mmtsf.datasets.VideoListDataset`, with ``classes``.
    """

    def __init__(self, split: str, **base: Any) -> None:
        self.split = split
        super().__init__(**base)

    def load_data_list(self) -> list[dict]:
        """List the videos as ``dict(filename=..., label=...)``.

        Raises:
            ValueError: If the split has no videos, or a class has another name than the config says.
        """
        videos = json.loads(Path(self.ann_file).read_text())['videos']
        videos = [video for video in videos if video['split'] == self.split]
        if not videos:
            raise ValueError(f'{self.ann_file} has no videos of the split {self.split!r}')
        if unknown := {video['class'] for video in videos} - set(self.label_of):
            raise ValueError(f'{self.ann_file} has the classes {unknown}, expected some of {list(self.label_of)}')
        return [
            dict(filename=str(self.video_dir / video['path']), label=self.label_of[video['class']]) for video in videos
        ]
