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

    Classes are counted in the training set as it is drawn, with its wrappers; nothing is decoded. For the loss, a class
    without videos counts as one with a single video. The loss that the head has takes other forms, and nothing of them
    is in a checkpoint.

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
        labels = labels_of(runner.train_dataloader.dataset)
        if self.balance:
            self._balance(runner, labels)
        head = getattr(bare_model(runner), 'cls_head', None)
        if of_loss and (self.loss is None or head is None or head.loss_cls is not self.loss):
            self._set_loss(runner, head, labels)

    def _balance(self, runner: Runner, labels: list[list[int]]) -> None:
        sampler = runner.train_dataloader.sampler
        if not isinstance(sampler, SeededSampler):
            raise ValueError(
                f'training.balance is {self.balance}, but train_dataloader.sampler is a {type(sampler).__name__}; set '
                "its type to 'SeededSampler', or training.balance=0"
            )
        sampler.set_balance(self.balance, labels)
        draws = sampler.draws
        assert draws is not None
        sizes = np.array(list(map(len, draws.decks)))
        runner.logger.info(
            f'classes: {sizes.min()} to {counted(int(sizes.max()), "video")}, drawn {draws.quotas[sizes.argmin()]} to '
            f'{draws.quotas[sizes.argmax()]} times an epoch (training.balance={self.balance:g})',
            extra=ON_SCREEN,
        )

    def _set_loss(self, runner: Runner, head: Any, labels: list[list[int]]) -> None:
        """Put the loss that was asked for in the place of the head's usual one."""
        usual: Any = getattr(head, 'loss_cls', None)
        if type(usual) not in (CrossEntropyLoss, BCELossWithLogits) or usual.class_weight is not None:
            raise ValueError(
                f'model.cls_head has a loss of its own, {type(usual).__name__}, but training.class_weight, '
                'logit_adjustment and focal change the usual one; leave model.cls_head.loss_cls out, or these words'
            )
        check_class_words(logit_adjustment=self.logit_adjustment, multi_class=head.multi_class)
        found = count_classes(labels, head.num_classes)
        if missing := np.flatnonzero(found == 0).tolist():
            runner.logger.warning(
                f'{counted(len(missing), "class")} without a training video ({shorten(map(str, missing))}) '
                'counted as with one in the loss'
            )
        counts = np.maximum(found, 1).tolist()
        config = self._config(counts, type(usual).__name__, usual.loss_weight, head.multi_class)
        self.loss = head.loss_cls = MODELS.build(config)
        runner.logger.info(
            f'classes: {min(counts)} to {counted(max(counts), "video")}; loss: {_words(config)}', extra=ON_SCREEN
        )

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


def _words(config: dict[str, Any]) -> str:
    """Say what loss a config is of."""
    weights, within = config.get('class_weight'), config.get('loss_cls')
    parts = [config['type'], *(f'{key} {config[key]:g}' for key in ('tau', 'gamma') if key in config)]
    parts += [f'class weights {min(weights):.3g} to {max(weights):.3g}'] if weights else []
    return ', '.join(parts) + (f' of {_words(within)}' if within else '')
