"""Measure the cost of divided and joint attention against resolution and length, as in the paper's Figure 3.

Multiply-accumulates of a view are computed for all sizes. Memory of a forward pass beyond the weights, in bfloat16, is
measured, a process each, as far as joint attention stays bearable on a CPU.
"""

import multiprocessing
from pathlib import Path
from typing import Any

from mmtsf.utils.tables import new_table, rounded

ROOT = Path(__file__).parents[2]
#: Frames and pixels
SIZES = [(8, 224), (8, 336), (8, 448), (8, 560), (16, 224), (32, 224), (64, 224), (96, 224)]
#: Patches of a clip up to which memory is measured, by scheme
MEASURED = dict(divided=96 * 196, joint=32 * 196)


def write_costs(path: Path) -> None:
    """Write a row for each scheme and size."""
    sizes = [(scheme, frames, pixels) for scheme in MEASURED for frames, pixels in SIZES]
    with multiprocessing.get_context('spawn').Pool(1, maxtasksperchild=1) as pool:
        memory = pool.starmap(megabytes, sizes, chunksize=1)
    with new_table(path, ['scheme', 'frames', 'pixels', 'gigamacs', 'megabytes']) as write:
        for size, peak in zip(sizes, memory):
            write([*size, rounded(gigamacs(*size), 1), peak])


def config_of(scheme: str, frames: int, pixels: int) -> Any:
    """Make a config of the paper's width."""
    from mmengine.registry import init_default_scope

    from mmtsf.config import load_config

    init_default_scope('mmtsf')
    name = 'base' if scheme == 'divided' else scheme
    options = {'start': None, 'clip.num_frames': frames, 'clip.size': pixels}
    return load_config(str(ROOT / f'configs/timesformer_{name}_k400.py'), options)


def gigamacs(scheme: str, frames: int, pixels: int) -> float:
    """Count the multiply-accumulates of a view, in 10^9."""
    import torch

    from mmtsf.evaluation.model_costs import count_macs
    from mmtsf.registry import MODELS

    config = config_of(scheme, frames, pixels)
    with torch.device('meta'):
        model = MODELS.build(config.model).eval()
    return count_macs(model, config).total() / 1e9


def megabytes(scheme: str, frames: int, pixels: int) -> int | None:
    """Measure the peak memory of a forward pass in MB (Linux); None for sizes that are too large."""
    if frames * (pixels // 16) ** 2 > MEASURED[scheme]:
        return None
    import torch

    from mmtsf.engine.launch import keep_freed_memory
    from mmtsf.engine.profiling import peak_growth
    from mmtsf.registry import MODELS

    torch.set_grad_enabled(False)
    backbone = MODELS.build(config_of(scheme, frames, pixels).model.backbone).eval().bfloat16()
    clip = torch.randn(1, 3, frames, pixels, pixels, dtype=torch.bfloat16)
    keep_freed_memory()
    return round(peak_growth(lambda: backbone(clip)))
