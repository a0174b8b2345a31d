from .video_recognizer import VideoRecognizer

__all__ = ['VideoRecognizer']
