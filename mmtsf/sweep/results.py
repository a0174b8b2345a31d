"""Write the table of a search, its plots and its best config, and remove checkpoints that are not kept."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial, TrialState

from mmtsf.utils.files import written_whole
from mmtsf.utils.screen import say
from mmtsf.utils.tables import new_table

from .check_space import child_config

if TYPE_CHECKING:
    from .study import Sweep

STATES = {TrialState.COMPLETE: 'complete', TrialState.PRUNED: 'pruned', TrialState.FAIL: 'failed'}
#: Trials that are printed
SHOWN = 20


@dataclass(frozen=True)
class Row:
    """Hold a line of the table.

    Args:
        number (int): Number of the trial.
        state (str): How it ended.
        score (float, optional): Of its best validation.
        epoch (int, optional): Epoch of that.
        epochs (int): Validations that it had.
        seconds (float): Time of its training.
        seed (int): Seed of its training.
        params (dict): The words that were searched.
        work_dir (Path): Its work dir.
        reason (str): Why it was pruned or failed.
    """

    number: int
    state: str
    score: float | None
    epoch: int | None
    epochs: int
    seconds: float
    seed: int
    params: dict[str, Any]
    work_dir: Path
    reason: str

    def said(self) -> str:
        """Return how it went, in words."""
        score = '' if self.score is None else f'{self.score:.4f} at epoch {self.epoch}'
        return ', '.join(filter(None, [self.state, score, f'{self.seconds:.0f} s', self.reason]))


def row_of(sweep: 'Sweep', trial: FrozenTrial) -> Row:
    """Return the line of a trial that has ended."""
    told = trial.user_attrs
    epoch, score = sweep.best_of(trial.intermediate_values)
    return Row(
        trial.number,
        STATES[trial.state],
        score,
        epoch,
        len(trial.intermediate_values),
        told.get('seconds', 0.0),
        told.get('seed', sweep.args.seed),
        trial.params,
        sweep.work_dir(trial.number),
        told.get('reason', ''),
    )


def rows_of(sweep: 'Sweep') -> list[Row]:
    """Return the lines of all trials, the best first: complete ones, then pruned ones, then failed ones."""
    sign = -1 if sweep.args.goal == 'max' else 1
    order = list(STATES.values())

    def place(row: Row) -> tuple:
        return order.index(row.state), 0 if row.score is None else sign * row.score, row.number

    return sorted((row_of(sweep, trial) for trial in sweep.counted()), key=place)


def write_results(sweep: 'Sweep', draws: bool = False) -> list[str]:
    """Write ``trials.csv``, and the best config as ``best.py``.

    Args:
        sweep (Sweep): The search.
        draws (bool): Whether ``history.png`` and ``importances.png`` are drawn, too. Defaults to False.

    Returns:
        list[str]: The table's first lines, and what was written.
    """
    rows, names = rows_of(sweep), [dimension.name for dimension in sweep.space]
    score = sweep.metric or 'score'
    header = ['trial', 'state', score, 'epoch', 'validations', 'seconds', 'seed', *names, 'work_dir', 'reason']
    cells = [
        [row.number, row.state, row.score, row.epoch, row.epochs, row.seconds, row.seed]
        + [row.params.get(name) for name in names]
        + [row.work_dir, row.reason]
        for row in rows
    ]
    written = [sweep.folder / 'trials.csv']
    with written_whole(written[0], synced=False) as part, new_table(part, header) as write:
        for line in cells:
            write(line)
    if rows and rows[0].state == 'complete':
        written.append(_write_best(sweep, rows[0]))
    if draws:
        written += _draw(sweep)
    table: list[list] = [
        ['trial', 'state', score, 'epoch', *names],
        *([*line[:4], *line[7 : 7 + len(names)]] for line in cells[:SHOWN]),
    ]
    more = [f'... and {len(rows) - SHOWN} more'] if len(rows) > SHOWN else []
    return [*_aligned(table), *more, *(f'wrote {path}' for path in written)]


def _write_best(sweep: 'Sweep', best: Row) -> Path:
    """Write the config of the best trial as a child of the one that was searched."""
    path = sweep.folder / 'best.py'
    score = f'{sweep.metric} of validation: {best.score:.4f} (trial {best.number})'
    told = f'# The best of {len(sweep.counted())} trials by {score}\n'
    with written_whole(path, synced=False) as part:
        part.write_text(told + child_config(sweep.args.config, sweep.words(best.params)))
    return path


def _aligned(table: list[list]) -> list[str]:
    """Return lines of columns."""
    texts = [
        ['' if cell is None else f'{cell:.4g}' if isinstance(cell, float) else str(cell) for cell in row]
        for row in table
    ]
    widths = [max(map(len, column)) for column in zip(*texts)]
    return ['  '.join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in texts]


def _draw(sweep: 'Sweep') -> list[Path]:
    """Draw the scores of the trials, and how much each word mattered, as far as there are trials for that."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot
    from optuna.visualization.matplotlib import plot_optimization_history, plot_param_importances

    number = sum(trial.state is TrialState.COMPLETE for trial in sweep.counted())
    plots: list[tuple] = [('history', plot_optimization_history, 1)]
    plots += [('importances', plot_param_importances, 2)] if len(sweep.space) > 1 else []
    drawn = []
    for name, plot, least in plots:
        if number < least:
            continue
        path = sweep.folder / f'{name}.png'
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # that the functions are new, and what few trials tell
            try:
                plot(sweep.study, target_name=sweep.metric or 'score')
                pyplot.gcf().savefig(path, dpi=120, bbox_inches='tight')
                drawn.append(path)
            except (RuntimeError, ValueError) as error:  # as where all trials have the same score
                say(f'{path.name} is not drawn: {error}')
            finally:
                pyplot.close('all')
    return drawn


def remove_checkpoints(sweep: 'Sweep') -> None:
    """Remove the checkpoints of trials that have ended, but for the best, unless all are to stay."""
    rows = rows_of(sweep)
    for row in rows[1:] if sweep.args.keep == 'best' and rows else ():
        for path in row.work_dir.glob('*.pth'):
            path.unlink()
