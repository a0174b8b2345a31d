from .timesformer import TimeSformer

__all__ = ['TimeSformer']
