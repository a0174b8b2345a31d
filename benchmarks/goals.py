"""What the models cost and what is to be reached on a GPU: the only place of these numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

#: Multiply-accumulates of divided attention for one view, as tools/analysis/get_flops.py counts them
MACS = dict(base=195.83e9, hr=1702.69e9, l=2379.86e9)
#: The name of a figure: what was measured, and of what
Key = tuple[str, str]
PRODUCT = ('product', 'torch.mm')


def share_of_product(variant: str, clips_a_second: float, teraflops: float) -> float:
    """Return the share of the card's product that a training rate is: three products a layer, two operations each."""
    return 6 * MACS[variant] * clips_a_second / 1e12 / teraflops


@dataclass(frozen=True)
class Goal:
    """A bound of a number that is computed from figures.

    Args:
        name (str): What the number is.
        keys (tuple[Key, ...]): The figures.
        compute (Callable): Makes the number of them.
        limit (float): The bound.
        unit (str): Unit of the number; ``'%'`` of a share.
        at_most (bool): Whether the number is to be no larger than the bound, instead of no smaller. Defaults to False.
    """

    name: str
    keys: tuple[Key, ...]
    compute: Callable[..., float]
    limit: float
    unit: str
    at_most: bool = False

    def value(self, figures: Mapping[Key, float | None], is_last: bool = False) -> float | None:
        """Return the number; None while figures are missing.

        Args:
            figures (Mapping[Key, float | None]): What was measured; None is what failed, and counts for nothing.
            is_last (bool): Whether no more will come, so that others than the first may be missing. Defaults to False.
        """
        first, *others = (figures.get(key) for key in self.keys)
        known = [other for other in others if other is not None]
        is_complete = is_last or all(key in figures for key in self.keys)
        if first is None or not is_complete or (others and not known):
            return None
        return self.compute(first, *known)

    def bound(self) -> str:
        """Return the bound in words."""
        return f'{"at most" if self.at_most else "at least"} {shown(self.limit, self.unit)}'

    def verdict(self, value: float) -> str:
        """Return the bound and whether a number keeps it."""
        is_reached = value <= self.limit if self.at_most else value >= self.limit
        return f'{self.bound()}: {"reached" if is_reached else "missed"}'


def shown(value: float, unit: str) -> str:
    """Return a number with its unit."""
    return f'{value:.1%}' if unit == '%' else f'{value:.4g} {unit}'


def _rate(ours: float) -> float:
    return ours


def _times_the_best(ours: float, *others: float) -> float:
    return ours / max(others)


def _of_the_slowest(ours: float, *limits: float) -> float:
    return ours / min(limits)


def _goals() -> list[Goal]:
    goals = []
    for variant in MACS:
        ours, *others = (
            (f'training {variant}', name)
            for name in ('ours', 'Hugging Face', 'Hugging Face, compiled', 'MMAction2', 'MMAction2, compiled')
        )

        def share(rate: float, teraflops: float, variant: str = variant) -> float:
            return share_of_product(variant, rate, teraflops)

        goals.append(Goal(f'training {variant}, of the product', (ours, PRODUCT), share, 0.5, '%'))
        if variant == 'base':
            goals += [
                Goal('training base, the best peer at its best', (ours, *others), _times_the_best, 1.6, 'x'),
                Goal('training base, Hugging Face as it comes', (ours, others[0]), _times_the_best, 2.7, 'x'),
                Goal('training base, MMAction2 as it comes', (ours, others[2]), _times_the_best, 3.0, 'x'),
                Goal('memory, training base, batch 64', (('memory base', 'ours'),), _rate, 36.0, 'GB', at_most=True),
            ]
        else:
            name = f"training {variant}, Hugging Face's best"
            goals.append(Goal(name, (ours, *others[:2]), _times_the_best, 2.0, 'x'))
    prediction, peer = ('inference base', 'ours'), ('inference base', 'Hugging Face')
    loop = (('from files', 'ours'), ('training base', 'ours'), ('decoding', 'all cores'))
    return [
        *goals,
        Goal('inference base', (prediction,), _rate, 1100, 'clips/s'),
        Goal('inference base, Hugging Face', (prediction, peer), _times_the_best, 2.0, 'x'),
        Goal("from files, of the model's rate or the decoders'", loop, _of_the_slowest, 0.9, '%'),
        Goal('start to first step, cold cache', (('start, cold cache', 'ours'),), _rate, 40, 's', at_most=True),
        Goal('start to first step, warm cache', (('start, warm cache', 'ours'),), _rate, 15, 's', at_most=True),
        Goal('a checkpoint every 100 iterations', (('checkpoints', 'ours'),), _rate, 0.01, '%', at_most=True),
    ]


#: What is to be reached on an H100
GOALS = _goals()
