from .reader import read_checkpoint

__all__ = ['read_checkpoint']
