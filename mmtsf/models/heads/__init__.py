from .timesformer_head import TimeSformerHead

__all__ = ['TimeSformerHead']
