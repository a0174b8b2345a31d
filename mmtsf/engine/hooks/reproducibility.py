"""Seed every iteration, so that a run depends on its seed alone and resumes as if it had not stopped."""

from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmtsf.registry import HOOKS


@HOOKS.register_module()
class ReproducibilityHook(Hook):
    """Seed every iteration by the run's seed, its number and the rank: what ran before it does not matter."""

    priority = 'HIGH'

    def before_train(self, runner: Runner) -> None:
        """Give the sampler the seed of a resumed run, which is known only now."""
        if hasattr(runner.train_dataloader.sampler, 'seed'):
            runner.train_dataloader.sampler.seed = runner.seed

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed drop path and dropout; clips are seeded one by one by the sampler."""
        sequence = np.random.SeedSequence((runner.seed, runner.iter, get_rank()))
        torch.manual_seed(int(sequence.generate_state(1)[0]))
