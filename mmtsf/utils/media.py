"""Tell videos and images from other files by their names."""

import os
import re

#: Suffixes of videos, each of a container that the decoders open
VIDEOS = {
    *('.264', '.265', '.266', '.3g2', '.3gp', '.asf', '.avi', '.divx', '.dv', '.f4v', '.flv', '.gif', '.h264', '.h265'),
    *('.hevc', '.insv', '.ivf', '.m1v', '.m2p', '.m2t', '.m2ts', '.m2v', '.m4v', '.mjpeg', '.mjpg', '.mkv', '.mod'),
    *(
        '.mov',
        '.mp4',
        '.mpe',
        '.mpeg',
        '.mpeg4',
        '.mpg',
        '.mpv',
        '.mts',
        '.mxf',
        '.nut',
        '.obu',
        '.ogg',
        '.ogm',
        '.ogv',
    ),
    *('.qt', '.rm', '.rmvb', '.tod', '.tp', '.trp', '.ts', '.vob', '.webm', '.wmv', '.y4m'),
}
SUFFIXES = ' '.join(sorted(VIDEOS))
#: Suffixes of annotation lists
LISTS = ('.txt', '.csv', '.tsv')
#: Those of videos that cameras on the web send without an end
OF_CAMERAS = ('.mjpg', '.mjpeg')
#: Suffixes of images, which may be frames of a folder
IMAGES = {'.jpg', '.jpeg', '.png', '.bmp', '.webp'}


def is_video(path: str) -> bool:
    """Return whether a name has the suffix of a video."""
    return suffix_of(path) in VIDEOS


def is_list(path: str) -> bool:
    """Return whether a name has the suffix of an annotation list."""
    return suffix_of(path) in LISTS


def suffix_of(path: str) -> str:
    """Return the suffix of a name or an address, in small letters."""
    return os.path.splitext(without_query(path))[1].lower()


def without_query(path: str) -> str:
    """Return an address on the web without what stands behind its path, as keys of one that is signed; others as they
    are."""
    return re.split('[?#]', path, maxsplit=1)[0] if re.match('https?://', path, re.IGNORECASE) else path


def is_frame(name: str) -> bool:
    """Return whether a file has the name of an image and is not hidden, as ``._img_1.jpg`` of macOS is."""
    stem, _, suffix = name.rpartition('.')
    return name[:1] != '.' and stem != '' and f'.{suffix.lower()}' in IMAGES
