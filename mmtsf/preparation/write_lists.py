"""Write the lists of a data set of the paper, and a report of what is there, missing and broken."""

import argparse
import json
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from mmtsf.datasets.annotation_list import AnnotationList, Row, write_list
from mmtsf.utils.arguments import NUM_FRAMES
from mmtsf.utils.files import files_here, make_folder, write_text
from mmtsf.utils.read_text import read_names

from .annotations import SPLITS, AnnotationError, Annotations
from .check_videos import check_all
from .formats import FORMATS
from .match_files import Outcome, match_files, sort_out
from .preparation_report import as_markdown, make_report
from .video_paths import list_folder


def prepare(args: argparse.Namespace) -> None:
    """Write the lists of a data set.

    Args:
        args (argparse.Namespace): Arguments of :mod:`mmtsf.commands.prepare`.

    Raises:
        AnnotationError: If the annotations cannot be read, or no video belongs to them.
    """
    dataset = FORMATS[args.dataset]
    with files_here(args.annotations) as files:
        annotations = dataset.read(files)
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
    make_folder(args.out)
    reasons = {} if args.no_check else check_all(names, args.videos, args.out / 'broken.txt', args)
    outcome = sort_out(annotations.clips, matches, reasons)
    write_lists(args.out, annotations, outcome, reasons)
    write_lines(args.out / 'unmatched.txt', unmatched)
    report = make_report(args.dataset, annotations, outcome, unmatched, dataset.paper)
    depth = 'every frame' if args.full else f'{NUM_FRAMES} frames'
    checked = 'The files were not decoded.' if args.no_check else f'Of every file {depth} were decoded.'
    warnings = [f'Warning: {warning}.' for warning in annotations.warnings]
    write_report(args.out, report, [*warnings, *filter(None, [dataset.note]), checked])
    print_summary(report, args)


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
            found = [(path, clip.label) for clip, path in outcome.found if clip.split == split]
            rows = [Row('', path, [] if label is None else [str(label)]) for path, label in found]
            write_list(file, AnnotationList([], rows), {}, ())
        elif file.exists():
            print(f'removed {file}: these annotations have no such split; give all annotation files in one command')
            file.unlink()
    names = dict(enumerate(annotations.classes)) | {None: ''}
    write_lines(out / 'missing.txt', (f'{clip.name}\t{clip.split}\t{names[clip.label]}' for clip in outcome.missing))
    write_lines(out / 'broken.txt', (f'{path}\t{reason}' for path, reason in reasons.items() if reason))


def write_lines(file: Path, lines: Iterable[str]) -> None:
    write_text(file, ''.join(f'{line}\n' for line in lines))


def write_report(out: Path, report: dict, notes: list[str]) -> None:
    write_text(out / 'report.json', json.dumps(report | dict(notes=notes), indent=1))
    write_text(out / 'report.md', as_markdown(report, notes))


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
