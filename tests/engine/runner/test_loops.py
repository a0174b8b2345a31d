"""Epochs that begin in their middle, and those that would never end."""

from types import SimpleNamespace

import pytest
from mmengine.dataset import InfiniteSampler
from mmengine.logging import MessageHub
from torch.utils.data import DataLoader

from mmtsf.datasets.loading import VideoLoader
from mmtsf.engine.runner import ResumableTrainLoop


class Squares:
    """A data set that notes what is read of it."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> int:
        self.read.append(index)
        return index**2


def loop_over(loader: DataLoader) -> ResumableTrainLoop:
    return ResumableTrainLoop(SimpleNamespace(visualizer=None), loader, max_epochs=1)


@pytest.mark.parametrize(('kind', 'first_read'), [(VideoLoader, 6), (DataLoader, 0)])
def test_any_loader_begins_in_the_middle_and_ours_reads_no_more_than_it_takes(kind, first_read):
    dataset = Squares()
    batches = [batch.tolist() for batch in loop_over(kind(dataset, 2))._batches_from(3)]
    assert batches == [[36, 49], [64, 81]]
    assert dataset.read == list(range(first_read, 10))


def test_a_sampler_that_never_ends_an_epoch_is_refused_before_training():
    loader = DataLoader(Squares(), 2, sampler=InfiniteSampler(range(10)))
    with pytest.raises(ValueError, match='InfiniteSampler never ends an epoch; set train_dataloader.sampler.type'):
        loop_over(loader)


def test_a_validation_that_the_resumed_checkpoint_holds_is_not_repeated():
    ran: list[int] = []
    val_loop = SimpleNamespace(run=lambda: ran.append(1))
    hub = MessageHub('of a test of loops')
    runner = SimpleNamespace(
        visualizer=None, message_hub=hub, val_loop=val_loop, model=None, call_hook=lambda *_, **__: None
    )
    for held, times in ((None, 1), (0, 2), (1, 2)):
        hub.update_info('validated_epoch', held)
        loop = ResumableTrainLoop(runner, DataLoader(Squares(), 2), max_epochs=1)
        loop._epoch, loop._iter = 1, 5
        loop.run()
        assert len(ran) == times
