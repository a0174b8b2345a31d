"""Open video files safely: media alone that name no other file, within the limits."""

import codecs
import os
import stat
from collections import Counter
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.stream import Disposition

from mmtsf.utils.media import IMAGES

from .broken import BrokenVideoError
from .held_file import HeldFile, hold, opened
from .limits import Limits
from .mp4_index import check_index

av.logging.set_level(av.logging.PANIC)
#: FFmpeg's demuxers of files that hold all of a video themselves. Playlists and scripts (hls, dash, concat, sdp, imf),
#: patterns of names (image2), devices and graphs (lavfi) are none of them
PLAIN = (
    'apng,asf,avi,av1,dv,gif,h261,h263,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mpegvideo,mxf,nut,obu,ogg,rm,vc1,vvc,'
    'yuv4mpegpipe,bmp_pipe,jpeg_pipe,png_pipe,webp_pipe'
)
#: The same, but what streams there are is found as they are read
STREAMED = 'flv,mpeg,mpegts'
#: Bytes of these that FFmpeg reads to find that out, decoding some
PROBED = 5_000_000
PNG = b'\x89PNG\r\n\x1a\n'
#: Bytes of packed texts and colour profiles, which may become a thousand times as many
MOST_PACKED = 2**17
#: Streams that are no film
STILLS = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails | Disposition.dependent
NO_VIDEO = 'PyAV finds no video that it can decode'
PLAYLIST = 'it is no video but text, as playlists and scripts are, which are not opened'
A_LARGE_FRAME = 'a frame has more pixels than limits.frame_pixels allows'
#: What FFmpeg says of frames that are larger than it may decode
TOO_LARGE = 'exceeds specified max pixel count'


def file_url(path: str | Path) -> str:
    """Name of a local file for FFmpeg, which takes ``12:30.mp4`` or a folder ``http:`` for an address."""
    return f'file:{os.path.abspath(path)}'


def takes_for_pattern(path: str) -> bool:
    """Whether FFmpeg looks for several images, as for ``%03d.gif``."""
    return '%' in os.path.abspath(path) and Path(path).suffix.lower() in IMAGES | {'.gif'}


def check_file(path: str) -> None:
    """Refuse what is no file: FIFOs, devices and sockets, which may be waited for, and links that lead nowhere.

    Raises:
        BrokenVideoError: If it is none, or empty.
    """
    if isinstance(path, HeldFile):
        with opened(path) as file:
            size = file.seek(0, os.SEEK_END)
    else:
        size = _size(path)
    if size == 0:
        raise BrokenVideoError(path, 'the file is empty')
    _check_texts(path)


def _size(path: str) -> int:
    """Bytes of a local file; errors are those of :func:`check_file`."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise BrokenVideoError(path, 'the file does not exist') from None
    except (OSError, ValueError) as error:  # e.g. a link to itself, a name with a NUL
        raise BrokenVideoError(path, f'the file cannot be opened: {getattr(error, "strerror", error)}') from None
    if not stat.S_ISREG(found.st_mode):
        raise BrokenVideoError(path, 'it is no regular file')
    return found.st_size


def _check_texts(path: str) -> None:
    """Refuse a PNG or APNG whose packed texts or colour profile may unpack to gigabytes, which FFmpeg keeps.

    Raises:
        BrokenVideoError: If they are longer than ``MOST_PACKED``.
    """
    packed = 0
    with opened(path) as file:
        if file.read(8) != PNG:
            return
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[:4], 'big')
            packed += length if head[4:] in (b'zTXt', b'iTXt', b'iCCP') else 0
            if packed > MOST_PACKED:
                raise BrokenVideoError(path, f'its texts and colour profile have more than {MOST_PACKED} bytes')
            file.seek(length + 4, 1)


def open_stream(path: str, limits: Limits = Limits(), again: bool = False) -> Any:
    """Open a video file with PyAV, for one thread; ``stream.container`` is to be closed.

    Args:
        path (str): Path of a file, an address, or what :func:`.hold` makes of one.
        limits (Limits): Sizes above which it is refused. Defaults to generous ones.
        again (bool): Whether it was opened before, so that what FFmpeg itself does not check is known. Defaults to
            False.

    Raises:
        BrokenVideoError: If it is no regular file, no plain media file or has no video, or is larger than the limits.

    Returns:
        VideoStream: The largest one that is no still, which decodes no frame above ``limits.frame_pixels``.
    """
    try:
        path = hold(path, limits)
        if not again:
            check_file(path)
            check_index(path, limits)
        stream = _best(path, _open(path, limits, again), limits)
        if not stream.width:  # FFmpeg does not tell it, or has met a frame that is too large
            with _best(path, _open(path, limits, again=True), limits).container as container:
                next(container.decode(stream.index), None)
    except av.FFmpegError as error:
        raise BrokenVideoError(path, reason(error, NO_VIDEO)) from error
    except OSError as error:
        raise BrokenVideoError(path, f'the file cannot be opened: {error.strerror or error}') from error
    limits.check_frame(path, stream.width, stream.height)
    limits.check_frames(path, stream.frames)
    return stream


def reason(error: Exception, otherwise: str) -> str:
    """Why FFmpeg could not go on, as far as it says so."""
    return A_LARGE_FRAME if TOO_LARGE in str(error) else otherwise


def _best(path: str, container: InputContainer, limits: Limits) -> Any:
    streams = [stream for stream in container.streams.video if stream.codec_context is not None]
    if not streams:
        container.close()
        raise BrokenVideoError(path, NO_VIDEO)
    stream = streams[0]
    if len(streams) > 1:
        lengths = _lengths(path, limits)
        stream = max(streams, key=lambda stream: _rank(stream, lengths[stream.index]))
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {'max_pixels': str(limits.frame_pixels)}
    return stream


def _lengths(path: str, limits: Limits) -> Counter[int]:
    """Packets of each video stream, which headers may not tell."""
    with _open(path, limits, again=True) as container:
        packets = islice(container.demux(*container.streams.video), 2 * limits.frames)
        return Counter(packet.stream_index for packet in packets if packet.size)


def _rank(stream: Any, length: int) -> tuple:
    """Moving pictures before stills such as covers; then the larger, those in colour (an alpha plane is gray), the
    longer, the earlier."""
    context = stream.codec_context
    is_still = bool(stream.disposition & STILLS) or length < 2
    is_gray = (context.pix_fmt or '').startswith('gray')
    return not is_still, context.width * context.height, not is_gray, length, -stream.index


def _open(path: str, limits: Limits, again: bool) -> InputContainer:
    max_pixels = str(limits.frame_pixels)
    try:
        return _open_as(path, PLAIN, max_pixels=max_pixels)
    except av.ArgumentError:  # how FFmpeg refuses a demuxer
        pass
    try:
        if not again:
            _check_streamed(path, limits)
        return _open_as(path, STREAMED)
    except av.ArgumentError as error:
        raise BrokenVideoError(path, reason(error, PLAYLIST if _is_text(path) else NO_VIDEO)) from error


def _is_text(path: str) -> bool:
    with opened(path) as file:
        return file.read(32).removeprefix(codecs.BOM_UTF8).decode('latin-1').replace('\n', '').isprintable()


def _open_as(path: str, demuxers: str, **options: str) -> InputContainer:
    """Open a file with one of these demuxers; what it names besides itself stays closed."""
    options |= dict(format_whitelist=demuxers, protocol_whitelist='file', enable_drefs='0')
    file: Any = file_url(path)
    if isinstance(path, HeldFile):
        file = opened(path)
        options['protocol_whitelist'] = 'none'
    elif takes_for_pattern(path):
        file = open(os.open(path, os.O_RDONLY), 'rb')  # noqa: SIM115  # which has no name
    return av.open(file, metadata_errors='ignore', options=options)


def _check_streamed(path: str, limits: Limits) -> None:
    """Decode the key frames among what FFmpeg will decode on opening, where it takes no limit of pixels itself.

    Raises:
        BrokenVideoError: If a frame is too large.
        av.FFmpegError: The same, or it is no such file.
    """
    with _open_as(path, STREAMED, codec_whitelist='none') as container:  # none is decoded on opening
        streams = [stream for stream in container.streams.video if stream.codec_context is not None]
        for stream in streams:
            stream.codec_context.options = {'max_pixels': str(limits.frame_pixels)}
            stream.codec_context.skip_frame = 'NONKEY'
        for packet in takewhile(lambda packet: (packet.pos or 0) < PROBED, container.demux(streams)):
            context: Any = packet.stream.codec_context
            if packet.stream not in streams or context is None:  # FFmpeg has changed its mind
                continue
            try:
                context.decode(packet)
            except av.FFmpegError as error:
                if TOO_LARGE in str(error):
                    raise
            limits.check_frame(path, context.width, context.height)
