"""Prepare the paper's data sets: read their official annotations, and find the files that belong to them."""

from .annotations import AnnotationError, Annotations, Clip
from .formats import FORMATS, Format
from .match_files import Outcome, match_files, sort_out
from .preparation_report import as_markdown, make_report

__all__ = [
    'FORMATS',
    'AnnotationError',
    'Annotations',
    'Clip',
    'Format',
    'Outcome',
    'as_markdown',
    'make_report',
    'match_files',
    'sort_out',
]
