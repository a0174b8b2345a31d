"""Check the words of a config for classes of unequal size."""

import math
from typing import Any

#: The word of ``training`` for each argument of :func:`check_class_words`
WORDS = ('balance', 'class_weight', 'logit_adjustment', 'focal')
#: Weights of classes that are worked out from the training set
NAMED_WEIGHTS = ('inverse', 'effective')


def check_class_words(
    balance: Any = 0.0,
    class_weight: Any = None,
    logit_adjustment: Any = 0.0,
    focal: Any = 0.0,
    multi_class: bool = False,
    own_loss: str | None = None,
) -> None:
    """Refuse words that have no meaning, or make up for the same twice.

    Args:
        balance (float): How evenly classes are drawn, from 0, as they are, to 1, all the same. Defaults to 0.
        class_weight (str | float | list[float], optional): Of the loss: ``'inverse'`` or ``'effective'``, a number
            between 0 and 1, the beta of the effective number of samples, or a number for each class. Defaults to None.
        logit_adjustment (float): Its tau, 0 or more. Defaults to 0: none.
        focal (float): Gamma of the focal loss, 0 or more. Defaults to 0: none.
        multi_class (bool): Whether a video may have several labels. Defaults to False.
        own_loss (str, optional): Type of the loss that the head names, which none of these may change. Defaults to
            None: it names none.

    Raises:
        ValueError: With the word, its value, and what is expected.
    """
    if not (is_finite(balance) and 0 <= balance <= 1):
        raise ValueError(f'training.balance is {balance!r}, expected a number from 0 (as they are) to 1 (all the same)')
    for name, value in dict(logit_adjustment=logit_adjustment, focal=focal).items():
        if not (is_finite(value) and value >= 0):
            raise ValueError(f'training.{name} is {value!r}, expected a number from 0 (none) on')
    _check_weight(class_weight)
    derived = class_weight is not None and not isinstance(class_weight, (list, tuple))
    asked = dict(balance=balance > 0, class_weight=derived, logit_adjustment=logit_adjustment > 0)
    first, *others = [f'training.{name}' for name, is_asked in asked.items() if is_asked] or ['']
    if others:
        raise ValueError(
            f'{first} and {" and ".join(others)} are both set, and each makes up for classes of unequal size: together '
            'they overdo it; keep one'
        )
    if own_loss and (class_weight is not None or logit_adjustment or focal):
        raise ValueError(
            f'model.cls_head has a loss of its own, {own_loss}, but training.class_weight, logit_adjustment and focal '
            'change the usual one; leave model.cls_head.loss_cls out, or these words'
        )
    if multi_class and logit_adjustment:
        raise ValueError(
            f'training.logit_adjustment is {logit_adjustment}, which is for one label a video, but data.multi_class is '
            'True; set it to 0, and training.class_weight or training.focal instead'
        )


def is_finite(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check_weight(value: Any) -> None:
    listed = isinstance(value, (list, tuple))
    fits = value is None or value in NAMED_WEIGHTS or (is_finite(value) and 0 < value < 1)
    fits |= listed and bool(value) and all(is_finite(weight) and weight > 0 for weight in value)
    if not fits:
        raise ValueError(
            f'training.class_weight is {value!r}, expected None, {" or ".join(map(repr, NAMED_WEIGHTS))}, the beta of '
            'the effective number of samples (between 0 and 1), or a list of one number above 0 for each class'
        )
