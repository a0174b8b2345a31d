"""From pixels to tokens: patches, classification token, position and time (Equation 1 of the paper)."""

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmtsf.models.kernels.linear import embed_patches
from mmtsf.registry import MODELS

from .tokens import Grid

POSITIONS = ('none', 'space', 'time', 'space_time', 'rotary')
POSITION_INITS = ('image', 'noise', 'sinusoid')


@MODELS.register_module()
class ClipEmbedding(nn.Module):
    """Linear embedding of patches with learned tables over space and over time, added (released code).

    Tables of another size than the clip's, in a checkpoint or in the forward pass, are interpolated: bicubic in two
    dimensions over space, linear over time.

    Args:
        grid (Grid): Patch grid that the tables are made for.
        patch_size (int): Height and width of a patch in pixels.
        embed_dims (int): Width C of the tokens.
        position (str): ``'none'``, ``'space'`` or ``'space_time'`` (Table 4 of the paper), or ``'time'`` where space is
            told otherwise; with ``'rotary'`` positions are not added here, but turn queries and keys.
        position_init (str): How the tables start. ``'image'`` beside a pretrained image model (released code): space
            near zero, time zero. From scratch, where that never learns order, ``'noise'`` (standard deviation 1) or
            ``'sinusoid'``.
        antialias (bool): Whether a table over space is smoothed where it is made smaller (DINOv2 with registers).
            Defaults to False.
    """

    #: Leading tokens that come before the patches
    lead = 1

    def __init__(
        self,
        grid: Grid,
        patch_size: int,
        embed_dims: int,
        position: str,
        position_init: str,
        antialias: bool = False,
    ) -> None:
        super().__init__()
        if position not in POSITIONS:
            raise ValueError(f'position is {position!r}, expected one of {POSITIONS}')
        if position_init not in POSITION_INITS:
            raise ValueError(f'position_init is {position_init!r}, expected one of {POSITION_INITS}')
        self.patch_size = patch_size
        self.antialias = antialias
        self.position_init = position_init
        self.patch = nn.Conv2d(3, embed_dims, patch_size, patch_size)
        self.cls = nn.Parameter(torch.zeros(1, 1, embed_dims))
        self.cls_position: nn.Parameter | None = None
        self.space: nn.Parameter | None = None
        self.time: nn.Parameter | None = None
        if position in ('space', 'space_time'):
            self.cls_position = nn.Parameter(torch.zeros(1, 1, embed_dims))
            self.space = nn.Parameter(torch.zeros(1, grid.h, grid.w, embed_dims))
        if position in ('time', 'space_time'):
            self.time = nn.Parameter(torch.zeros(1, grid.t, embed_dims))
        self.register_load_state_dict_pre_hook(_resize_tables)

    def init_weights(self) -> None:
        """Truncated normal for the token, ``position_init`` for the tables."""
        for table in (self.cls, self.cls_position, self.space):
            if table is not None:
                nn.init.trunc_normal_(table, std=0.02)
        for table in (self.space, self.time):
            if table is None or self.position_init == 'image':
                continue  # the image model's, and zero
            with torch.no_grad():
                table.normal_() if self.position_init == 'noise' else table.copy_(sinusoid(*table.shape[1:]))

    def forward(self, clips: Tensor) -> tuple[Tensor, Grid]:
        """Embed clips ``(B, 3, T, H, W)`` as tokens ``(B, 1 + T*h*w, C)`` and their grid, see :func:`grid_of`."""
        grid = grid_of(clips, self.patch_size)
        frames = clips.transpose(1, 2).flatten(0, 1)
        patches = embed_patches(frames.to(self.cls.dtype), self.patch)  # (B*T, h, w, C)
        patches = patches.unflatten(0, (clips.shape[0], grid.t))
        cls: Tensor = self.cls
        if self.space is not None and self.cls_position is not None:
            patches = patches + resize_space(self.space, grid.h, grid.w, self.antialias).unsqueeze(1)
            cls = cls + self.cls_position
        if self.time is not None:
            patches = patches + resize_time(self.time, grid.t)[:, :, None, None]
        return torch.cat([cls.expand(clips.shape[0], -1, -1), patches.flatten(1, 3)], dim=1), grid


def grid_of(clips: Tensor, patch_size: int) -> Grid:
    """Return the grid of clips ``(B, 3, T, H, W)``.

    Raises:
        ValueError: If there are not five axes, or height or width is no multiple of the patch size.
    """
    if clips.ndim != 5:
        raise ValueError(f'clips have the shape {tuple(clips.shape)}, expected (B, 3, T, H, W)')
    num_frames, height, width = clips.shape[2:]
    if height % patch_size or width % patch_size:
        raise ValueError(
            f'frames are {height} x {width} pixels (height x width), expected multiples of the patch '
            f'size {patch_size}; resize or crop the clip, or change patch_size'
        )
    return Grid(num_frames, height // patch_size, width // patch_size)


def resize_space(table: Tensor, height: int, width: int, antialias: bool = False) -> Tensor:
    """Resize ``(1, H, W, C)`` to ``(1, height, width, C)``, bicubic in two dimensions."""
    if _is_known(height, width) and table.shape[1:3] == (height, width):
        return table
    table = table.permute(0, 3, 1, 2)
    resized = F.interpolate(table, (height, width), mode='bicubic', align_corners=False, antialias=antialias)
    return resized.permute(0, 2, 3, 1)


def resize_time(table: Tensor, num_frames: int) -> Tensor:
    """Resize ``(1, T, C)`` to ``(1, num_frames, C)``, linear."""
    if _is_known(num_frames) and table.shape[1] == num_frames:
        return table
    return F.interpolate(table.transpose(1, 2), num_frames, mode='linear', align_corners=False).transpose(1, 2)


def _is_known(*sizes: int) -> bool:
    """Whether sizes are numbers, and not symbols of an export for any size."""
    return all(isinstance(size, int) for size in sizes)


def sinusoid(*shape: int) -> Tensor:
    """Fixed position code of the Transformer (Vaswani et al., arXiv 1706.03762, section 3.5), ``(*sizes, dims)``; where
    there are two axes, each has half of the channels."""
    *sizes, dims = shape
    share = -(-dims // len(sizes))
    codes = []
    for places in torch.meshgrid(*map(torch.arange, sizes), indexing='ij'):
        angles = places.unsqueeze(-1) * torch.exp(torch.arange(0, share, 2) * (-math.log(10000.0) / share))
        codes.append(torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)[..., :share])
    return torch.cat(codes, dim=-1)[..., :dims]


def _resize_tables(module: ClipEmbedding, state: dict, prefix: str, *_) -> None:
    """Before a checkpoint is loaded, bring its tables to the module's size."""
    for name, resize in (('space', partial(resize_space, antialias=module.antialias)), ('time', resize_time)):
        table, key = getattr(module, name), f'{prefix}{name}'
        if table is not None and key in state and state[key].ndim == table.ndim:
            state[key] = resize(state[key], *table.shape[1:-1])
