"""AdamW whose states are 8-bit numbers in blocks of 256 (arXiv 2110.02861), by bitsandbytes."""

from typing import Any

import torch
from bitsandbytes import optim
from torch import Tensor, nn
from torch.optim import Optimizer

#: States that are tables of the optimizer's own, the same for all parameters
TABLES = dict(qmap1='dynamic', qmap2='udynamic')


class AdamW8bit(optim.AdamW8bit):
    """bitsandbytes' optimizer, whose state dict holds plain tensors by their names, and no tables, so that a checkpoint
    is read as data.

    Takes the arguments of :class:`bitsandbytes.optim.AdamW8bit`.
    """

    def state_dict(self) -> dict:
        """Return PyTorch's, without tables."""
        saved = Optimizer.state_dict(self)
        kept = {
            place: {name: value for name, value in state.items() if name not in TABLES}
            for place, state in saved['state'].items()
        }
        return dict(saved, state=kept)

    def load_state_dict(self, state_dict: dict, move_to_device: bool = True) -> None:
        """Undo :meth:`state_dict`."""
        super().load_state_dict(state_dict, move_to_device)
        for state in self.state.values():
            if state['state1'].dtype == torch.uint8:
                self._add_tables(state)

    def state_like(self, parameter: Tensor) -> dict[str, Any]:
        """Return what the state of a parameter is like, in tensors without memory."""
        alike = type(self)([nn.Parameter(torch.empty_like(parameter, device='meta'))])
        alike.args = self.args
        alike.init_state(alike.param_groups[0], alike.param_groups[0]['params'][0], 0, 0)
        (state,) = alike.state.values()
        return {name: value for name, value in state.items() if name not in TABLES}

    def _add_tables(self, state: dict) -> None:
        for name, table in TABLES.items():
            state[name] = self.name2qmap[table] = self.name2qmap[table].to(state['state1'].device)
