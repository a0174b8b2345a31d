#!/usr/bin/env python
"""Write annotation lists from a data set's official annotations and the videos on disk:

python tools/data/prepare.py kinetics400 --videos VIDEOS --annotations train.csv val.csv --out data/kinetics400
python tools/data/prepare.py ssv2 --videos VIDEOS --annotations labels.json train.json validation.json --out data/sthv2

Writes train_list.txt, val_list.txt, test_list.txt, classes.txt, what is missing, broken or belongs to no clip, and a
report. The same command goes on where it was interrupted. docs/datasets/ has a page for each data set.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from mmtsf.utils.arguments import NUM_FRAMES, add_check_arguments, mistakes_of, new_parser, refuse_mistakes
from mmtsf.utils.files import check_folder

#: Those of mmtsf.preparation.FORMATS
DATASETS = ('kinetics400', 'kinetics600', 'ssv2', 'diving48', 'howto100m')


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    parser.add_argument('dataset', choices=DATASETS)
    parser.add_argument('--videos', type=Path, required=True, help='folder of the videos, in folders or not')
    parser.add_argument('--annotations', type=Path, required=True, nargs='+', help='official files, in any order')
    parser.add_argument('--out', type=Path, required=True, help='folder to write to')
    parser.add_argument('--no-check', action='store_true', help='take every file for whole')
    add_check_arguments(parser)
    args = parser.parse_args()
    with mistakes_of(parser):
        refuse_mistakes(args)
        refuse_absent(args)
        check_folder(args.out, '--out')
    return args


def refuse_absent(args: argparse.Namespace) -> None:
    """Check that the given folders and files exist."""
    if not args.videos.is_dir():
        raise NotADirectoryError(f'{args.videos} is no folder; give the one that holds the videos')
    for file in args.annotations:
        if not file.is_file():
            raise FileNotFoundError(f'{file} is no file; give the annotation files of the data set')


if __name__ == '__main__':
    parse_args()  # tells mistakes before the imports below, which take seconds

from mmtsf.preparation import (
    FORMATS,
    AnnotationError,
    Annotations,
    Outcome,
    as_markdown,
    make_report,
    match_files,
    sort_out,
)
from mmtsf.preparation.annotations import SPLITS
from mmtsf.preparation.check_videos import check_all
from mmtsf.preparation.video_paths import list_folder
from mmtsf.utils.read_text import read_names


def main() -> int:
    args = parse_args()
    dataset = FORMATS[args.dataset]
    annotations = dataset.read(args.annotations)
    for warning in annotations.warnings:
        print(f'warning: {warning}', file=sys.stderr)
    refuse_other_classes(args.out / 'classes.txt', annotations)
    paths = list_folder(args.videos)
    matches = match_files(annotations.clips, paths, dataset.name_of_file)
    names = list(dict.fromkeys(path for found in matches.values() for path in found))
    unmatched = sorted(set(paths) - set(names))
    if unmatched and not names:
        raise AnnotationError(
            f'{args.videos}: none of its {len(unmatched)} video files has the name of a clip of {args.dataset}; one is '
            f'{unmatched[0]!r}, expected names such as {annotations.clips[0].name + ".mp4"!r}; rename the files, or '
            'give videos and annotations of the same data set'
        )
    args.out.mkdir(parents=True, exist_ok=True)
    reasons = {} if args.no_check else check_all(names, args.videos, args.out / 'checked.tsv', args)
    outcome = sort_out(annotations.clips, matches, reasons)
    write_lists(args.out, annotations, outcome, reasons)
    write_lines(args.out / 'unmatched.txt', unmatched)
    report = make_report(args.dataset, annotations, outcome, unmatched, dataset.paper)
    depth = 'every frame' if args.full else f'{NUM_FRAMES} frames'
    checked = 'The files were not decoded.' if args.no_check else f'Of every file {depth} were decoded.'
    warnings = [f'Warning: {warning}.' for warning in annotations.warnings]
    write_report(args.out, report, [*warnings, *filter(None, [dataset.note]), checked])
    print_summary(report, args)
    return 0


def refuse_other_classes(file: Path, annotations: Annotations) -> None:
    """Raise if the output folder has lists whose labels mean other classes."""
    try:
        is_other = file.exists() and read_names(file) != annotations.classes
    except ValueError:  # it was changed to what is no list of names
        is_other = True
    if is_other:
        raise AnnotationError(
            f'{file} has other classes than the {len(annotations.classes)} of these annotations, so the labels of the '
            'lists beside it mean others; give all annotation files in one command, and another --out, or delete this '
            'file if those lists may be replaced'
        )


def write_lists(out: Path, annotations: Annotations, outcome: Outcome, reasons: dict[str, str]) -> None:
    """Write the lists of every split, the classes, and what is missing or broken; remove lists of other splits."""
    write_lines(out / 'classes.txt', annotations.classes)
    expected = {clip.split for clip in annotations.clips}
    for split in SPLITS:
        file = out / f'{split}_list.txt'
        if split in expected:
            rows = ((path, clip.label) for clip, path in outcome.found if clip.split == split)
            write_lines(file, (path if label is None else f'{path} {label}' for path, label in rows))
        elif file.exists():
            print(f'removed {file}: these annotations have no such split; give all annotation files in one command')
            file.unlink()
    names = dict(enumerate(annotations.classes)) | {None: ''}
    write_lines(out / 'missing.txt', (f'{clip.name}\t{clip.split}\t{names[clip.label]}' for clip in outcome.missing))
    write_lines(out / 'broken.txt', (f'{path}\t{reason}' for path, reason in reasons.items() if reason))


def write_lines(file: Path, lines: Iterable[str]) -> None:
    file.write_text(as_lines(lines), encoding='utf-8', errors='surrogateescape')


def as_lines(lines: Iterable[str]) -> str:
    return ''.join(f'{line}\n' for line in lines)


def write_report(out: Path, report: dict, notes: list[str]) -> None:
    (out / 'report.json').write_text(json.dumps(report | dict(notes=notes), indent=1), encoding='utf-8')
    (out / 'report.md').write_text(as_markdown(report, notes), encoding='utf-8')


def print_summary(report: dict, args: argparse.Namespace) -> None:
    """Print the counts, and the options with which a config uses the lists."""
    for split, counts in report['splits'].items():
        shown = ', '.join(f'{counts[group]} {group}' for group in ('found', 'missing', 'broken', 'duplicates'))
        print(f'{split}: of {counts["expected"]} clips {shown}')
    print(f'video files that belong to no clip: {report["unmatched_files"]} (unmatched.txt)')
    classes = report['classes']
    if classes['expected'] != classes['paper']:
        print(f'the annotations name {classes["expected"]} classes, and the paper {classes["paper"]}')
    if not any(counts['found'] for counts in report['splits'].values()):
        print(f'no clip has a video that can be used: see missing.txt and broken.txt in {args.out}')
        return
    options = {
        'data.root': args.out,
        'data.video_dir': args.videos.resolve(),  # one that is not absolute would be looked for in data.root
        'data.classes': 'classes.txt',
        'data.num_classes': classes['expected'],
    }
    words = shlex.join(f'{key}={value}' for key, value in options.items())
    print(f'the lists and report.md lie in {args.out}; train with --cfg-options {words}')


if __name__ == '__main__':
    try:
        sys.exit(main())
    except AnnotationError as error:
        sys.exit(f'error: {error}')
    except KeyboardInterrupt:
        sys.exit('interrupted; the same command goes on from here')
