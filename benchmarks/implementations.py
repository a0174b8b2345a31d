"""Build our model, the other implementations with the same weights, and the lower bound that they are compared with."""

from collections.abc import Callable

import torch
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmtsf.config import load_config
from mmtsf.registry import MODELS
from mmtsf.weights import translate_back
from mmtsf.weights.write import hugging_face_config

init_default_scope('mmtsf')
SCHEMES = dict(
    divided='DividedAttention',
    joint='JointAttention',
    space='SpaceAttention',
    local_global='LocalGlobalAttention',
    axial='AxialAttention',
)
#: Frames and pixels of a clip
VARIANTS = dict(base=(8, 224), hr=(16, 448), l=(96, 224))
PEERS = ('Hugging Face', 'MMAction2', 'lucidrains')


class Classifier(nn.Module):
    """Combine a backbone and a head."""

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.cls_head = head

    def forward(self, clips: Tensor) -> Tensor:
        return self.cls_head(self.backbone(clips))


def ours(scheme: str, num_frames: int, size: int, **options) -> Classifier:
    """Build our model with 400 classes and random non-zero weights; on the meta device only its shapes."""
    changes = {'start': None, 'clip.num_frames': num_frames, 'clip.size': size}
    config = load_config('configs/timesformer_base_k400.py', changes).model
    config.backbone.update(attention=dict(type=SCHEMES[scheme]), drop_path_rate=0.0, **options)
    torch.manual_seed(0)
    model = Classifier(MODELS.build(config.backbone), MODELS.build(config.cls_head))
    if model.backbone.norm.weight.is_meta:
        return model
    model.backbone.init_weights()
    for name, parameter in model.named_parameters():
        if name.endswith('temporal_fc.weight'):
            nn.init.trunc_normal_(parameter, std=0.02)
    return model


def hugging_face(scheme: str, num_frames: int, size: int, num_layers: int = 12) -> nn.Module:
    """Build Hugging Face's model with the weights of :func:`ours`."""
    import transformers

    state = ours(scheme, num_frames, size, num_layers=num_layers).state_dict()
    sizes = dict(img_size=size, num_frames=num_frames, num_layers=num_layers)
    meta = dict(backbone=dict(attention=dict(type=SCHEMES[scheme]), **sizes))
    config = transformers.TimesformerConfig(**hugging_face_config(state, meta))
    model = transformers.TimesformerForVideoClassification(config)
    model.load_state_dict(translate_back(state, 'huggingface', scheme))
    return _Called(model, lambda model, clips: model(clips.transpose(1, 2)).logits)


def mmaction2(scheme: str, num_frames: int, size: int, num_layers: int = 12) -> nn.Module:
    """Build MMAction2's model with the weights of :func:`ours`."""
    from mmaction.models import backbones, heads

    attention_type = dict(divided='divided_space_time', joint='joint_space_time', space='space_only')[scheme]
    sizes = dict(num_frames=num_frames, img_size=size, patch_size=16, num_transformer_layers=num_layers)
    model = Classifier(backbones.TimeSformer(**sizes, attention_type=attention_type), heads.TimeSformerHead(400, 768))
    state = ours(scheme, num_frames, size, num_layers=num_layers).state_dict()
    model.load_state_dict(translate_back(state, 'mmaction2', scheme))
    for module in model.modules():
        if hasattr(module, 'drop_prob'):
            module.drop_prob = 0.0  # ours drops nothing here, either
    return model


def lucidrains(scheme: str, num_frames: int, size: int) -> nn.Module:
    """Build timesformer-pytorch's model: another architecture with divided attention and random weights."""
    import timesformer_pytorch

    assert scheme == 'divided'
    sizes = dict(dim=768, num_frames=num_frames, image_size=size, num_classes=400, depth=12, heads=12, dim_head=64)
    return _Called(timesformer_pytorch.TimeSformer(**sizes), lambda model, clips: model(clips.transpose(1, 2)))


class _Called(nn.Module):
    def __init__(self, model: nn.Module, call: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.model = model
        self.call = call

    def forward(self, clips: Tensor) -> Tensor:
        return self.call(self.model, clips)


BUILDERS = {'ours': ours, 'Hugging Face': hugging_face, 'MMAction2': mmaction2, 'lucidrains': lucidrains}


def available(name: str, scheme: str, dtype: str) -> bool:
    """Return whether an implementation has a scheme. Hugging Face's space attention never averages the frames."""
    schemes = {'ours': SCHEMES, 'Hugging Face': ('divided', 'joint'), 'MMAction2': ('divided', 'joint', 'space')}
    if name == 'lucidrains' and dtype == 'bfloat16':
        return False  # its rotary tables stay in float32
    return scheme in schemes.get(name, ('divided',))


class Floor(nn.Module):
    """Run only the matrix products of the model's linear layers, with the same shapes and type: the lower bound.

    The patch embedding counts as one. With ``backward`` each has its two products of the backward pass, too.
    """

    def __init__(self, scheme: str, num_frames: int, size: int, dtype: torch.dtype, backward: bool) -> None:
        super().__init__()
        with torch.device('meta'):
            model = ours(scheme, num_frames, size)
        patches = num_frames * (size // 16) ** 2
        tokens = patches + (1 if model.backbone.mixes_time else num_frames)
        layers = [(module, tokens) for module in model.backbone.blocks.modules() if isinstance(module, nn.Linear)]
        shapes = [(rows, layer.in_features, layer.out_features) for layer, rows in layers]
        shapes += [(patches, 3 * 16 * 16, 768), (1, 768, 400)]
        self.backward_too = backward
        self.products = [
            (torch.randn(rows, k, dtype=dtype), torch.randn(n, k, dtype=dtype), torch.randn(rows, n, dtype=dtype))
            for rows, k, n in shapes
        ]

    def forward(self, _: Tensor) -> None:
        for x, weight, gradient in self.products:
            torch.mm(x, weight.T)
            if self.backward_too:
                torch.mm(gradient, weight)
                torch.mm(gradient.T, x)
