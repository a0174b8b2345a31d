#!/usr/bin/env python
"""Make lists for training from a data set's official annotations and the videos on disk:

python tools/data/prepare.py kinetics400 --videos VIDEOS --annotations train.csv val.csv --out data/kinetics400
python tools/data/prepare.py ssv2 --videos VIDEOS --annotations labels.json train.json validation.json --out data/sthv2

Writes train_list.txt, val_list.txt, test_list.txt, classes.txt, what is missing or broken, and a report. The same
command goes on where it was interrupted. docs/datasets/ has a page for each data set.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from mmtsf.datasets.annotations import (
    FORMATS,
    AnnotationError,
    Annotations,
    Outcome,
    as_markdown,
    make_report,
    match_files,
    sort_out,
)
from mmtsf.datasets.check_files import NUM_FRAMES, add_arguments, check_all, refuse_mistakes
from mmtsf.datasets.list_files import list_folder


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('dataset', choices=FORMATS)
    parser.add_argument('--videos', type=Path, required=True, help='folder of the videos, in folders or not')
    parser.add_argument('--annotations', type=Path, required=True, nargs='+', help='official files, in any order')
    parser.add_argument('--out', type=Path, required=True, help='folder to write to')
    parser.add_argument('--no-check', action='store_true', help='take every file for whole')
    add_arguments(parser)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    refuse_mistakes(args)
    if not args.videos.is_dir():
        raise AnnotationError(f'{args.videos} is no folder; give the one that holds the videos')
    for file in args.annotations:
        if not file.is_file():
            raise AnnotationError(f'{file} is no file; give the annotation files of the data set')
    dataset = FORMATS[args.dataset]
    annotations = dataset.read(args.annotations)
    paths = [path for (path,) in list_folder(args.videos)]
    matches = match_files(annotations.clips, paths, dataset.name_of_file)
    names = list(dict.fromkeys(path for found in matches.values() for path in found))
    args.out.mkdir(parents=True, exist_ok=True)
    reasons = {} if args.no_check else check_all(names, args.videos, args.out / 'checked.tsv', args)
    outcome = sort_out(annotations.clips, matches, reasons)
    write_lists(args.out, annotations, outcome, reasons)
    report = make_report(args.dataset, annotations, outcome, dataset.paper)
    depth = 'every frame' if args.full else f'{NUM_FRAMES} frames'
    checked = 'The files were not decoded.' if args.no_check else f'Of every file {depth} were decoded.'
    others = f'Video files that belong to no clip: {len(paths) - len(names)}.'
    write_report(args.out, report, [note for note in (dataset.note, checked, others) if note])
    print_summary(report, args)
    return 0


def write_lists(out: Path, annotations: Annotations, outcome: Outcome, reasons: dict[str, str]) -> None:
    """Write the lists of every split, the classes, and what is missing or broken."""
    for split in dict.fromkeys(clip.split for clip in annotations.clips):
        rows = ((path, clip.label) for clip, path in outcome.found if clip.split == split)
        lines = (path if label is None else f'{path} {label}' for path, label in rows)
        write_lines(out / f'{split}_list.txt', lines)
    write_lines(out / 'classes.txt', annotations.classes)
    names = dict(enumerate(annotations.classes)) | {None: ''}
    write_lines(out / 'missing.txt', (f'{clip.name}\t{clip.split}\t{names[clip.label]}' for clip in outcome.missing))
    write_lines(out / 'broken.txt', (f'{path}\t{reason}' for path, reason in reasons.items() if reason))


def write_lines(file: Path, lines: Iterable[str]) -> None:
    file.write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8', errors='surrogateescape')


def write_report(out: Path, report: dict, notes: list[str]) -> None:
    (out / 'report.json').write_text(json.dumps(report | dict(notes=notes), indent=1), encoding='utf-8')
    (out / 'report.md').write_text(as_markdown(report, notes), encoding='utf-8')


def print_summary(report: dict, args: argparse.Namespace) -> None:
    """Print the counts, and the options with which a config uses the lists."""
    for split, counts in report['splits'].items():
        shown = ', '.join(f'{counts[group]} {group}' for group in ('found', 'missing', 'broken', 'duplicates'))
        print(f'{split}: of {counts["expected"]} clips {shown}')
    classes = report['classes']
    if classes['expected'] != classes['paper']:
        print(f'the annotations name {classes["expected"]} classes, and the paper {classes["paper"]}')
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
