"""Recognise YouTube's ids in the names that downloaders give to files."""

import re

ID = '[A-Za-z0-9_-]{11}'
YOUTUBE_ID = re.compile(ID)
#: Default names of yt-dlp, ``Title [ID]``, and of youtube-dl, ``Title-ID``
TITLED = re.compile(rf'.*(?:\[({ID})\]|-({ID}))')


def youtube_id(stem: str) -> str:
    """Return the id at the end of a downloader's default file name; other names stay as they are.

    Any 11 characters behind the last hyphens may be an id, so the caller must look whether it expects that one.
    """
    found = TITLED.fullmatch(stem)
    return found[1] or found[2] if found else stem
