"""Describe what is done with each of many videos, on either engine."""

from typing import Any, NamedTuple


class Result(NamedTuple):
    """What became of a video.

    Attributes:
        place (int): Its place in the list.
        value (Any): What the job has made of it; None of a broken video, and where the job only checks or writes files.
        reason (str): Why it cannot be read; empty if it can. Defaults to ''.
    """

    place: int
    value: Any
    reason: str = ''


class Job:
    """Base of jobs: ``prepare`` is done with one video in a process that may die, ``finish`` where the model is.

    A job travels to other machines as its arguments: what :meth:`load` makes is left out.

    Attributes:
        time_limit (float, optional): Seconds after which a video is taken for broken. Defaults to None: no limit.
        in_order (bool): Whether results come in the order of the videos, not as they are done. Defaults to False.
        batch_size (int): Neighbours in the list that are finished at once. Defaults to 1.
        has_model (bool): Whether it computes with a model, for which a GPU is taken where there is one. Defaults to
            False.
        alone (bool): Whether each video is prepared in a new process, where what is made depends on what memory held
            before. Defaults to False.
    """

    time_limit: float | None = None
    in_order = False
    batch_size = 1
    has_model = False
    alone = False

    def load(self) -> None:
        """Load what all videos share, such as the model; once in a process."""

    def prepare(self, video: str) -> Any:
        """Do what needs the video's file.

        Raises:
            BrokenVideoError: If it cannot be read.
        """
        raise NotImplementedError

    def finish(self, results: list[Result]) -> list[Result]:
        """Make of what is prepared the values that are kept; nothing is to be done with broken videos."""
        return results

    def columns(self) -> dict[str, Any]:
        """Return names and types of what a row of a Parquet file keeps of a value."""
        return {}

    def row(self, value: Any) -> dict[str, Any]:
        """Return what a row of a Parquet file keeps of a value, by the names of :meth:`columns`."""
        return {}

    def paths(self) -> list[str]:
        """Return the paths that each machine must be able to read, beside those of the videos."""
        return []

    def __getstate__(self) -> dict:
        """Leave out what was loaded, whose names begin with an underscore."""
        return {name: value for name, value in vars(self).items() if not name.startswith('_')}
