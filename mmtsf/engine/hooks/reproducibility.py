"""Seed every iteration, so that a run depends on its seed alone and resumes as if it had not stopped."""

import random
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

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed the order of samplers that have no seed of their own."""
        self._seed(runner, runner.epoch)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed drop path, dropout and blending; clips are seeded one by one by the sampler."""
        self._seed(runner, runner.iter)

    def _seed(self, runner: Runner, number: int) -> None:
        state = np.random.SeedSequence((runner.seed, number, get_rank())).generate_state(1)
        np.random.seed(state)
        random.seed(int(state[0]))
        torch.manual_seed(int(state[0]))
