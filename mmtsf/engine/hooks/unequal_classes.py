"""Make up for classes of unequal size: by how often they are drawn, or by their loss."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmaction.models.losses import BCELossWithLogits, CrossEntropyLoss
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmtsf import compat
from mmtsf.config.class_words import check_class_words
from mmtsf.datasets.class_counts import count_classes, labels_of
from mmtsf.datasets.loading import SeededSampler
from mmtsf.engine.runner.bare_model import bare_model
from mmtsf.models.losses import class_weights
from mmtsf.registry import HOOKS, MODELS
from mmtsf.utils.screen import ON_SCREEN
from mmtsf.utils.text import counted, shorten


@HOOKS.register_module()
class UnequalClassesHook(Hook):
    """Draw rare classes more often, or have them count for more in the loss, before a training begins.

    Where their sizes matter, classes are counted in the training set as it is drawn, with its wrappers; nothing is
    decoded. For the loss, a class without videos counts as one with a single video. The loss that the head has takes
    other forms, unless a config names it, and nothing of them is in a checkpoint.

    Args:
        balance, class_weight, logit_adjustment, focal: see :func:`mmtsf.config.class_words.check_class_words`.

    Raises:
        ValueError: If they have no meaning, or make up for the same twice.
    """

    def __init__(
        self,
        balance: float = 0.0,
        class_weight: str | float | Sequence[float] | None = None,
        logit_adjustment: float = 0.0,
        focal: float = 0.0,
    ) -> None:
        check_class_words(balance, class_weight, logit_adjustment, focal)
        self.balance, self.class_weight = balance, class_weight
        self.logit_adjustment, self.focal = logit_adjustment, focal
        self.loss: Any = None

    def before_run(self, runner: Runner) -> None:
        """Change the sampler and the loss of a training.

        Raises:
            ValueError: If the sampler or the loss is another one than ours, or the data set tells no labels.
        """
        of_loss = self.class_weight is not None or self.logit_adjustment or self.focal
        if not compat.is_training(runner) or not (self.balance or of_loss):
            return
        derived = self.class_weight is not None and not isinstance(self.class_weight, (list, tuple))
        counts = self.balance or self.logit_adjustment or derived
        labels = labels_of(runner.train_dataloader.dataset) if counts else None
        head = getattr(bare_model(runner), 'cls_head', None)
        if self.balance:
            self._balance(runner, labels, getattr(head, 'num_classes', 0))
        if of_loss and (self.loss is None or head is None or head.loss_cls is not self.loss):
            self._set_loss(runner, head, labels)

    def _balance(self, runner: Runner, labels: list[list[int]] | None, num_classes: int) -> None:
        sampler = runner.train_dataloader.sampler
        if not isinstance(sampler, SeededSampler):
            raise ValueError(
                f'training.balance is {self.balance}, but train_dataloader.sampler is a {type(sampler).__name__}; set '
                "its type to 'SeededSampler', or training.balance=0"
            )
        sampler.set_balance(self.balance, labels)
        draws = sampler.draws
        assert draws is not None
        if missing := sorted(set(range(num_classes)) - draws.counts.keys()):
            runner.logger.warning(f'{_without_videos(missing)}, never drawn')
        sizes = np.array(list(map(len, draws.decks)))
        runner.logger.info(
            f'classes: {sizes.min()} to {counted(int(sizes.max()), "video")}, drawn {draws.quotas[sizes.argmin()]} to '
            f'{draws.quotas[sizes.argmax()]} times an epoch (training.balance={self.balance:g})',
            extra=ON_SCREEN,
        )

    def _set_loss(self, runner: Runner, head: Any, labels: list[list[int]] | None) -> None:
        """Put the loss that was asked for in the place of the head's usual one."""
        usual: Any = getattr(head, 'loss_cls', None)
        is_usual = type(usual) is (BCELossWithLogits if getattr(head, 'multi_class', False) else CrossEntropyLoss)
        own = not is_usual or usual.class_weight is not None or getattr(head, 'names_loss', False)
        words: dict[str, Any] = dict(class_weight=self.class_weight, focal=self.focal)
        words |= dict(logit_adjustment=self.logit_adjustment, multi_class=getattr(head, 'multi_class', False))
        check_class_words(**words, own_loss=type(usual).__name__ if own else None)
        counts = [1] * head.num_classes if labels is None else _counts(labels, head.num_classes, runner.logger)
        config = self._config(counts, type(usual).__name__, usual.loss_weight, head.multi_class)
        self.loss = head.loss_cls = MODELS.build(config)
        sizes = '' if labels is None else f'classes: {min(counts)} to {counted(max(counts), "video")}; '
        runner.logger.info(f'{sizes}loss: {_words(config)}', extra=ON_SCREEN)

    def _config(self, counts: list[int], usual: str, loss_weight: float, multi_class: bool) -> dict[str, Any]:
        """Config of the loss for classes of these numbers of videos.

        Raises:
            ValueError: If there are weights for another number of classes.
        """
        weights = self.class_weight
        if isinstance(weights, (list, tuple)) and len(weights) != len(counts):
            raise ValueError(
                f'training.class_weight has {counted(len(weights), "number")}, but there are {len(counts)} classes; '
                'give one for each, in the order of the labels'
            )
        if weights is not None and not isinstance(weights, (list, tuple)):
            weights = class_weights(counts, weights)  # type: ignore[arg-type]
        config: dict[str, Any] = dict(type=usual, loss_weight=loss_weight, class_weight=weights and list(weights))
        if self.focal:
            config |= dict(type='FocalLoss', gamma=self.focal, sigmoid=multi_class)
        if self.logit_adjustment:
            config = dict(type='LogitAdjustedLoss', class_counts=counts, tau=self.logit_adjustment, loss_cls=config)
        return config


def _counts(labels: list[list[int]], num_classes: int, logger: Any) -> list[int]:
    """Count the videos of each class, and one where there is none."""
    found = count_classes(labels, num_classes)
    if missing := np.flatnonzero(found == 0).tolist():
        logger.warning(f'{_without_videos(missing)} counted as with one in the loss')
    return np.maximum(found, 1).tolist()


def _without_videos(missing: list[int]) -> str:
    return f'{counted(len(missing), "class")} without a training video ({shorten(map(str, missing))})'


def _words(config: dict[str, Any]) -> str:
    """Say what loss a config is of."""
    weights, within = config.get('class_weight'), config.get('loss_cls')
    parts = [config['type'], *(f'{key} {config[key]:g}' for key in ('tau', 'gamma') if key in config)]
    parts += [f'class weights {min(weights):.3g} to {max(weights):.3g}'] if weights else []
    return ', '.join(parts) + (f' of {_words(within)}' if within else '')
