#!/usr/bin/env python
"""Cost of divided and joint attention against resolution and length, as in the paper's Figure 4:

python tools/study/costs.py study

Multiply-accumulates of a view are computed for all sizes. Memory of a forward pass beyond the weights, in bfloat16, is
measured, a process each, as far as joint attention stays bearable on a CPU. Writes costs.csv and costs.png.
"""

import argparse
import csv
import runpy
import subprocess
import sys
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmtsf.config import load_config
from mmtsf.launch import keep_freed_memory
from mmtsf.measure import peak_growth
from mmtsf.registry import MODELS

ROOT = Path(__file__).parents[2]
SCHEMES = ('divided', 'joint')
#: Frames and pixels
SIZES = {
    'pixels': [(8, 224), (8, 336), (8, 448), (8, 560)],
    'frames': [(8, 224), (16, 224), (32, 224), (64, 224), (96, 224)],
}
#: Patches of a clip up to which memory is measured
MEASURED = dict(divided=96 * 196, joint=32 * 196)


def config_of(scheme: str, frames: int, pixels: int) -> Config:
    """A config of the paper's width."""
    name = 'base' if scheme == 'divided' else scheme
    options = {'start': None, 'clip.num_frames': frames, 'clip.size': pixels}
    return load_config(str(ROOT / f'configs/timesformer_{name}_k400.py'), options)


def gigamacs(scheme: str, frames: int, pixels: int) -> float:
    """Multiply-accumulates of a view, in 10^9."""
    config = config_of(scheme, frames, pixels)
    with torch.device('meta'):
        model = MODELS.build(config.model).eval()
    count = runpy.run_path(str(ROOT / 'tools/analysis/get_flops.py'))['count_macs']
    return count(model, config).total() / 1e9


def megabytes(*size: object) -> float:
    """Memory of a forward pass beyond the weights, measured in a process of its own."""
    command = [sys.executable, __file__, '--measure', *map(str, size)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


@torch.no_grad()
def measure(scheme: str, frames: int, pixels: int) -> float:
    """Peak memory of this process in a forward pass, less that before, MB; on Linux."""
    backbone = MODELS.build(config_of(scheme, frames, pixels).model.backbone).eval().bfloat16()
    clip = torch.randn(1, 3, frames, pixels, pixels, dtype=torch.bfloat16)
    keep_freed_memory()
    return peak_growth(lambda: backbone(clip))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, nargs='?', default=Path('study'), help='folder to write to')
    parser.add_argument('--measure', nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    init_default_scope('mmtsf')
    if args.measure:
        scheme, frames, pixels = args.measure
        print(measure(scheme, int(frames), int(pixels)))
        return
    args.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for scheme in SCHEMES:
        for frames, pixels in dict.fromkeys(size for sizes in SIZES.values() for size in sizes):
            small = frames * (pixels // 16) ** 2 <= MEASURED[scheme]
            memory = round(megabytes(scheme, frames, pixels)) if small else None
            rows.append(
                dict(
                    scheme=scheme,
                    frames=frames,
                    pixels=pixels,
                    gigamacs=round(gigamacs(scheme, frames, pixels), 1),
                    megabytes=memory,
                )
            )
            print(rows[-1], flush=True)
    with (args.out / 'costs.csv').open('w', newline='') as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, args.out / 'costs.png')


def draw(rows: list[dict], path: Path) -> None:
    """Curves of both costs against both axes."""
    figure, axes = plt.subplots(2, 2, figsize=(9, 6), layout='constrained')
    for column, (axis, sizes) in enumerate(SIZES.items()):
        for line, (cost, unit) in enumerate(
            {'gigamacs': '10⁹ multiply-accumulates', 'megabytes': 'memory, MB'}.items()
        ):
            for scheme in SCHEMES:
                points = [row for row in rows if row['scheme'] == scheme and (row['frames'], row['pixels']) in sizes]
                points = [(row[axis], row[cost]) for row in points if row[cost] is not None]
                axes[line, column].plot(*zip(*points), 'o-', label=scheme)
            axes[line, column].set(xlabel=axis, ylabel=unit, ylim=(0, None))
            axes[line, column].spines[['top', 'right']].set_visible(False)
    axes[0, 0].legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == '__main__':
    main()
