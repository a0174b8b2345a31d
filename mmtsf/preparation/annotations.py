"""Define what every annotation format is read as: clips with split and label, and class names."""

from collections.abc import Iterable
from dataclasses import dataclass, field

SPLITS = ('train', 'val', 'test')


class AnnotationError(ValueError):
    """Report an annotation file that is not in its official format."""


@dataclass(frozen=True)
class Clip:
    """Describe a clip: name, split and label.

    Args:
        name (str): Name of its file, without folder and suffix.
        split (str): One of :data:`SPLITS`.
        label (int, optional): Number of its class; None where the annotations hold it back.
        video (str, optional): Name of the whole video that it is a part of, which a file may bear instead.
    """

    name: str
    split: str
    label: int | None
    video: str | None = None


@dataclass(frozen=True)
class Annotations:
    """Hold the clips and class names of a data set's annotation files.

    Args:
        classes (list[str]): Names in the order of the labels.
        clips (list[Clip]): Every clip once.
        duplicates (list[Clip]): What names a clip again.
        warnings (list[str]): What makes the files doubtful. Defaults to nothing.
    """

    classes: list[str]
    clips: list[Clip]
    duplicates: list[Clip]
    warnings: list[str] = field(default_factory=list)


def collect(classes: list[str], clips: Iterable[Clip], warnings: Iterable[str] = ()) -> Annotations:
    """Keep every clip once: with a label rather than without, then in testing rather than in training, else the first.

    Args:
        classes (list[str]): Names in the order of the labels.
        clips (Iterable[Clip]): Clips, in the order of the files.
        warnings (Iterable[str]): What makes the files doubtful. Defaults to nothing.

    Raises:
        AnnotationError: If there is no clip with a label.
    """
    kept: dict[str, Clip] = {}
    duplicates = []
    for clip in sorted(clips, key=lambda clip: (clip.label is None, -SPLITS.index(clip.split))):
        if kept.setdefault(clip.name, clip) is not clip:
            duplicates.append(clip)
    if all(clip.label is None for clip in kept.values()):
        raise AnnotationError('the annotation files name no clip with a label; give those of training and validation')
    names = [' '.join(name.split()) for name in classes]
    return Annotations(names, list(kept.values()), duplicates, list(warnings))
