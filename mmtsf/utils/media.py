"""Tell videos and images from other files by their names."""

import os

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
#: Suffixes of images, which may be frames of a folder
IMAGES = {'.jpg', '.jpeg', '.png', '.bmp', '.webp'}


def is_video(path: str) -> bool:
    """Return whether a name has the suffix of a video."""
    return os.path.splitext(path)[1].lower() in VIDEOS


def is_frame(name: str) -> bool:
    """Return whether a file has the name of an image and is not hidden, as ``._img_1.jpg`` of macOS is."""
    stem, _, suffix = name.rpartition('.')
    return name[:1] != '.' and stem != '' and f'.{suffix.lower()}' in IMAGES
