"""What the attention schemes share: steps, each with a residual."""

from torch import Tensor, nn

from ..layers import AttentionStep, Grid, Grouping


class AttentionScheme(nn.Module):
    """Attention steps one after the other, ``x = x + step(x)``, or side by side. A subclass names its steps.

    Args:
        groupings (dict[str, Grouping]): The steps in their order, by name.
        image_step (str): The step that is the image model's own attention. All others are additions to it, with a
            second linear layer that starts at zero.
        embed_dims (int): Width C of the tokens.
        num_heads (int): Number of heads.
        drop_path_rate (float): Probability that a group's residual is dropped in training.
        parallel (bool): Whether all steps see the same tokens, and their residuals are added. Defaults to False.
    """

    #: Whether a patch ever sees another frame. Where it does not, the backbone runs every frame as a clip of its own.
    mixes_time = True

    def __init__(
        self,
        groupings: dict[str, Grouping],
        image_step: str,
        embed_dims: int,
        num_heads: int,
        drop_path_rate: float,
        parallel: bool = False,
    ) -> None:
        super().__init__()
        self.parallel = parallel
        self.steps = nn.ModuleDict(
            {
                name: AttentionStep(embed_dims, num_heads, grouping, drop_path_rate, extends=name != image_step)
                for name, grouping in groupings.items()
            }
        )

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """``(B, 1 + T*H*W, C)`` to the same shape."""
        if self.parallel:
            return tokens + sum(step(tokens, grid) for step in self.steps.values())
        for step in self.steps.values():
            tokens = tokens + step(tokens, grid)
        return tokens
