"""Define the error that all decoders raise at a video they cannot read."""

from mmtsf.utils.locations import is_address
from mmtsf.utils.text import without_secrets


class BrokenVideoError(Exception):
    """A file that gives no clip: missing, truncated, too large, without a video stream, or not a video at all."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f'{without_secrets(path) if is_address(path) else path}: {reason}')
        self.reason = ' '.join(reason.split())

    @property
    def is_of_access(self) -> bool:
        """Whether it was raised for rights, a disk, a network, memory or a missing package, which may change while the
        file stays as it is."""
        seen: list[BaseException] = []
        cause: BaseException | None = self
        while cause is not None and cause not in seen:
            if isinstance(cause, (OSError, MemoryError, ImportError)) and not type(cause).__module__.startswith('av.'):
                return True
            seen.append(cause)
            cause = cause.__cause__ or cause.__context__
        return False
