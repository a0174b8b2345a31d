"""Report how many clips were expected, found, missing and broken, beside the paper's counts."""

from collections import Counter
from typing import Any

from .annotations import SPLITS, Annotations, Clip
from .match_files import Outcome

COUNTS = ('expected', 'found', 'missing', 'broken', 'duplicates', 'other_split', 'other_label', 'spare_files')


def make_report(
    name: str, annotations: Annotations, outcome: Outcome, unmatched: list[str], paper: dict[str, int]
) -> dict[str, Any]:
    """Count the clips of every split and class.

    Every clip is expected once and either found, missing or broken. Duplicates are rows that name a clip again; some of
    them name another split or another label than the row in use. Spare files are those that a clip has beside the one
    in use.

    Args:
        name (str): Name of the data set.
        annotations (Annotations): What was expected.
        outcome (Outcome): What became of it.
        unmatched (list[str]): Video files that belong to no clip.
        paper (dict[str, int]): Classes and clips of each split in the paper.
    """
    clips = _clips_by_count(annotations, outcome)
    by_split = Counter((clip.split, count) for count in COUNTS for clip in clips[count])
    by_class = Counter((clip.split, clip.label, count) for count in COUNTS for clip in clips[count])
    splits = [split for split in SPLITS if any(by_split[split, count] for count in COUNTS)]
    return dict(
        dataset=name,
        classes=dict(paper=paper['classes'], expected=len(annotations.classes)),
        unmatched_files=len(unmatched),
        splits={
            split: dict(paper=paper.get(split)) | {count: by_split[split, count] for count in COUNTS}
            for split in splits
        },
        per_class=[
            dict(label=label, name=class_name)
            | {split: {count: by_class[split, label, count] for count in COUNTS} for split in splits}
            for label, class_name in enumerate(annotations.classes)
        ],
    )


def _clips_by_count(annotations: Annotations, outcome: Outcome) -> dict[str, list[Clip]]:
    in_use = {clip.name: clip for clip in annotations.clips}
    again = [(clip, in_use[clip.name]) for clip in annotations.duplicates]
    return dict(
        expected=annotations.clips,
        found=[clip for clip, _ in outcome.found],
        missing=outcome.missing,
        broken=outcome.broken,
        duplicates=annotations.duplicates,
        other_split=[clip for clip, used in again if clip.split != used.split],
        other_label=[clip for clip, used in again if None not in (clip.label, used.label) and clip.label != used.label],
        spare_files=[clip for clip, _ in outcome.spare],
    )


def as_markdown(report: dict[str, Any], notes: list[str]) -> str:
    """Format the report as Markdown: a table of the splits, the notes, and a table of the classes.

    Args:
        report (dict[str, Any]): What :func:`make_report` returns.
        notes (list[str]): Sentences to stand between the tables.
    """
    words = [count.replace('_', ' ') for count in COUNTS]
    by_split = [
        [split, f'{counts["paper"] // 1000}K' if counts['paper'] else '', *(counts[count] for count in COUNTS)]
        for split, counts in report['splits'].items()
    ]
    by_class = [
        [row['label'], row['name'].replace('|', '\\|'), split, *(row[split][count] for count in COUNTS)]
        for row in report['per_class']
        for split in report['splits']
        if any(row[split].values())
    ]
    return '\n'.join(
        [
            f'# {report["dataset"]}\n',
            *_table(['split', "the paper's", *words], by_split),
            f'\nClasses: {report["classes"]["expected"]}; in the paper: {report["classes"]["paper"]}.\n',
            f'Video files that belong to no clip: {report["unmatched_files"]}.\n',
            *(f'{note}\n' for note in notes),
            *_table(['label', 'class', 'split', *words], by_class),
            '',
        ]
    )


def _table(header: list[str], rows: list[list]) -> list[str]:
    return [f'| {" | ".join(map(str, row))} |' for row in (header, ['---'] * len(header), *rows)]
