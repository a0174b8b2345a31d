from .loops import ResumableTrainLoop
from .runner import Runner

__all__ = ['ResumableTrainLoop', 'Runner']
