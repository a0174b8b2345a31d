"""Match files on disk with the clips of the annotations."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmtsf.utils.media import is_video

from .annotations import Clip


def name_without_suffixes(path: str) -> str:
    """Return a video file's name without folder and suffixes: downloaders leave ``ID.mp4.webm``."""
    name = Path(path).name
    while is_video(name):
        name = Path(name).stem
    return name


def match_files(clips: list[Clip], paths: list[str], name_of_file: Callable[[str], str]) -> dict[str, list[str]]:
    """Find the files that may hold a clip, by their names alone: folders do not count.

    Args:
        clips (list[Clip]): Clips, each with a name of its own.
        paths (list[str]): Paths of all video files.
        name_of_file (Callable): Turns the name of a file, without suffix, into that of its clip or its whole video.

    Returns:
        dict[str, list[str]]: Paths by the name of the clip, the best first, for clips that have any.
    """
    files: dict[str, list[str]] = {}
    # replacements of files that are known to be broken lie in a folder of their own
    for path in sorted(paths, key=lambda path: ('replacement' not in path, path)):
        files.setdefault(name_of_file(name_without_suffixes(path)), []).append(path)
    clips_of = Counter(clip.video for clip in clips)
    matches = {}
    for clip in clips:
        # a file with the name of the whole video does not say which of several clips it is
        names = [clip.name, clip.video] if clip.video and clips_of[clip.video] == 1 else [clip.name]
        if found := [path for name in names for path in files.get(name, [])]:
            matches[clip.name] = found
    return matches


@dataclass(frozen=True)
class Outcome:
    """Hold the result of matching: found, missing and broken clips, unmatched files.

    Args:
        found (list[tuple[Clip, str]]): Clips and the files to use.
        missing (list[Clip]): Clips without a file.
        broken (list[Clip]): Clips all whose files are broken.
        spare (list[tuple[Clip, str]]): Further files of clips that have one.
    """

    found: list[tuple[Clip, str]]
    missing: list[Clip]
    broken: list[Clip]
    spare: list[tuple[Clip, str]]


def sort_out(clips: list[Clip], matches: dict[str, list[str]], reasons: dict[str, str]) -> Outcome:
    """Choose a file for every clip.

    Args:
        clips (list[Clip]): Clips, each with a name of its own.
        matches (dict[str, list[str]]): Files by the name of the clip, the best first.
        reasons (dict[str, str]): Why files are broken; empty for good ones.
    """
    outcome = Outcome([], [], [], [])
    for clip in clips:
        paths = matches.get(clip.name, [])
        good = [path for path in paths if not reasons.get(path)]
        if good:
            outcome.found.append((clip, good[0]))
        else:
            (outcome.broken if paths else outcome.missing).append(clip)
        chosen = good[0] if good else paths[0] if paths else None
        outcome.spare.extend((clip, path) for path in paths if path != chosen)
    return outcome
