"""Load data: samplers, seeds, stacked batches, and a data loader that outlives its workers."""

from .sampler import SeededSampler
from .seeds import SeededIndex, SeededItems
from .send_ahead import sent_ahead
from .stacked_batch import StackedBatch, stacked
from .video_loader import VideoLoader
from .worker_table import WorkerTable
from .workers import number_of_workers, with_workers

__all__ = [
    'SeededIndex',
    'SeededItems',
    'SeededSampler',
    'StackedBatch',
    'VideoLoader',
    'WorkerTable',
    'number_of_workers',
    'sent_ahead',
    'stacked',
    'with_workers',
]
