"""Define the error that all decoders raise at a video they cannot read."""

from mmtsf.utils.locations import is_address
from mmtsf.utils.text import without_secrets


class BrokenVideoError(Exception):
    """A file that gives no clip: missing, truncated, too large, without a video stream, or not a video at all."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f'{without_secrets(path) if is_address(path) else path}: {reason}')
        self.reason = reason
