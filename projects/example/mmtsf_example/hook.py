"""Look at the training data before a training starts."""

from collections import Counter

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmtsf.registry import HOOKS
from mmtsf.utils.screen import say


@HOOKS.register_module()
class ClassCountHook(Hook):
    """Say how many training videos each class has, and warn of classes with few.

    Args:
        few (int): Below this number a class is named in a warning. Defaults to 10.
    """

    def __init__(self, few: int = 10) -> None:
        self.few = few

    def before_train(self, runner: Runner) -> None:
        dataset = runner.train_dataloader.dataset
        names = dataset.metainfo['classes']
        counts = Counter(label for index in range(len(dataset)) for label in dataset.get_cat_ids(index))
        listed = {name: counts[label] for label, name in enumerate(names)}
        say(f'training videos: {", ".join(f"{name} {count}" for name, count in listed.items())}')
        if small := [name for name, count in listed.items() if count < self.few]:
            runner.logger.warning(f'fewer than {self.few} training videos: {", ".join(small)}')
