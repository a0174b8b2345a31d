"""Load data: samplers, seeds, and a data loader that outlives its workers."""

from .sampler import SeededSampler
from .seeds import SeededIndex, SeededItems
from .video_loader import VideoLoader
from .worker_table import WorkerTable

__all__ = ['SeededIndex', 'SeededItems', 'SeededSampler', 'VideoLoader', 'WorkerTable']
