from .sampler import SeededSampler
from .video_loader import VideoLoader
from .worker_table import WorkerTable

__all__ = ['SeededSampler', 'VideoLoader', 'WorkerTable']
