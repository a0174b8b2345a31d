"""The backbone of "Is Space-Time Attention All You Need for Video Understanding?", arXiv 2102.05095."""

from typing import Any

import torch
from mmengine.model import BaseModule
from mmengine.registry import DefaultScope
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmtsf import compat
from mmtsf.models.attentions import AttentionScheme
from mmtsf.models.kernels.compile_blocks import COMPILED, compile_blocks, is_due
from mmtsf.models.kernels.in_place import ask_gpu
from mmtsf.models.kernels.plain import is_affine, is_plain, is_untouched, normalises_tokens
from mmtsf.models.layers import (
    GEGLU,
    MLP,
    AttentionStep,
    ClsKeyStep,
    DropPath,
    EncoderBlock,
    GatedMLP,
    Grid,
    LayerScale,
    LucidrainsBlock,
    LucidrainsStep,
    QuickGELU,
    RotaryPosition,
    RotaryStep,
    SwiGLU,
)
from mmtsf.models.old_names import refuse_unknown
from mmtsf.registry import MODELS

FUSED_WEIGHTS = (
    'these are weights of a model that was fused for prediction (mmtsf.deploy.fuse), which no plain model takes; give '
    'the checkpoint that the fused model was made from'
)
RESIDUALS = ('float32', 'bfloat16')
#: Positions of frames that never meet, and need no time
WITHOUT_TIME = dict(space_time='space', time='none')
#: What a config of a part that names no type is of
PARTS = dict(mlp='MLP', embedding='ClipEmbedding', step='AttentionStep')
#: A clip's feature ``(B, C)`` of its tokens and their grid
POOLS = dict(
    cls=lambda tokens, grid: tokens[:, 0],
    mean=lambda tokens, grid: tokens[:, grid.lead :].mean(dim=1),
)
#: Modules that do the same to the classification token whether the patches are there or not
PER_TOKEN = {AttentionStep, ClsKeyStep, DropPath, EncoderBlock, LucidrainsBlock, LucidrainsStep, RotaryPosition}
PER_TOKEN |= {GEGLU, GatedMLP, LayerScale, MLP, QuickGELU, RotaryStep, SwiGLU}
PER_TOKEN |= {nn.GELU, nn.Identity, nn.LayerNorm, nn.Linear, nn.ModuleDict, nn.ReLU, nn.SiLU, nn.Sequential}
PER_TOKEN |= {nn.ParameterDict}  # empty, in layers with adapters


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
        position (str): Position embedding: ``'none'``; learned and added for ``'space'``, ``'time'`` or
            ``'space_time'``; or ``'rotary'``, in queries and keys, over time and space. Defaults to ``'space_time'``.
        position_init (str): How the position tables start: ``'image'`` when the image model is pretrained (released
            code), ``'noise'`` or ``'sinusoid'`` from scratch. Defaults to ``'image'``.
        embedding (dict): Config of what makes tokens of clips, e.g. one with register tokens. Defaults to
            ``dict(type='ClipEmbedding')``.
        pool (str): What is a clip's feature: ``'cls'``, the classification token, or ``'mean'`` of the patches.
            Defaults to ``'cls'``.
        step (dict, optional): Config of the attention steps, e.g. ``dict(type='RotaryStep')``. Defaults to None: what
            the scheme has.
        layer_scale (float, optional): Initial factor of the channels of all residuals (LayerScale). Defaults to None:
            they are not scaled.
        token_shift (bool): Whether each step and MLP sees a third of the channels a frame ahead and another a frame
            behind (arXiv 2106.14881). Defaults to False.
        norm_eps (float): Epsilon of all LayerNorms. Defaults to 1e-6 (released code).
        last_norm_eps (float, optional): Epsilon of the last one. Defaults to None: ``norm_eps``.
        compiled (bool | str): Whether ``torch.compile`` takes the blocks, one piece of code for all, at the first
            forward pass; ``'auto'``: in training on a GPU. Defaults to ``'auto'``.
        residual_dtype (str): ``'bfloat16'``: under bfloat16 autocast the tokens between blocks are bfloat16, too, which
            takes less memory and time, and sums residuals less exactly. Defaults to ``'float32'``.
        with_cp (bool): Whether to keep only the blocks' inputs for the backward pass and recompute the rest.
            Defaults to False.
        init_cfg (dict, optional): MMEngine's initialisation config. Defaults to None.
    """

    #: What can_end_at_cls said before blocks were shared out among processes, which gives them hooks and another class
    ends_at_cls: bool | None = None

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
        position_init: str = 'image',
        embedding: dict = dict(type='ClipEmbedding'),
        pool: str = 'cls',
        step: dict | None = None,
        layer_scale: float | None = None,
        token_shift: bool = False,
        norm_eps: float = 1e-6,
        last_norm_eps: float | None = None,
        compiled: bool | str = 'auto',
        residual_dtype: str = 'float32',
        with_cp: bool = False,
        init_cfg: dict | None = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown(self, unknown)
        super().__init__(init_cfg)
        choices = dict(pool=(pool, POOLS), compiled=(compiled, COMPILED), residual_dtype=(residual_dtype, RESIDUALS))
        for name, (value, known) in choices.items():
            if value not in known:
                raise ValueError(f'{name} is {value!r}, expected one of {tuple(known)}')
        height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
        if height % patch_size or width % patch_size:
            raise ValueError(
                f'img_size is {height} x {width} (height x width), expected multiples of patch_size {patch_size}'
            )
        if num_layers < 1:
            raise ValueError(f'num_layers is {num_layers}, expected at least 1')
        scale = {} if layer_scale is None else dict(layer_scale=layer_scale)
        shared = dict(
            embed_dims=embed_dims,
            num_heads=num_heads,
            norm_eps=norm_eps,
            rotary=position == 'rotary',
            token_shift=token_shift,
            **scale,
            **({} if step is None else dict(step=dict(type=PARTS['step']) | step)),
        )
        make_block = LucidrainsBlock if token_shift else EncoderBlock
        self.blocks = nn.ModuleList()
        for i in range(num_layers):
            rate = drop_path_rate * i / max(num_layers - 1, 1)
            scheme = _build('attention', attention, **shared, drop_path_rate=rate)
            self.blocks.append(
                make_block(scheme, _build('mlp', mlp, embed_dims=embed_dims, **scale), embed_dims, rate, norm_eps)
            )
        self.mixes_time = scheme.mixes_time
        if not self.mixes_time:
            position = WITHOUT_TIME.get(position, position)
        grid = Grid(num_frames, height // patch_size, width // patch_size)
        sizes = dict(grid=grid, patch_size=patch_size, embed_dims=embed_dims)
        self.embedding = _build('embedding', embedding, **sizes, position=position, position_init=position_init)
        if pool == 'cls' and not self.embedding.lead:
            raise ValueError(
                f"pool is 'cls', and {type(self.embedding).__name__} has no classification token; use 'mean'"
            )
        self.norm = nn.LayerNorm(embed_dims, eps=norm_eps if last_norm_eps is None else last_norm_eps)
        self.init_std = init_std
        self.pool = pool
        self.compiled = compiled
        self.runs_long = False  # whether so much will be predicted that compiling pays without training
        self.residual_dtype = residual_dtype
        self.with_cp = with_cp
        self.register_load_state_dict_pre_hook(_refuse_other_kind)

    def init_weights(self) -> None:
        """Truncated normal for every linear layer, zero for ``temporal_fc``, then ``init_cfg``."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=self.init_std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, AttentionStep) and isinstance(module.temporal_fc, nn.Linear):
                nn.init.zeros_(module.temporal_fc.weight)
        self.embedding.init_weights()
        with DefaultScope.overwrite_default_scope('mmtsf'):  # init_cfg's 'Pretrained' is ours in scripts, too
            super().init_weights()

    def train(self, mode: bool = True) -> 'TimeSformer':
        """Training mode."""
        ask_gpu(next(self.parameters()).device)  # before torch.compile takes the whole model
        return super().train(mode)

    def forward(self, clips: Tensor) -> Tensor:
        """Embed clips ``(B, 3, T, H, W)``, normalised, as features ``(B, C)``: the classification token, or what else
        ``pool`` says, after the last norm.

        Of a last block of known modules that are plain (:func:`is_plain`) no more than the classification token is
        computed."""
        only_cls = self.can_end_at_cls(clips) if self.ends_at_cls is None else self.ends_at_cls
        feature = POOLS[self.pool](*self.encode(clips, only_cls))
        if not self.mixes_time:
            feature = feature.unflatten(0, (clips.shape[0], clips.shape[2])).mean(dim=1)
        return self.norm(feature)

    def can_end_at_cls(self, clips: Tensor | None = None) -> bool:
        """Whether the last block may compute the classification token alone, as far as its modules say, and what looks
        at ``clips``."""
        modules = tuple(self.blocks[-1].modules())
        by_modules = clips is None or torch.compiler.is_compiling()
        plain = is_untouched(*modules) if by_modules else is_plain(clips, *modules)  # type: ignore[arg-type]
        return self.pool == 'cls' and plain and all(map(_is_per_token, modules))

    def encode(self, clips: Tensor, only_cls: bool = False) -> tuple[Tensor, Grid]:
        """Tokens ``(B, L + T*h*w, C)`` after the last block, before the last norm, and their grid.

        With ``only_cls`` the last block computes no more than the classification token, ``(B, 1, C)``. Where the scheme
        does not mix time, a frame is a clip of its own: ``(B*T, L + h*w, C)`` and a grid of one frame."""
        if not self.mixes_time:
            clips = clips.transpose(1, 2).flatten(0, 1).unsqueeze(2)
        tokens, grid = self.embedding(clips)
        if not torch.compiler.is_compiling():
            ask_gpu(tokens.device)
        if self.residual_dtype == 'bfloat16':
            tokens = self._in_bfloat16(tokens)
        if not compat.is_compiled(self.blocks[0]) and is_due(self.compiled, tokens, self.training or self.runs_long):
            compile_blocks(self.blocks, tokens.device)
        for block in self.blocks:
            if compat.is_compiled(block):
                compat.mark_dynamic(tokens, 0)  # so that an epoch's last batch compiles nothing anew
            arguments = (tokens, grid, only_cls and block is self.blocks[-1])
            if self.with_cp and self.training:
                tokens = checkpoint(block, *arguments, use_reentrant=False)
            else:
                tokens = block(*arguments)
        return tokens, grid

    def _in_bfloat16(self, tokens: Tensor) -> Tensor:
        """Tokens in bfloat16 under bfloat16 autocast; without it, as in a validation in float32, as they are."""
        device = tokens.device.type
        if torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.bfloat16:
            return tokens.bfloat16()
        if self.training:
            raise RuntimeError(
                'residual_dtype is bfloat16, which takes training under bfloat16 autocast; add --amp bfloat16, or set '
                'residual_dtype float32'
            )
        return tokens


def _build(name: str, config: dict, **sizes: Any) -> Any:
    """Build a part of its config and of what the backbone sets for it.

    Raises:
        TypeError: If the config sets that, too.
    """
    if doubled := set(sizes) & set(config):
        raise TypeError(f'{name} sets {sorted(doubled)}, which the backbone sets for it; set them there')
    kind = dict(type=PARTS[name]) if name in PARTS else {}
    with DefaultScope.overwrite_default_scope('mmtsf'):  # in configs of MMAction2's scope, too
        return MODELS.build(kind | config | sizes)


def _is_per_token(module: nn.Module) -> bool:
    is_scheme = isinstance(module, AttentionScheme) and type(module).forward is AttentionScheme.forward
    return is_scheme or is_affine(module) or type(module) in PER_TOKEN and normalises_tokens(module)


def _refuse_other_kind(module: TimeSformer, state: dict, prefix: str, *_: Any) -> None:
    """Before a state dict is loaded, refuse one of a fused model for a plain one, and the reverse.

    Raises:
        ValueError: With the remedy.
    """
    is_fused, marked = hasattr(module, 'fused'), f'{prefix}fused' in state
    if marked and not is_fused:
        raise ValueError(FUSED_WEIGHTS)
    if is_fused and not marked and any(key.startswith(prefix) for key in state):
        raise ValueError(
            'this model was fused for prediction, and takes no weights of a plain one; build it anew, load them, and '
            'fuse it then (mmtsf.deploy.fuse.fuse)'
        )
