"""Measure how good predictions are, and what they cost."""

from .video_accuracy import VideoAccuracy

__all__ = ['VideoAccuracy']
