"""From pixels to tokens of tubelets, patches of several frames (VideoMAE, arXiv 2203.12602)."""

import math

import torch
from torch import Tensor, nn

from mmtsf.registry import MODELS

from .clip_embedding import grid_of, resize_space, resize_time
from .tokens import Grid

#: Places that are numbered, at most: their table has a row for each
MOST_PLACES = 2**17


@MODELS.register_module()
class TubeletEmbedding(nn.Module):
    """Linear embedding of tubelets with fixed positions, without a classification token.

    Positions are the Transformer's sinusoids (Vaswani et al., arXiv 1706.03762, section 3.5) of a place's number, frame
    by frame and row by row. On another grid than the one that is numbered they are interpolated: bicubic over space,
    linear over time.

    Args:
        grid (Grid): Frames of a clip, and patches along height and width.
        patch_size (int): Height and width of a tubelet in pixels.
        embed_dims (int): Width C of the tokens.
        position (str): ``'space_time'``: there are no others.
        position_init (str): ``'image'`` or ``'sinusoid'``, the same here.
        tubelet (int): Frames of a tubelet. Defaults to 2.
        places (tuple[int, int, int], optional): Tubelets along time, height and width that are numbered: those that the
            weights were trained with. Defaults to None: those of ``grid``.
    """

    positions: Tensor
    #: Leading tokens that come before the patches
    lead = 0

    def __init__(
        self,
        grid: Grid,
        patch_size: int,
        embed_dims: int,
        position: str,
        position_init: str,
        tubelet: int = 2,
        places: tuple[int, int, int] | None = None,
    ) -> None:
        super().__init__()
        for name, value, known in (
            ('position', position, ('space_time',)),
            ('position_init', position_init, ('image', 'sinusoid')),
        ):
            if value not in known:
                raise ValueError(
                    f'{name} is {value!r}, and TubeletEmbedding has fixed positions over space and time, for attention '
                    f'that mixes time; expected one of {known}'
                )
        self.patch_size = patch_size
        self.tubelet = tubelet
        self.places = tuple(places) if places else (self._tubelets(grid.t), grid.h, grid.w)
        if len(self.places) != 3 or not 0 < math.prod(self.places) <= MOST_PLACES:
            raise ValueError(
                f'places are {self.places}, expected tubelets along time, height and width, {MOST_PLACES:,} in all at '
                'most'
            )
        size = (tubelet, patch_size, patch_size)
        self.patch = nn.Conv3d(3, embed_dims, size, size)
        self.register_buffer('positions', numbered(*self.places, embed_dims), persistent=False)

    def init_weights(self) -> None:
        """Nothing: the convolution starts as PyTorch's."""

    def forward(self, clips: Tensor) -> tuple[Tensor, Grid]:
        """Embed clips ``(B, 3, T, H, W)`` as tokens ``(B, T/tubelet * h * w, C)`` and their grid.

        Raises:
            ValueError: If there are not five axes, or frames, height or width are no multiples of the tubelet's.
        """
        frames = grid_of(clips, self.patch_size)
        grid = frames._replace(t=self._tubelets(frames.t), lead=self.lead)
        patches = self.patch(clips.to(self.positions.dtype)).movedim(1, -1)  # (B, t, h, w, C)
        positions = resize_space(self.positions, grid.h, grid.w)
        positions = resize_time(positions.flatten(1)[None], grid.t).view(1, *grid.sizes, -1)
        return (patches + positions).flatten(1, 3), grid

    def _tubelets(self, num_frames: int) -> int:
        """Number of tubelets along time."""
        if num_frames % self.tubelet:
            raise ValueError(
                f'clips have {num_frames} frames, expected a multiple of {self.tubelet}, the frames of a tubelet '
                '(model.backbone.embedding.tubelet); set clip.num_frames'
            )
        return num_frames // self.tubelet


def numbered(*shape: int) -> Tensor:
    """Sinusoids ``(*sizes, dims)`` of the places' numbers, row by row."""
    *sizes, dims = shape
    numbers = torch.arange(torch.Size(sizes).numel(), dtype=torch.float64)  # float32 loses digits of large angles
    angles = numbers[:, None] * 10000 ** (-torch.arange(0, dims, 2, dtype=torch.float64) / dims)
    table = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :dims]
    return table.float().view(*sizes, dims)
