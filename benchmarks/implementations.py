"""Build our model, the other implementations with the same weights, and the lower bound that they are compared with."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from mmengine.registry import init_default_scope
from timing import seconds_of
from torch import Tensor, nn

from mmtsf import compat
from mmtsf.config import load_config
from mmtsf.registry import MODELS
from mmtsf.weights import translate_back
from mmtsf.weights.write import hugging_face_config

init_default_scope('mmtsf')
CONFIG = str(Path(__file__).parents[1] / 'configs/timesformer_base_k400.py')
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
    config = load_config(CONFIG, changes).model
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


def _mm(x: Tensor, weight: Tensor) -> Tensor:
    return torch.mm(x, weight.T)


#: Products ``x @ weight.T`` of the libraries at hand; ``F.linear`` without a bias is ``torch.mm``
LIBRARIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {'torch.mm': _mm}
if compat.has_onednn():
    LIBRARIES['oneDNN'] = partial(compat.onednn_linear, bias=None)


@dataclass(frozen=True)
class Product:
    """The fastest way at hand to multiply ``(m, k)`` by ``(k, n)``.

    Args:
        library (str): One of :data:`LIBRARIES`.
        is_transposed (bool): Whether the second operand lies in memory as ``(k, n)``, not as ``(n, k)``.
        seconds (float): What it took.
    """

    library: str
    is_transposed: bool
    seconds: float

    @classmethod
    def best(cls, m: int, k: int, n: int, dtype: torch.dtype) -> 'Product':
        """Try every library with either layout; the best of two calls of each counts."""
        x, found = torch.randn(m, k, dtype=dtype), []
        for is_transposed in (False, True):
            weight = operand(n, k, dtype, is_transposed)
            for library, function in LIBRARIES.items():
                with suppress(RuntimeError):  # a library that does not take the type
                    call = partial(function, x, weight)
                    call()
                    found.append(cls(library, is_transposed, min(seconds_of(call) for _ in range(2))))
        return min(found, key=lambda product: product.seconds)


def operand(n: int, k: int, dtype: torch.dtype, is_transposed: bool) -> Tensor:
    """Return a random second operand ``(n, k)`` in either layout."""
    return torch.randn(k, n, dtype=dtype).T if is_transposed else torch.randn(n, k, dtype=dtype)


class Floor(nn.Module):
    """Run only the matrix products of the model's linear layers, with the same shapes and type: the lower bound.

    Each shape takes the library and the layout that are the fastest here. The patch embedding counts as one. With
    ``backward`` each has its two products of the backward pass, too.
    """

    def __init__(self, scheme: str, num_frames: int, size: int, dtype: torch.dtype, backward: bool) -> None:
        super().__init__()
        shapes = self.shapes(scheme, num_frames, size, backward)
        self.best = {shape: Product.best(*shape, dtype) for shape in dict.fromkeys(shapes)}
        self.counts = Counter(shapes)
        inputs = {(m, k): torch.randn(m, k, dtype=dtype) for m, k, _ in shapes}
        self.products = [
            (LIBRARIES[best.library], inputs[m, k], operand(n, k, dtype, best.is_transposed))
            for (m, k, n), best in ((shape, self.best[shape]) for shape in shapes)
        ]

    @staticmethod
    def shapes(scheme: str, num_frames: int, size: int, backward: bool) -> list[tuple[int, int, int]]:
        """Return rows, inputs and outputs of each product, in the order of the layers."""
        with torch.device('meta'):
            model = ours(scheme, num_frames, size)
        patches = num_frames * (size // 16) ** 2
        tokens = patches + (1 if model.backbone.mixes_time else num_frames)
        layers = [module for module in model.backbone.blocks.modules() if isinstance(module, nn.Linear)]
        shapes = [(tokens, layer.in_features, layer.out_features) for layer in layers]
        shapes += [(patches, 3 * 16 * 16, 768), (1, 768, 400)]
        if not backward:
            return shapes
        return [product for m, k, n in shapes for product in ((m, k, n), (m, n, k), (n, m, k))]

    def libraries(self) -> str:
        """Return the share of the operations that each library does."""
        shares: Counter = Counter()
        for (m, k, n), count in self.counts.items():
            shares[self.best[m, k, n].library] += count * m * k * n
        return ', '.join(f'{name} {share / shares.total():.0%}' for name, share in shares.most_common())

    def forward(self, _: Tensor) -> None:
        for product, x, weight in self.products:
            product(x, weight)
