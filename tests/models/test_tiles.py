"""The kernels of short groups are compiled for GPUs that are not here, by Triton's compiler and its assembler."""

import pytest
from runs import run_tool

pytest.importorskip('triton')

SCRIPT = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from mmtsf.models.kernels import tiles

def build(kernel, back, rows, with_cls, generation):
    options = tiles.constants(rows, 64, rows // (8 if rows == 64 else rows), with_cls, 'bf16', back)
    warps = options.pop('num_warps')
    kinds = dict(rows='*i32', share='*fp32', of_cls='*fp32', scale='fp32')
    kinds |= dict.fromkeys(('qkv', 'mixed', 'gradient', 'grad_qkv'), '*bf16')
    names = kernel.arg_names
    signature = {name: 'constexpr' if name in options else kinds.get(name, 'i32') for name in names}
    aligned = {(n,): [['tt.divisibility', 16]] for n, name in enumerate(names) if signature[name][0] == '*'}
    source = ASTSource(kernel, signature, {(names.index(key),): value for key, value in options.items()}, aligned)
    made = triton.compile(source, target=GPUTarget('cuda', generation, 32), options=dict(num_warps=warps))
    print(kernel.__name__, rows, generation, len(made.asm['cubin']), made.metadata.shared, 'wgmma' in made.asm['ptx'])

for rows, generation in [(64, 80), (64, 90), (128, 90), (256, 90)]:
    build(tiles._forward, 0, rows, rows == 256, generation)
    build(tiles._backward, 1, rows, rows == 256, generation)
"""
#: Bytes of shared memory that a program may take: of the smallest GPUs of a generation
SHARED = {'80': 99 * 1024, '90': 227 * 1024}


def test_kernels_are_compiled_for_gpus_and_fit_into_their_shared_memory() -> None:
    made = [line.split() for line in run_tool('-c', SCRIPT, TRITON_INTERPRET=None).splitlines()]
    assert len(made) == 8
    for _, _, generation, size, shared, multiplies_in_groups in made:
        assert int(size) > 0
        assert int(shared) <= SHARED[generation]
        assert multiplies_in_groups == str(generation == '90')  # by the tensor cores' own instruction
