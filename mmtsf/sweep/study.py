"""Search with Optuna: ask for words, train, report validations, prune, and go on after a kill."""

import argparse
import math
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from mmtsf.engine.hooks.checkpoint import LESS
from mmtsf.engine.runner.run_record import differences, plain_settings
from mmtsf.engine.runner.work_dir import claim
from mmtsf.utils.files import LOCK
from mmtsf.utils.screen import say
from mmtsf.utils.signals import EXIT_CODES, TOLD
from mmtsf.utils.sources import PREFIX

from .check_space import check_space
from .results import remove_checkpoints, row_of, write_results
from .space import Dimension, parse_space
from .trial import Logs, follow, last_words, train_command, wait_for_lock

NAME = 'sweep'
#: Optuna's file of the search
FILE = 'study.db'
#: Times that a trial is begun: a sweep that dies twice while it runs is perhaps killed by it
STARTS = 2
#: What Optuna raises, beside errors of its own, where a file holds something else than it has written
OF_DAMAGE = (AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class Sweep:
    """Search in a folder.

    Args:
        args (argparse.Namespace): Of the command.
        trials (int | None): Number of trials; None is as many as there is time for.
    """

    def __init__(self, args: argparse.Namespace, trials: int | None) -> None:
        self.args, self.trials = args, trials
        args.goal = args.goal or ('min' if args.metric in LESS else 'max')
        self.space = parse_space(args.search)
        self.folder = Path(args.work_dir or f'work_dirs/sweep_{Path(args.config.removeprefix(PREFIX)).stem}')
        self.end = math.inf if args.hours is None else time.monotonic() + 3600 * args.hours
        self.metric: str | None = args.metric
        self.epochs: Any = None

    def open(self) -> None:
        """Make the study, or open it and compare what it searches with what is asked.

        Raises:
            OSError: If it is damaged, or there is none and the folder holds something else.
            ValueError: If there is one and it is not asked for, or it searches something else.
        """
        file = self.folder / FILE
        if file.exists() and not self.args.resume:
            raise ValueError(f'{self.folder} holds a search; go on with it by --resume, or choose another --work-dir')
        if not file.exists():
            self._refuse_others()
        self.folder.mkdir(parents=True, exist_ok=True)
        claim(self.folder)
        options, alone = self.args.cfg_options, self.args.gpus is None
        values = check_space(self.args.config, options, self.space, self.folder, self.args.metric, alone)
        self.epochs = (values.get('train_cfg') or {}).get('max_epochs')
        before = self._open(file).get('search')
        told = self._described(values)
        if before is None:
            self._refuse_others()
            self.study.set_user_attr('search', told)
        elif others := [line.replace('checkpoint', 'search') for line in differences(before, told)]:
            raise ValueError(
                f'{self.folder} holds another search: {"; ".join(others[:3])}; give the same words, or '
                'another --work-dir'
            )
        self.metric = self.metric or self.study.user_attrs.get('metric')

    def _refuse_others(self) -> None:
        """Refuse to begin where there are files already: of a trial's folder checkpoints are resumed, and removed."""
        others = [path.name for path in self.folder.glob('*') if path.name not in (LOCK, FILE)]
        if others:
            raise FileExistsError(
                f'{self.folder} holds {min(others)}, and no search; choose another --work-dir, or remove what it holds'
            )

    def _open(self, file: Path) -> dict:
        """Open the study, or make it; what it tells of itself."""
        from sqlalchemy import URL
        from sqlalchemy.exc import SQLAlchemyError

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        direction: Any = 'maximize' if self.args.goal == 'max' else 'minimize'
        try:
            address = URL.create('sqlite', database=str(file))  # whatever signs its path has
            self.storage = optuna.storages.RDBStorage(address.render_as_string())
            self.study = optuna.create_study(
                storage=self.storage, study_name=NAME, direction=direction, pruner=self._pruner(), load_if_exists=True
            )
            self.study.get_trials(deepcopy=False)
            return self.study.user_attrs
        except (SQLAlchemyError, optuna.exceptions.OptunaError, *OF_DAMAGE) as error:
            cause = error.__cause__ or error
            said = ' '.join(str(getattr(cause, 'orig', None) or cause).split())[:300]
            raise OSError(
                f'{file} cannot be read as a study of Optuna: {said or type(error).__name__}; put a copy in its place, '
                'or begin anew in another --work-dir'
            ) from None

    def _described(self, values: dict) -> dict:
        """What makes a search: one that goes on must have the same."""
        names = ('metric', 'goal', 'sampler', 'pruner', 'startup', 'seed', 'gpus', 'amp')
        options = {f'--{name}': getattr(self.args, name) for name in names}
        search = {f'--search {dimension.name}': str(dimension) for dimension in self.space}
        return plain_settings(options | search | dict(config=values))

    def _pruner(self) -> optuna.pruners.BasePruner:
        if self.args.pruner == 'median':
            return optuna.pruners.MedianPruner(n_startup_trials=self.args.startup)
        return optuna.pruners.SuccessiveHalvingPruner() if self.args.pruner == 'halving' else optuna.pruners.NopPruner()

    def _sampler(self, number: int, kind: str) -> optuna.samplers.BaseSampler:
        """A sampler for one trial: it draws the same whether the search was stopped before or not."""
        seed = (self.args.seed * 1_000_003 + number) % 2**32
        kinds: dict[str, Callable] = dict(tpe=optuna.samplers.TPESampler, random=optuna.samplers.RandomSampler)
        return kinds[kind](seed=seed)

    def counted(self) -> list[FrozenTrial]:
        """Trials that have ended, in whatever way, after they had begun."""
        trials = self.study.get_trials(deepcopy=False, states=FINISHED)
        return [trial for trial in trials if 'starts' in trial.user_attrs]

    def run(self) -> None:
        """Try until there are enough trials, or the time is over."""
        while time.monotonic() < self.end and (self.trials is None or len(self.counted()) < self.trials):
            trial = self._interrupted() or self._new()
            if trial is None:
                say('all combinations of values have been tried')
                return
            self.try_out(trial)
            write_results(self)
            if time.monotonic() < self.end:
                remove_checkpoints(self)

    def _new(self) -> Trial | None:
        """A trial with values that no other had, as the same seed would train the same; None if there are no more."""
        tried = [trial.params for trial in self.counted()]
        kind = self.args.sampler
        while len(tried) < math.prod(dimension.size for dimension in self.space):
            self.study.sampler = self._sampler(len(self.study.get_trials(deepcopy=False)), kind)
            trial = self.study.ask({dimension.name: _distribution(dimension) for dimension in self.space})
            if trial.params not in tried:
                return trial
            self.study.tell(trial, state=TrialState.FAIL)  # its number is skipped
            kind = 'random'  # which comes to all values
        return None

    def _interrupted(self) -> Trial | None:
        """The trial that was running when the search was stopped or killed."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if set(trial.params) == {dimension.name for dimension in self.space}:
                study_id = self.storage.get_study_id_from_name(NAME)
                return Trial(self.study, self.storage.get_trial_id_from_study_id_trial_number(study_id, trial.number))
            self.study.tell(
                trial.number, state=TrialState.FAIL
            )  # killed before it had all words; it counts for nothing
        return None

    def work_dir(self, number: int) -> Path:
        """The work dir of a trial."""
        return self.folder / f'trial_{number:03}'

    def words(self, params: dict) -> list[str]:
        """The ``KEY=VALUE`` words of a trial."""
        return [*self.args.cfg_options, *(f'{name}={value}' for name, value in params.items())]

    def try_out(self, trial: Trial) -> None:
        """Train a trial, or go on with one, and tell Optuna how it went."""
        work_dir, log = self.work_dir(trial.number), self.folder / f'trial_{trial.number:03}.log'
        wait_for_lock(work_dir)
        has_checkpoint = any(work_dir.glob('*.pth'))
        starts = trial.user_attrs.get('starts', 0) + 1
        shown = ' '.join(f'{name}={_short(value)}' for name, value in trial.params.items())
        say(f'trial {trial.number}{" goes on" if work_dir.is_dir() else ""}: {shown}')
        if starts > STARTS and not has_checkpoint:
            self._tell(trial, TrialState.FAIL, f'the search died {STARTS} times while it ran')
            return
        trial.set_user_attr('starts', starts)
        trial.set_user_attr('seed', self.args.seed)
        more = ['--seed', str(self.args.seed), *(['--amp', self.args.amp] if self.args.amp else [])]
        command = train_command(self.args.config, work_dir, self.words(trial.params), self.args.gpus, more)
        began, watch = time.monotonic(), Watch(self, trial, work_dir)
        try:
            code = follow(command, log, watch, _free_port() if self.args.gpus else None)
        except KeyboardInterrupt:
            trial.set_user_attr('starts', starts - 1)  # it was not its fault
            raise
        seconds = trial.user_attrs.get('seconds', 0) + time.monotonic() - began
        trial.set_user_attr('seconds', round(seconds, 1))
        if watch.pruned is not None:
            self._tell(trial, TrialState.PRUNED, f'pruned after epoch {watch.pruned}')
        elif watch.given:
            self._fail_without_metric(trial, watch.given)
        elif code in EXIT_CODES.values() and (time.monotonic() >= self.end or starts < STARTS):
            if time.monotonic() >= self.end:
                trial.set_user_attr('starts', starts - 1)  # it was not its fault
            has_checkpoint = any(work_dir.glob('*.pth'))
            kept = 'has a checkpoint' if has_checkpoint else 'has no checkpoint yet, and will begin once more'
            say(f'trial {trial.number}: stopped; it {kept}')
        elif code:
            self._tell(trial, TrialState.FAIL, f'exit code {code}: {last_words(log)}')
        elif not self._reported(trial):
            self._tell(trial, TrialState.FAIL, 'no finite score' if watch.scores else 'nothing was validated')
        else:
            self._tell(trial, TrialState.COMPLETE)

    def _fail_without_metric(self, trial: Trial, given: list[str]) -> None:
        """Give up a trial, and the search with it where none has had a score yet.

        Raises:
            ValueError: Then.
        """
        names = ', '.join(given)
        self._tell(trial, TrialState.FAIL, f'its validation has no {self.metric}, but {names}')
        if not any(other.intermediate_values for other in self.study.get_trials(deepcopy=False)):
            raise ValueError(
                f'--metric is {self.metric}, which the validation of trial {trial.number} does not give; expected one '
                f'of {names}; begin anew in another --work-dir'
            )

    def _reported(self, trial: Trial) -> dict[int, float]:
        """The finite scores of a trial by epochs."""
        return self.study.get_trials(deepcopy=False)[trial.number].intermediate_values

    def _tell(self, trial: Trial, state: TrialState, reason: str = '') -> None:
        trial.set_user_attr('reason', reason)
        value = self.best_of(self._reported(trial))[1] if state is TrialState.COMPLETE else None
        told = self.study.tell(trial, value, state)
        say(f'trial {trial.number}: {row_of(self, told).said()}')

    def best_of(self, scores: dict[int, float]) -> tuple[int | None, float | None]:
        """The epoch of the best validation, and its score."""
        best = max if self.args.goal == 'max' else min
        epoch = best(scores, key=lambda epoch: scores[epoch], default=None)
        return epoch, None if epoch is None else scores[epoch]


class Watch:
    """Report a trial's validations to Optuna in their order, and say whether it is to be stopped.

    Args:
        sweep (Sweep): The search.
        trial (Trial): The trial.
        work_dir (Path): Its work dir.
    """

    def __init__(self, sweep: Sweep, trial: Trial, work_dir: Path) -> None:
        self.sweep, self.trial, self.logs = sweep, trial, Logs(work_dir)
        self.known = set(sweep.study.get_trials(deepcopy=False)[trial.number].intermediate_values)
        self.scores: dict[int, float] = {}
        self.pruned: int | None = None
        #: What a validation has where it lacks the metric
        self.given: list[str] = []
        told = [trial.params.get(name) for name in ('max_epochs', 'train_cfg.max_epochs')]
        #: The last epoch, after which nothing is left to be saved
        self.last = next((int(epochs) for epochs in told if epochs is not None), sweep.epochs)

    def __call__(self) -> bool:
        validations = self.logs.validations()
        for epoch in sorted(validations.keys() - self.scores.keys()):
            if self.pruned is not None or self.given:
                break
            self._judge(epoch, validations[epoch])
        return self.pruned is not None or bool(self.given) or time.monotonic() >= self.sweep.end

    def _judge(self, epoch: int, values: dict[str, float]) -> None:
        if self.sweep.metric is None:
            self.sweep.metric = next(iter(values))
            self.sweep.study.set_user_attr('metric', self.sweep.metric)
        if self.sweep.metric not in values:
            self.given = list(values)
            return
        self.scores[epoch] = score = values[self.sweep.metric]
        if math.isfinite(score) and epoch not in self.known:
            self.trial.report(score, epoch)
        is_judged = epoch < max(self.known, default=0)
        if epoch != self.last and not is_judged and self.trial.should_prune():
            self.pruned = epoch


def sweep(args: argparse.Namespace, default_trials: int) -> int | None:
    """Search as a command line asks; 1 where no trial has ended well."""
    trials = args.trials or (default_trials if args.hours is None else None)
    search = Sweep(args, trials)
    search.open()
    say(_summary(search))
    try:
        search.run()
    except KeyboardInterrupt as error:
        write_results(search)
        say(f'stopped; go on with: {_again()}')
        setattr(error, TOLD, True)
        raise
    print('\n'.join(write_results(search, draws=True)))
    if time.monotonic() >= search.end and (trials is None or len(search.counted()) < trials):
        say(f'the time is over; go on with: {_again()}')
    return None if any(trial.state is TrialState.COMPLETE for trial in search.counted()) else 1


def _summary(search: Sweep) -> str:
    """What is searched, and how, in a line."""
    args = search.args
    ends = [f'{search.trials} trials'] if search.trials else []
    ends += [f'{args.hours:g} hours'] if args.hours else []
    kept = 'checkpoints of all trials stay' if args.keep == 'all' else 'checkpoints of the best trial alone stay'
    pruned = 'no trial ends early' if args.pruner == 'none' else f'trials end early by {args.pruner}'
    if args.pruner == 'median':
        pruned += f' after {args.startup}'
    return (
        f'search in {search.folder}: {" ".join(map(str, search.space))}; {" or ".join(ends)}; sampler {args.sampler}; '
        f'{pruned}; seed {args.seed} of the search and of each training; best validation of a trial by '
        f'{search.metric or "its first score"} ({args.goal}); {kept}'
    )


def _again() -> str:
    words = sys.argv[1:]
    return shlex.join(['mmtsf', *words, *([] if '--resume' in words else ['--resume'])])


def _distribution(dimension: Dimension) -> Any:
    if dimension.choices:
        return optuna.distributions.CategoricalDistribution(dimension.choices)
    low, high, log = dimension.low, dimension.high, dimension.log
    if isinstance(low, int):
        return optuna.distributions.IntDistribution(low, int(high), log, int(dimension.step or 1))
    return optuna.distributions.FloatDistribution(low, high, log, dimension.step)


def _short(value: Any) -> str:
    return f'{value:.4g}' if isinstance(value, float) else str(value)


def _free_port() -> int:
    import socket

    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return server.getsockname()[1]
