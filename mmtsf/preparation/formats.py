"""List the data sets of the paper: how their annotations are read, and what the paper counts."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .annotations import Annotations
from .diving48 import read_diving48
from .howto100m import read_howto100m
from .kinetics import name_of_file, read_kinetics
from .ssv2 import read_ssv2
from .youtube import youtube_id


@dataclass(frozen=True)
class Format:
    """Describe a data set: how to read its annotations, and the paper's counts.

    Args:
        read (Callable): Reads its annotation files.
        paper (dict[str, int]): Classes and, rounded, clips of each split in the paper.
        name_of_file (Callable): Turns the name of a file, without suffix, into that of its clip or its whole video.
            Defaults to :class:`str`: they are the same.
        note (str): What a reader of the report must know. Defaults to none.
    """

    read: Callable[[list[Path]], Annotations]
    paper: dict[str, int]
    name_of_file: Callable[[str], str] = str
    note: str = ''


FORMATS = dict(
    kinetics400=Format(read_kinetics, dict(classes=400, train=240_000, val=20_000), name_of_file),
    kinetics600=Format(read_kinetics, dict(classes=600, train=392_000, val=30_000), name_of_file),
    ssv2=Format(read_ssv2, dict(classes=174, train=170_000, val=25_000)),
    diving48=Format(
        read_diving48,
        dict(classes=48, train=16_000, val=3_000),
        note='The official test split is val here; there is no other one.',
    ),
    howto100m=Format(
        read_howto100m,
        dict(classes=1059, train=85_000, val=35_000),
        youtube_id,
        note='The classes are the tasks with at least 100 videos. The split is not that of the paper, which prints no '
        "list: of every task, the first 85 of 120 videos in the order of their ids' SHA-256 hashes are train, the "
        'others val.',
    ),
)
