"""Sizes of the models against the paper's (Table 1 and section 4.1) and the image models'."""

import pytest
import torch

from mmtsf.registry import MODELS


def count(*configs: dict) -> int:
    """Parameters of the modules, without memory for them."""
    with torch.device('meta'):
        return sum(parameter.numel() for config in configs for parameter in MODELS.build(config).parameters())


@pytest.mark.parametrize(
    ('scheme', 'num_classes', 'expected'),
    [
        ('Space', 174, 85_932_462),
        ('Joint', 174, 85_938_606),
        ('Divided', 174, 121_392_558),
        ('LocalGlobal', 174, 121_392_558),
        ('Axial', 174, 156_846_510),
        ('Space', 400, 86_106_256),
        ('Joint', 400, 86_112_400),
        ('Divided', 400, 121_566_352),
    ],
)
def test_base_models_have_the_papers_number_of_parameters(scheme: str, num_classes: int, expected: int) -> None:
    backbone = dict(type='TimeSformer', attention=dict(type=f'{scheme}Attention'), num_frames=8)
    head = dict(type='TimeSformerHead', num_classes=num_classes, in_channels=768)
    assert count(backbone, head) == expected


@pytest.mark.parametrize(
    ('embed_dims', 'num_heads', 'num_layers', 'expected'),
    [
        (384, 6, 12, 21_665_664),
        (768, 12, 12, 85_798_656),
        (1024, 16, 24, 303_301_632),
    ],
    ids=['ViT-S', 'ViT-B', 'ViT-L'],
)
def test_space_attention_is_as_large_as_the_image_model(
    embed_dims: int, num_heads: int, num_layers: int, expected: int
) -> None:
    """Against ViT-S/16, ViT-B/16 and ViT-L/16 without their classifier."""
    sizes = dict(embed_dims=embed_dims, num_heads=num_heads, num_layers=num_layers)
    assert count(dict(type='TimeSformer', attention=dict(type='SpaceAttention'), **sizes)) == expected


@pytest.mark.parametrize(
    ('embed_dims', 'num_heads', 'num_layers'),
    [(384, 6, 12), (768, 12, 12), (1024, 16, 24)],
    ids=['ViT-S', 'ViT-B', 'ViT-L'],
)
def test_an_added_step_costs_one_norm_and_five_square_matrices_a_block(
    embed_dims: int, num_heads: int, num_layers: int
) -> None:
    sizes = dict(embed_dims=embed_dims, num_heads=num_heads, num_layers=num_layers)
    joint, divided, axial = (
        count(dict(type='TimeSformer', attention=dict(type=f'{scheme}Attention'), **sizes))
        for scheme in ('Joint', 'Divided', 'Axial')
    )
    step = 5 * embed_dims**2 + 5 * embed_dims + 2 * embed_dims  # qkv, proj and the second linear; their biases; norm
    assert divided - joint == axial - divided == num_layers * step
