"""The kernels that read short groups where they lie: run by Triton's interpreter on a CPU, or on a GPU."""

import pytest
import torch
from helpers import SCHEMES, assert_close, tiny_backbone, tiny_clips
from torch import Tensor, nn

from mmtsf.models.kernels import attend as attend_module
from mmtsf.models.kernels.attend import attend
from mmtsf.models.kernels.compile_blocks import compile_blocks
from mmtsf.models.kernels.in_place import (
    LITTLE_ROOM,
    ROOM,
    ROOMS,
    attend_by_operations,
    attend_in_place,
    attends_in_place,
    has_tile,
)
from mmtsf.models.layers import DropPath, Grid, Grouping, attention_step

pytest.importorskip('triton')
DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
ON_GPU = DEVICE == 'cuda'
#: Groups of a clip, members with the classification token, channels of a head, whether the token joins
SHAPES = [
    (9, 8, 64, False),
    (5, 15, 64, True),
    (2, 96, 64, False),
    (3, 37, 16, True),
    (2, 64, 128, True),
    (2, 65, 32, True),
    (7, 8, 24, False),
    (2, 1, 16, False),
    (1, 197, 64, True),
    (1, 256, 32, False),
]
#: Shapes for which an interpreter, which multiplies float32 alone, is given other numbers, too
SHORT = [(5, 15, 64, True), (7, 8, 24, False), (2, 1, 16, False)]
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
CASES = [(shape, dtype, ON_GPU or dtype == DTYPES[0] or shape in SHORT) for shape in SHAPES for dtype in DTYPES]


def groups(num_groups: int, members: int, with_cls: bool) -> Tensor:
    """Groups of the tokens of a clip in random order."""
    patches = 1 + torch.randperm(num_groups * (members - with_cls)).view(num_groups, -1)
    return torch.nn.functional.pad(patches, (int(with_cls), 0)).int()


def outcome(function, qkv: Tensor, gradient: Tensor, *arguments) -> list[Tensor]:
    """What a function gives, and the gradient of its operand."""
    qkv = qkv.clone().requires_grad_()
    mixed = function(qkv, *arguments)
    mixed.backward(gradient.to(mixed.dtype))
    return [mixed.detach().double().cpu(), qkv.grad.double().cpu()]


@pytest.mark.parametrize(
    ('num_groups', 'members', 'width', 'with_cls', 'dtype'),
    [pytest.param(*shape, dtype, marks=[pytest.mark.long] * (not is_quick)) for shape, dtype, is_quick in CASES],
    ids=str,
)
def test_kernels_attend_as_the_equations_do(num_groups, members, width, with_cls, dtype) -> None:
    if ON_GPU and not attends_in_place(torch.empty(1, device=DEVICE, dtype=dtype), members, width):
        pytest.skip('this GPU has no tile of that size')
    heads, rows = 2, groups(num_groups, members, with_cls)
    share = torch.rand(2 * num_groups) if with_cls else None
    qkv = torch.randn(2, 1 + int(rows.max()), 3 * heads * width).to(dtype)
    gradient = torch.randn(*qkv.shape[:2], heads * width).to(dtype)
    moved = [x if x is None else x.to(DEVICE) for x in (qkv, gradient, rows, share)]
    actual = outcome(attend_in_place, *moved, heads)
    shares = share if share is None else share.double()
    expected = outcome(attend_by_operations, qkv.double(), gradient, rows, shares, heads)
    exact = 2e-3 if ON_GPU else 1e-6  # a GPU rounds float32 to tf32 where that was asked for
    for one, other in zip(actual, expected, strict=True):
        apart = (one - other).abs().max() / other.abs().max()
        assert apart < (exact if dtype == torch.float32 else 1e-2)


def test_places_of_the_members_are_those_that_folding_takes() -> None:
    grid = Grid(4, 2, 6)
    tokens = torch.randn(2, 1 + grid.num_patches, 3)
    for axes in [('h w', 't', False), ('t', 'h w', True), ('t w', 'h', True), ('', 't h w', True)]:
        grouping = Grouping(*axes[:2], with_cls=axes[2])
        rows = grouping.rows(grid, torch.device('cpu'))
        assert rows.shape == (grouping.num_groups(grid), grouping.num_members(grid))
        assert_close(tokens[:, rows.long()].flatten(0, 1), grouping.fold(tokens, grid), atol=0)


@pytest.fixture
def in_place(monkeypatch) -> None:
    """Models take the kernels, whatever the device."""
    monkeypatch.setattr(attention_step.AttentionStep, '_has_kernel', lambda *_: True)


@pytest.mark.parametrize('attention', [*SCHEMES, dict(type='DividedAttention', order='parallel')], ids=str)
def test_a_model_with_kernels_is_the_model(attention, monkeypatch) -> None:
    model = tiny_backbone(attention, drop_path_rate=0.5, num_layers=3, num_heads=2).to(DEVICE).train()
    assert [block.drop_path.rate for block in model.blocks] == [0.0, 0.25, 0.5]  # without and with dropped groups
    clips = tiny_clips(2).to(DEVICE)
    found = []
    for has_kernel in (False, True):
        monkeypatch.setattr(attention_step.AttentionStep, '_has_kernel', lambda *_, has_kernel=has_kernel: has_kernel)
        torch.manual_seed(1)  # the same groups are dropped
        features = model(clips)
        weights = [p for p in model.parameters() if p.requires_grad]
        found.append([features, *torch.autograd.grad(features.square().sum(), weights, allow_unused=True)])
    for plain, kernel in zip(*found, strict=True):
        assert (plain is None) == (kernel is None)
        if plain is not None:
            assert (plain - kernel).abs().max() <= (1e-2 if ON_GPU else 1e-5) * plain.abs().max().clamp(min=1)


@pytest.mark.usefixtures('in_place')
@pytest.mark.parametrize(
    'attention',
    [pytest.param(name, marks=[pytest.mark.long] * (name != 'DividedAttention')) for name in SCHEMES],
)
def test_a_compiled_model_with_kernels_breaks_no_graph(attention) -> None:
    torch.compiler.reset()
    model = tiny_backbone(attention, num_layers=1).to(DEVICE)
    clips = tiny_clips(2).to(DEVICE)
    expected = model(clips)
    compiled = torch.compile(model, fullgraph=True, backend='aot_eager')
    assert_close(compiled(clips).detach(), expected.detach(), atol=1e-2 if ON_GPU else 1e-5)


def test_compiled_code_looks_up_what_a_gpu_was_found_to_have(monkeypatch) -> None:
    def chosen(x: Tensor, members: int) -> Tensor:
        return x + 1 if has_tile(members, 64, x.dtype, torch.device('cuda:3')) else x - 1

    def found(room: int, dtype: torch.dtype) -> list[bool]:
        monkeypatch.setitem(ROOMS, 3, room)
        torch.compiler.reset()
        compiled = torch.compile(chosen, fullgraph=True, backend='eager')
        return [float(compiled(torch.zeros((), dtype=dtype), members)) == 1 for members in (8, 128, 197, 257)]

    assert found(ROOM, torch.bfloat16) == [True, True, True, False]
    assert found(ROOM, torch.float32) == [True, False, False, False]
    assert found(LITTLE_ROOM, torch.float16) == [True, True, False, False]
    assert found(LITTLE_ROOM, torch.float32) == found(0, torch.float16) == found(ROOM, torch.float64) == [False] * 4


@pytest.mark.parametrize(
    ('name', 'layer'),
    [
        ('proj', nn.Sequential(nn.Linear(48, 48), nn.Dropout(0.1))),
        (
            'proj',
            type('Activated', (nn.Linear,), dict(forward=lambda self, x: nn.Linear.forward(self, x).relu()))(48, 48),
        ),
        ('drop_path', nn.Dropout(0.5)),
    ],
)
def test_a_layer_that_does_more_is_not_read_in_place(name, layer, monkeypatch) -> None:
    monkeypatch.setattr(attention_step, 'attends_in_place', lambda *_: True)
    step = tiny_backbone('DividedAttention').blocks[0].attention.steps.space
    grid, tokens = Grid(4, 2, 4), torch.empty(2, 33, 48, device='meta')
    assert step._has_kernel(tokens, grid)
    setattr(step, name, layer)
    assert not step._has_kernel(tokens, grid)


def test_no_clips_at_all_are_no_error() -> None:
    for share in (None, torch.ones(0)):
        qkv = torch.randn(0, 9, 3 * 16).requires_grad_()
        attend_in_place(
            qkv, groups(2, 5, True) if share is not None else groups(2, 4, False), share, 1
        ).sum().backward()
        assert qkv.grad.shape == qkv.shape


@pytest.mark.long  # 13 s
def test_a_compiled_model_may_predict_first_in_inference_mode() -> None:
    model = tiny_backbone('DividedAttention', num_layers=1).train()
    for module in model.modules():
        if isinstance(module, DropPath):
            module.rate = 0.5
    with torch.inference_mode():
        compile_blocks(model.blocks, torch.device('cpu'), backend='eager')
        model(tiny_clips(2))
    model(tiny_clips(2)).square().sum().backward()


def test_second_derivatives_are_those_of_the_equations() -> None:
    rows, share = groups(2, 5, True), torch.rand(2)
    qkv = torch.randn(1, 9, 3 * 16).double()
    hessians = []
    for function in (attend_by_operations, attend_in_place):
        x = qkv.float().requires_grad_()
        (first,) = torch.autograd.grad(function(x, rows, share, 1).pow(3).sum(), x, create_graph=True)
        hessians.append(torch.autograd.grad(first.square().sum(), x)[0])
    assert_close(*hessians, atol=1e-3 * float(hessians[0].abs().max()))


def test_short_groups_of_a_gpu_are_packed_and_many_are_cut(monkeypatch) -> None:
    q, k, v = torch.randn(3, 7, 2, 5, 16)
    expected, asked_less = attend(q, k, v), attend(q[:, :, 1:], k, v)
    monkeypatch.setattr(attend_module, 'attends_in_place', lambda *_: True)
    assert_close(attend_module._on_gpu(q, k, v), expected)
    assert_close(attend_module._on_gpu(q[:, :, 1:], k, v), asked_less)
    monkeypatch.setattr(attend_module, 'attends_in_place', lambda *_: False)
    monkeypatch.setattr(attend_module, 'MAX_GROUPS', 3)
    assert_close(attend_module._on_gpu(q, k, v), expected)


@pytest.mark.gpu
def test_more_groups_than_a_grid_has_places_are_attended_to_on_a_gpu() -> None:
    qkv = torch.randn(3, 70_000, 1, 300, 16, device='cuda', dtype=torch.bfloat16)
    mixed = attend(*qkv)
    assert_close(mixed[-1:].float(), attend(*qkv[:, -1:]).float(), atol=1e-2)
