#!/usr/bin/env python
"""Plot t-SNE of video features, coloured by class, as in the paper's Figure 8: a panel for each file of
tools/extract_features.py, of the same videos:

python tools/analysis/plot_tsne.py tsne.png space.npy divided.npy --list LIST

Without --list the class of a video is the name of its folder. Needs scikit-learn: bash tools/install.sh analysis
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

from mmtsf.utils.arguments import check_exists, mistakes_of, new_parser
from mmtsf.utils.files import check_target

FORMATS = ('.npy', '.safetensors', '.parquet')


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    parser.add_argument('out', type=Path, help='picture to write, e.g. tsne.png')
    parser.add_argument('features', type=Path, nargs='+', help='.npy, .safetensors or .parquet, of --level video')
    parser.add_argument('--list', type=Path, help='annotation list with the labels of the videos')
    parser.add_argument('--root', type=Path, help="folder of the list's videos (default: that of the list)")
    parser.add_argument('--perplexity', type=float, help='of t-SNE (default: 30, or a third of fewer than 90 videos)')
    parser.add_argument('--seed', type=int, default=0, help='(default: 0)')
    args = parser.parse_args()
    with mistakes_of(parser):
        check(args)
    return args


def check(args: argparse.Namespace) -> None:
    """Check that inputs exist, the picture can be written, and scikit-learn is installed.

    Raises:
        OSError: If something does not exist, or cannot be written.
        ValueError: If a word has no meaning here.
    """
    if args.out.suffix != '.png':
        raise ValueError(f'OUT is {args.out}, expected a name that ends in .png')
    if len(set(args.features)) < len(args.features):
        raise ValueError('a file of features is given twice; give each once')
    for file in args.features:
        if file.suffix not in FORMATS:
            raise ValueError(f'{file} is given as features, expected a name that ends in {" or ".join(FORMATS)}')
        check_exists(file, 'a file of tools/extract_features.py')
    if args.list:
        check_exists(args.list, 'an annotation list')
    elif args.root:
        raise ValueError(f'--root is {args.root}, which is for --list; leave it out')
    if args.perplexity is not None and args.perplexity <= 0:
        raise ValueError(f'--perplexity is {args.perplexity}, expected more than 0')
    check_target(args.out, 'OUT', args.features)
    if find_spec('sklearn') is None:
        raise ValueError('t-SNE needs scikit-learn, which is not installed; run bash tools/install.sh analysis')


if __name__ == '__main__':
    parse_args()  # tells mistakes before the imports below, which take seconds

import os

import numpy as np
from sklearn.manifold import TSNE

from mmtsf.preparation.video_paths import list_source
from mmtsf.visualization import draw_points


def main() -> None:
    args = parse_args()
    tables = {file: read_features(file) for file in args.features}
    names = list(tables[args.features[0]])
    if odd := [file for file, table in tables.items() if set(table) != set(names)]:
        raise ValueError(f'{odd[0]} is of other videos than {args.features[0]}; extract features of the same list')
    labels = labels_of(names, args.list, args.root)
    perplexity = args.perplexity or min(30, len(names) / 3)
    panels = {}
    for file, table in tables.items():
        title = file.stem if len({one.stem for one in tables}) == len(tables) else str(file)
        features = np.stack([table[name] for name in names])
        panels[title] = TSNE(perplexity=perplexity, random_state=args.seed).fit_transform(features)
    draw_points(panels, labels, args.out)
    print(f'wrote {args.out}: {len(names)} videos of {len(set(labels))} classes')


def read_features(file: Path) -> dict[str, np.ndarray]:
    """Read features ``(C,)`` of videos by their names.

    Raises:
        FileNotFoundError: If there are no names beside a ``.npy`` file.
        ValueError: If the features are not of whole videos, or too few.
    """
    if file.suffix == '.npy':
        listed = file.with_suffix('.txt')
        check_exists(listed, 'the names of the videos, which tools/extract_features.py writes beside the features')
        text = listed.read_text(encoding='utf-8', errors='surrogateescape')
        names, features = text.splitlines(), np.load(file)
    elif file.suffix == '.safetensors':
        from safetensors.numpy import load_file

        names, features = zip(*load_file(file).items())
    else:
        from pyarrow import parquet

        table = parquet.read_table(file).to_pydict()
        names = table['video']
        features = [np.reshape(row, shape) for row, shape in zip(table['feature'], table['shape'])]
    if any(np.ndim(feature) != 1 for feature in features):
        raise ValueError(f'{file} has features of shape {np.shape(features[0])} a video, expected (C,): --level video')
    if len(names) < 4:
        raise ValueError(f'{file} has features of {len(names)} videos, expected at least 4')
    return dict(zip(names, features, strict=True))


def labels_of(names: list[str], source: Path | None, root: Path | None) -> list[str]:
    """Return the class of each video: the list's word for it, or its folder's name.

    Raises:
        ValueError: If the list names no class for one, or several.
    """
    if source is None:
        return [Path(name).parent.name for name in names]
    folder, videos = list_source(source, root, allow_outside=True)
    words = {os.path.abspath(folder / row.path): row.labels for row in videos.rows}
    labels = [words.get(os.path.abspath(name), []) for name in names]
    for name, found in zip(names, labels, strict=True):
        if len(found) != 1:
            raise ValueError(
                f'{source} gives {name} {len(found)} labels, expected one; give the list that '
                'tools/extract_features.py was given, and its --root'
            )
    return [label for (label,) in labels]


if __name__ == '__main__':
    main()
