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


def arguments() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument('out', type=Path, help='picture to write, e.g. tsne.png')
    parser.add_argument('features', type=Path, nargs='+', help='.npy, .safetensors or .parquet, of --level video')
    parser.add_argument('--list', type=Path, help='annotation list with the labels of the videos')
    parser.add_argument('--root', type=Path, help="folder of the list's videos (default: that of the list)")
    parser.add_argument('--perplexity', type=float, help='of t-SNE (default: 30, or a third of fewer than 90 videos)')
    parser.add_argument('--seed', type=int, default=0, help='(default: 0)')
    return parser


def parse_args() -> argparse.Namespace:
    parser = arguments()
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
    if args.perplexity is not None and not args.perplexity > 0:
        raise ValueError(f'--perplexity is {args.perplexity}, expected more than 0')
    if not 0 <= args.seed < 2**32:
        raise ValueError(f'--seed is {args.seed}, expected a number from 0 to {2**32 - 1}')
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
    with mistakes_of(arguments()):
        tables = read_tables(args.features)
        names = list(tables[args.features[0]])
        perplexity = perplexity_of(args.perplexity, len(names))
        labels = labels_of(names, args.list, args.root)
    panels = {}
    for file, table in tables.items():
        title = file.stem if len({one.stem for one in tables}) == len(tables) else str(file)
        features = np.stack([table[name] for name in names])
        panels[title] = TSNE(perplexity=perplexity, random_state=args.seed).fit_transform(features)
    draw_points(panels, labels, args.out)
    print(f'wrote {args.out}: {len(names)} videos of {len(set(labels))} classes')


def read_tables(files: list[Path]) -> dict[Path, dict[str, np.ndarray]]:
    """Read features by the names of their videos, for each file.

    Raises:
        ValueError: If they are not of the same videos.
    """
    tables = {file: read_features(file) for file in files}
    names = set(tables[files[0]])
    if odd := [file for file, table in tables.items() if set(table) != names]:
        raise ValueError(f'{odd[0]} is of other videos than {files[0]}; extract features of the same list')
    return tables


def perplexity_of(asked: float | None, videos: int) -> float:
    """Return the perplexity for a number of videos.

    Raises:
        ValueError: If it is one that t-SNE cannot reach: it is a number of neighbours.
    """
    if asked is not None and asked >= videos:
        raise ValueError(
            f'--perplexity is {asked:g}, expected less than the number of videos, {videos}; leave it out, or give '
            'features of more videos'
        )
    return asked or min(30, videos / 3)


def read_features(file: Path) -> dict[str, np.ndarray]:
    """Read features ``(C,)`` of videos by their names.

    Raises:
        FileNotFoundError: If there are no names beside a ``.npy`` file.
        ValueError: If the features are not of whole videos, too few, not finite, or not as many as the names.
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
    if len(names) != len(features):
        raise ValueError(f'{file} has {len(features)} features of {len(names)} names; extract them again')
    if any(np.ndim(feature) != 1 for feature in features):
        raise ValueError(f'{file} has features of shape {np.shape(features[0])} a video, expected (C,): --level video')
    if len(names) < 4:
        raise ValueError(f'{file} has features of {len(names)} videos, expected at least 4; extract features of more')
    if odd := [name for name, feature in zip(names, features) if not np.isfinite(feature).all()]:
        raise ValueError(f'{file} has features of {odd[0]} that are not finite; extract them with other weights')
    return dict(zip(names, features))


def labels_of(names: list[str], source: Path | None, root: Path | None) -> list[str]:
    """Return the class of each video: the list's word for it, or its folder's name.

    Raises:
        ValueError: If the list names no class for one, or several, or all videos are of one folder.
    """
    if source is None:
        folders = [Path(name).parent.name for name in names]
        if len(set(folders)) == 1:
            raise ValueError(
                f'all videos are of one folder, {folders[0] or "."}, and points are coloured by class; give --list, an '
                'annotation list, or features of videos in a folder for each class'
            )
        return folders
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
