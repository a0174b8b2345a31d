#!/usr/bin/env python
"""Find the videos that cannot be read, before training:

python tools/data/check_videos.py LIST --root VIDEOS
python tools/data/check_videos.py VIDEOS --full

Writes a list of the good ones, and bad.txt with paths and reasons. The same command goes on where it was interrupted.
"""

import argparse
import sys
from pathlib import Path

from mmtsf.utils.arguments import add_check_arguments, check_exists, mistakes_of, new_parser, refuse_mistakes
from mmtsf.utils.files import check_folder


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    parser.add_argument('source', type=Path, help='folder of videos, or annotation list ("path label" lines or csv)')
    parser.add_argument('--root', type=Path, help="folder of a list's videos (default: that of the list)")
    parser.add_argument('--out', type=Path, help='folder to write to (default: SOURCE.checked)')
    parser.add_argument('--allow-outside', action='store_true', help='let paths of a list lead out of that folder')
    add_check_arguments(parser)
    args = parser.parse_args()
    args.out = args.out or args.source.with_name(f'{args.source.name}.checked')
    with mistakes_of(parser):
        refuse_mistakes(args)
        check_exists(args.source, 'a folder of videos or an annotation list')
        if args.source.is_dir() and (args.root or args.allow_outside):
            raise ValueError(f'--root and --allow-outside are for lists, and {args.source} is a folder; leave them out')
        if args.root and not args.root.is_dir():
            raise NotADirectoryError(f'--root is {args.root}, which is no folder; give the one of the videos')
        check_folder(args.out, '--out')
    return args


if __name__ == '__main__':
    parse_args()  # tells mistakes before the imports below, which take seconds

from mmtsf.datasets.annotation_list import write_list
from mmtsf.preparation.check_videos import check_all
from mmtsf.preparation.video_paths import list_source


def main() -> int:
    args = parse_args()
    is_folder = args.source.is_dir()
    root, videos = list_source(args.source, args.root, args.allow_outside)
    out = args.out
    out.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(row.path for row in videos.rows))
    reasons = check_all(names, root, out / 'checked.tsv', args)
    bad = {name: reason for name, reason in reasons.items() if reason}
    write_list(out / f'good{".txt" if is_folder else args.source.suffix}', videos, {}, bad)
    lines = (f'{name}\t{reason}\n' for name, reason in bad.items())
    (out / 'bad.txt').write_text(''.join(lines), encoding='utf-8', errors='surrogateescape')
    print(f'{len(names) - len(bad)} good videos, {len(bad)} bad; the lists lie in {out}')
    return 1 if bad else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit('interrupted; the same command goes on from here')
