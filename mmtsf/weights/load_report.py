"""Report which keys of a checkpoint were loaded, resized, copied, missing or unused."""

from dataclasses import dataclass, field

from mmtsf.utils.text import shorten


@dataclass
class Report:
    """Record which keys of a checkpoint were loaded, resized, copied, missing or unused.

    Args:
        matched (int): Number of weights that found their place.
        unused (list[str]): Keys known to mean nothing here, or allowed to be left out.
        left_over (list[str]): Keys without a place.
        missing (list[str]): Places without a key.
        resized (list[str]): Position tables that were interpolated, with both shapes.
        copied (list[str]): Attention steps that were copied from the image model's.
        fresh (list[str]): Weights that keep the model's own start.
    """

    matched: int = 0
    unused: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    copied: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f'{self.matched} weights matched']
        for name, keys in (
            ('resized', self.resized),
            ('copied from the image attention', self.copied),
            ('left at their own start', self.fresh),
            ('not used', self.unused),
        ):
            if keys:
                lines.append(f'{len(keys)} {name}: {shorten(keys)}')
        return '\n'.join(lines)
