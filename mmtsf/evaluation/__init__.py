"""Measure how good predictions are."""

from .video_accuracy import VideoAccuracy

__all__ = ['VideoAccuracy']
