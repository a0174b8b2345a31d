"""A model of three weights and runs of it that take no time, for what is not about videos."""

from itertools import count
from pathlib import Path
from typing import Any

import torch
from mmengine.evaluator import Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner as PlainRunner
from torch import Tensor, nn
from torch.utils.data import Dataset

from mmtsf.engine.runner import Runner

#: Of the runs
NUMBERS = count()


class ToyModel(BaseModel):
    """One linear layer, whose loss is not finite at inputs that are not."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, inputs: Tensor, data_samples: Tensor | None = None, mode: str = 'tensor') -> Any:
        out = self.layer(inputs)
        return dict(loss=(out - data_samples).square().mean()) if mode == 'loss' else [out]


class ToyData(Dataset):
    """Eight samples; one of them may be no number."""

    METAINFO = dict(classes=['one'])

    def __init__(self, broken: int | None = None) -> None:
        self.metainfo = self.METAINFO
        self.inputs = torch.arange(16.0).reshape(8, 2) / 16
        if broken is not None:
            self.inputs[broken] = torch.nan

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: Any) -> dict:
        index = int(index)
        return dict(inputs=self.inputs[index], data_samples=self.inputs[index].sum()[None])


class Scores:
    """A metric that gives its scores one after the other, by their names."""

    def __init__(self, **scores: list[float]) -> None:
        self.scores = scores
        self.rounds = 0
        self.dataset_meta: Any = None

    def process(self, *_: Any, **__: Any) -> None:
        """Nothing is looked at."""

    def evaluate(self, size: int) -> dict[str, float]:
        self.rounds += 1
        return {name: scores[self.rounds - 1] for name, scores in self.scores.items()}


def toy_runner(
    work_dir: Path, runner: type = Runner, max_epochs: int = 2, scores: dict | None = None, **changes: Any
) -> PlainRunner:
    """A runner of a toy; ``runner`` may be MMEngine's, ``changes`` are arguments of either."""
    torch.manual_seed(0)  # of the model's weights
    loader = dict(batch_size=2, dataset=ToyData(), sampler=dict(type='DefaultSampler', shuffle=False))
    loader['collate_fn'] = dict(type='default_collate')
    options: dict[str, Any] = dict(
        model=ToyModel(),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)),
        default_scope='mmtsf',
        log_level='ERROR',
        experiment_name=f'toy_{next(NUMBERS)}',  # MMEngine keeps what belongs to a run by its name
        randomness=dict(seed=0),
    )
    if scores:
        options |= dict(val_dataloader=dict(loader), val_cfg=dict(), val_evaluator=Evaluator(Scores(**scores)))
    return runner(work_dir=str(work_dir), **options | changes)
