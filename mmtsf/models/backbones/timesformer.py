"""The backbone of "Is Space-Time Attention All You Need for Video Understanding?", arXiv 2102.05095."""

import torch
from mmengine.model import BaseModule
from mmengine.registry import DefaultScope
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmtsf.models.layers import AttentionStep, ClipEmbedding, EncoderBlock, Grid, real_tokens
from mmtsf.registry import MODELS


@MODELS.register_module()
class TimeSformer(BaseModule):
    """A Vision Transformer over the patches of a clip, with the attention scheme of your choice.

    The constructor's sizes are those of the position tables; the number of frames, height and width of a forward pass
    come from its input.

    Args:
        attention (dict): Config of the attention scheme, e.g. ``dict(type='DividedAttention')``.
        num_frames (int): Frames T of a clip. Defaults to 8.
        img_size (int | tuple[int, int]): Height and width of a frame in pixels. Defaults to 224.
        patch_size (int): Height and width of a patch in pixels. Defaults to 16.
        embed_dims (int): Width C of the tokens. Defaults to 768.
        num_heads (int): Attention heads. Defaults to 12.
        num_layers (int): Encoder blocks. Defaults to 12.
        mlp (dict): Config of the MLP, e.g. ``dict(type='GatedMLP')``. Defaults to ``dict(type='MLP')``.
        drop_path_rate (float): Stochastic depth of the last block; it grows linearly from 0 in the first one.
            Defaults to 0.1 (released code).
        init_std (float): Standard deviation of the initial linear layers. Defaults to 0.02 (released code); a narrow
            model from scratch learns faster near ``embed_dims ** -0.5``.
        position (str): Position embedding: ``'none'``; learned and added for ``'space'`` or ``'space_time'``; or
            ``'rotary'``, in queries and keys, over time and space. Defaults to ``'space_time'``.
        position_start (str): Start of the position tables: ``'image'`` when the image model is pretrained (released
            code), ``'noise'`` or ``'sinusoid'`` from scratch. Defaults to ``'image'``.
        token_shift (bool): Whether each step and MLP sees a third of the channels a frame ahead and another a frame
            behind (arXiv 2106.14881). Defaults to False.
        norm_eps (float): Epsilon of all LayerNorms. Defaults to 1e-6 (released code).
        compiled (bool): Whether ``torch.compile`` takes the forward and backward pass; the first ones take a minute.
            Defaults to False.
        with_cp (bool): Whether to keep only the blocks' inputs for the backward pass and recompute the rest.
            Defaults to False.
        init_cfg (dict, optional): MMEngine's initialisation config. Defaults to None.
    """

    def __init__(
        self,
        attention: dict,
        num_frames: int = 8,
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        embed_dims: int = 768,
        num_heads: int = 12,
        num_layers: int = 12,
        mlp: dict = dict(type='MLP'),
        drop_path_rate: float = 0.1,
        init_std: float = 0.02,
        position: str = 'space_time',
        position_start: str = 'image',
        token_shift: bool = False,
        norm_eps: float = 1e-6,
        compiled: bool = False,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
        if height % patch_size or width % patch_size:
            raise ValueError(
                f'img_size is {height} x {width} (height x width), expected multiples of patch_size {patch_size}'
            )
        if num_layers < 1:
            raise ValueError(f'num_layers is {num_layers}, expected at least 1')
        rates = [drop_path_rate * i / max(num_layers - 1, 1) for i in range(num_layers)]
        shared = dict(
            embed_dims=embed_dims,
            num_heads=num_heads,
            norm_eps=norm_eps,
            rotary=position == 'rotary',
            token_shift=token_shift,
        )
        if doubled := {*shared, 'drop_path_rate'} & set(attention):
            raise TypeError(f'attention sets {sorted(doubled)}, which the backbone sets for it; set them there')
        schemes = [MODELS.build(dict(attention, drop_path_rate=rate, **shared)) for rate in rates]
        mlps = [MODELS.build(dict(mlp, embed_dims=embed_dims)) for _ in rates]
        self.blocks = nn.ModuleList(
            EncoderBlock(scheme, mlp, embed_dims, rate, norm_eps, token_shift)
            for scheme, mlp, rate in zip(schemes, mlps, rates)
        )
        self.mixes_time = schemes[0].mixes_time
        if position == 'space_time' and not self.mixes_time:
            position = 'space'  # frames that never meet need no time
        grid = Grid(num_frames, height // patch_size, width // patch_size)
        self.embedding = ClipEmbedding(grid, patch_size, embed_dims, position, position_start)
        self.norm = nn.LayerNorm(embed_dims, eps=norm_eps)
        self.init_std = init_std
        self.with_cp = with_cp
        if compiled:
            self.compile()

    def init_weights(self) -> None:
        """Truncated normal for every linear layer, zero for the added steps' last one, then ``init_cfg``."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=self.init_std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, AttentionStep):
                module.zero_extension()
        self.embedding.init_weights()
        with DefaultScope.overwrite_default_scope('mmtsf'):  # init_cfg's 'Pretrained' is ours in scripts, too
            super().init_weights()

    def forward(self, clips: Tensor, frame_mask: Tensor | None = None) -> Tensor:
        """Embed clips as features: the classification token after the last norm.

        Args:
            clips (Tensor): ``(B, 3, T, H, W)``, normalised; or uint8, where :meth:`fuse` was told mean and std.
            frame_mask (Tensor, optional): ``(B, T)``, true for real frames and false for those that pad a shorter
                clip: they attend to nothing and are attended by nothing. Defaults to None: all are real.

        Returns:
            Tensor: ``(B, C)``.
        """
        cls = self.encode(clips, frame_mask, only_cls=True)[0][:, 0]
        if not self.mixes_time:
            cls = cls.unflatten(0, (clips.shape[0], -1))
            if frame_mask is None:
                cls = cls.mean(dim=1)
            else:
                cls = (cls * frame_mask.unsqueeze(-1)).sum(dim=1) / frame_mask.sum(dim=1, keepdim=True)
        return self.norm(cls)

    def encode(self, clips: Tensor, frame_mask: Tensor | None = None, only_cls: bool = False) -> tuple[Tensor, Grid]:
        """Tokens ``(B, 1 + T*h*w, C)`` after the last block, before the last norm, and their grid.

        With ``only_cls`` the last block computes no more than the classification token, ``(B, 1, C)``. Where the scheme
        does not mix time, a frame is a clip of its own: ``(B*T, 1 + h*w, C)`` and a grid of one frame.

        Raises:
            ValueError: If ``frame_mask`` has another shape than ``(B, T)``, or a clip has no real frame.
        """
        _check_mask(frame_mask, clips)
        if not self.mixes_time:
            clips, frame_mask = clips.transpose(1, 2).flatten(0, 1).unsqueeze(2), None
        tokens, grid = self.embedding(clips)
        real = None if frame_mask is None else real_tokens(frame_mask, grid)
        for block in self.blocks:
            arguments = (tokens, grid, real, only_cls and block is self.blocks[-1])
            if self.with_cp and self.training:
                tokens = checkpoint(block, *arguments, use_reentrant=False)
            else:
                tokens = block(*arguments)
        return tokens, grid

    def fuse(self, mean: Tensor | None = None, std: Tensor | None = None) -> None:
        """Merge neighbouring linear layers for inference: the same outputs from fewer products. Not to be undone.

        Args:
            mean (Tensor, optional): Mean pixel ``(3,)``. With it clips are pixels, uint8, normalised by the patch
                embedding's weights. Defaults to None: clips are normalised already.
            std (Tensor, optional): Standard deviation of pixels ``(3,)``. Defaults to None.
        """
        for module in self.modules():
            if isinstance(module, AttentionStep):
                module.fuse()
        if mean is not None and std is not None:
            self.embedding.fold_normalisation(mean, std)


def _check_mask(frame_mask: Tensor | None, clips: Tensor) -> None:
    if frame_mask is None or torch.compiler.is_compiling():
        return
    expected = (clips.shape[0], clips.shape[2])
    if frame_mask.shape != expected:
        raise ValueError(f'frame_mask has the shape {tuple(frame_mask.shape)}, expected (B, T) = {expected}')
    if not frame_mask.any(dim=1).all():
        raise ValueError('frame_mask marks a clip without any real frame; give each clip at least one')
