#!/usr/bin/env python
"""A page in the browser that names what happens in a video, shows when, and where the model looks:

python tools/demo_web.py CONFIG CHECKPOINT --samples VIDEOS

Needs requirements/demo.txt. Nothing is fetched from elsewhere: the page works without a network.
"""

import argparse
import asyncio
import copy
import fcntl
import gc
import os
import re
import shutil
import signal
import stat
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

PREFIX = 'mmtsf-page-'  # of the folder of uploads and results


def own_folder() -> tempfile.TemporaryDirectory:
    """Make a temporary folder that is locked as long as this process lives; remove those of pages that were killed."""
    for left in Path(tempfile.gettempdir()).glob(f'{PREFIX}*'):
        with suppress(OSError):  # it is another user's, or its page lives
            lock = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left)
            finally:
                os.close(lock)
    while True:
        folder = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
        fcntl.flock(os.open(folder.name, os.O_RDONLY), fcntl.LOCK_EX)
        if Path(folder.name).exists():  # else another page that starts took it for a killed one's
            return folder


FOLDER = own_folder()
CACHE, WORK = Path(FOLDER.name, 'cache').resolve(), Path(FOLDER.name, 'work').resolve()
CACHE.mkdir()
WORK.mkdir()
# read on import
os.environ.update(GRADIO_TEMP_DIR=str(CACHE), GRADIO_EXAMPLES_CACHE=str(CACHE / 'examples'))
os.environ.update(GRADIO_ANALYTICS_ENABLED='False', GRADIO_ANALYTICS_MAX_EVENTS='100')

import gradio as gr
import numpy as np
import torch
from mmaction.models import BaseRecognizer
from mmengine.config import DictAction
from mmengine.dataset import Compose, pseudo_collate
from starlette.datastructures import MutableHeaders
from starlette.formparsers import MultiPartException
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse

from mmtsf.apis import (
    ClipPacker,
    attention_maps,
    best_classes,
    build_pipeline,
    init_recognizer,
    middle_clip,
    timeline,
    to_sample,
    write_attention,
)
from mmtsf.datasets.decoders import BrokenVideoError, Limits, VideoReader
from mmtsf.datasets.transforms import OpenVideo, SampleClips, SampleSegments
from mmtsf.datasets.transforms.read_video import blamed_on
from mmtsf.engine.launch import keep_freed_memory
from mmtsf.preparation.video_paths import videos_of
from mmtsf.visualization import draw_timeline

# videos are shown as they are; with a converter at hand, gradio would have it read samples, by rules of its own
gr.processing_utils.ffmpeg_installed = lambda: False


class FilesOnly(gr.route_utils.GradioMultiPartParser):
    """An upload of files: form fields that are none would be held in memory."""

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        if self._current_part.file is None:
            raise MultiPartException('The upload has a part without a file name, expected files alone')


gr.route_utils.GradioMultiPartParser = FilesOnly

TOPK = 5
SAMPLES = 8  # of a folder
MAX_CLIPS, MAX_CROPS, MAX_FRAMES = 10, 3, 96
MAX_WINDOWS = 400  # of a timeline
FRAME = 4096 * 2304  # pixels; what is called 4K passes
FULL_HD = 1920 * 1088
RATE = 30  # frames a second that count as one
WAITING = 16  # requests
UPLOADS = 20  # of the largest size that are kept at once
BLOCK = 2**15  # bytes that the smallest file counts as
REQUEST = 2**20  # bytes of a request that is no upload
FONTS = ['system-ui', 'sans-serif']  # of the reader's own machine
STYLE = """
.gradio-container { max-width: 1100px !important; margin: 0 auto }
footer { display: none !important }
"""
#: What the page and its API need of gradio's server; among the rest are proxies, editors and calls of ffmpeg
ROUTES = re.compile(
    r'/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt|pwa_icon)?/?|/(assets|static|svelte)/.+'
    r'|/gradio_api/(info|startup-events|app_id|upload|upload_progress|queue/(join|data|status)|cancel|reset'
    r'|(heartbeat|call|run)/[\w/]+|file=.+)/?'
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint of any known origin')
    parser.add_argument('--samples', help='video, or folder of videos, to choose from')
    parser.add_argument('--host', default='127.0.0.1', help='address to listen at; 0.0.0.0 lets others in')
    parser.add_argument('--port', type=int, default=7860)
    parser.add_argument('--max-megabytes', type=positive(int), default=200, help='largest upload (default: 200)')
    parser.add_argument('--max-minutes', type=positive(float), default=10, help='longest video (default: 10)')
    parser.add_argument('--max-seconds', type=positive(float), default=60, help='time for one video (default: 60)')
    parser.add_argument(
        '--keep-minutes', type=positive(float), default=60, help='time that uploads and results are kept (default: 60)'
    )
    parser.add_argument('--device', help='e.g. cpu or cuda:1 (default: the GPU if there is one)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE')
    return parser.parse_args()


def positive(kind: Callable) -> Callable:
    """A type of argument: a number above 0."""

    def convert(word: str) -> Any:
        value = kind(word)
        if not 0 < value < 1e9:
            raise ValueError(f'{word} is not above 0')
        return value

    convert.__name__ = f'{kind.__name__} above 0'
    return convert


class TimeIsUp(BrokenVideoError):
    """A video took all the time that a request has."""


class TimedReader(VideoReader):
    """A video that is decoded until a time, and whose frames are shrunk one by one, so that few large ones are held.

    Args:
        reader (VideoReader): The video.
        end (float): Time on the monotonic clock.
        shrink (Callable, optional): From a frame ``(H, W, 3)`` to a smaller one. Defaults to None: as they are.
    """

    def __init__(self, reader: VideoReader, end: float, shrink: Callable | None = None) -> None:
        self.reader, self.end, self.shrink = reader, end, shrink
        self.num_frames, self.fps = reader.num_frames, reader.fps
        reader.check_time = self.check_time  # many frames may be decoded on the way to a wanted one

    def check_time(self) -> None:
        """Raise :class:`TimeIsUp` when it is."""
        if time.monotonic() > self.end:
            raise TimeIsUp('video', 'its time is up')

    def stream(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        with blamed_on('video'):
            for frame in self.reader.stream(indices):
                self.check_time()
                yield self.shrink(frame) if self.shrink else frame

    def read(self, indices: np.ndarray) -> np.ndarray:
        wanted, places = np.unique(indices, return_inverse=True)
        frames = list(self.stream(wanted))
        with blamed_on('video'):  # its frames may differ in size
            return np.stack([frames[place] for place in places])


class Settings(NamedTuple):
    """What a visitor chooses."""

    clips: int
    crops: int
    frames: int


class Shown(NamedTuple):
    """What a visitor sees: names with scores, a plot, a video, a line of words."""

    names: dict[str, float] | None = None
    plot: str | None = None
    overlaid: str | None = None
    note: str = ''


class Demo:
    """A model, and what the page asks of it."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.model = init_recognizer(args.config, args.checkpoint, args.device, args.cfg_options, fused=True)
        self.classes = self.model.dataset_meta['classes']
        keep_freed_memory(self.model.data_preprocessor.device)
        self.covers = getattr(sampling_of(self.model), 'start', None) == 'cover'
        # no frame above 4K, and of all frames no more than the longest video has in full HD
        self.pixels = max(int(args.max_minutes * 60 * RATE), 1) * FULL_HD
        ours = Limits(FRAME, MAX_FRAMES * FRAME, frames=4 * self.pixels // FULL_HD)
        self.opener = next(t for t in build_pipeline(self.model).transforms if isinstance(t, OpenVideo))
        self.opener.limits = Limits(*map(min, astuple(ours), astuple(self.opener.limits)))
        # one thread for one request after the other: one pool of threads of torch, one pool of memory, no overlap
        self.worker = ThreadPoolExecutor(1)

    async def classify(self, video: str | None, clips: int, crops: int, frames: int) -> AsyncIterator[Shown]:
        """Names and scores, the timeline, the video with attention; each as soon as it is there."""
        if video is None:
            raise refusal('Upload a video or choose a sample first.')
        loop, steps = asyncio.get_running_loop(), self.steps(video, Settings(clips, crops, frames))
        try:
            while (shown := await loop.run_in_executor(self.worker, next, steps, None)) is not None:
                yield shown
        finally:  # also when the visitor has gone
            await loop.run_in_executor(self.worker, steps.close)
            await loop.run_in_executor(self.worker, gc.collect)  # figures refer to themselves, and hold their pixels

    def steps(self, video: str, settings: Settings) -> Iterator[Shown]:
        """What is shown after each clip and step; the request may be given up after each."""
        end = time.monotonic() + self.args.max_seconds
        shown = Shown()
        with tempfile.TemporaryDirectory(dir=WORK, ignore_cleanup_errors=True) as folder:
            try:
                reader = self.open(video, end)
                model = self.model_for(settings)
                for part in (self.name, self.draw_over_time, self.draw_attention):
                    for news in part(model, reader, shown, Path(folder)):
                        shown = news
                        yield shown
            except TimeIsUp:
                told = f'The {self.args.max_seconds:g} seconds that this page takes for a video are over'
                if shown.names is None:
                    raise refusal(f'{told}: choose a shorter video, or fewer clips and frames.') from None
                yield shown._replace(note=f'{told}; this is what was found until then.')
            except BrokenVideoError as error:
                raise refusal(f'This file is no video that can be read: {error.reason}.') from error
            except ValueError as error:  # e.g. a number of frames that the attention scheme cannot cut
                raise refusal(f'{error}.') from error

    def open(self, video: str, end: float) -> TimedReader:
        """Open a video until a time, if it is none that would keep the page busy for long.

        Raises:
            BrokenVideoError: If it cannot be read or is too large, or its time is up.
        """
        if not os.path.isfile(video):
            raise BrokenVideoError(video, 'it is no file')
        reader = TimedReader(self.opener.open(video), end)
        with blamed_on(video):
            height, width = reader.read(np.array([0])).shape[1:3]
        minutes = reader.num_frames / min(reader.fps or RATE, RATE) / 60
        if minutes > self.args.max_minutes:
            raise refusal(
                f'This video takes {minutes:.1f} minutes ({reader.num_frames} frames, at most {RATE} a second), this '
                f'page takes up to {self.args.max_minutes:g}. Cut it, or use tools/predict.py --timeline.'
            )
        if reader.num_frames * height * width > self.pixels:
            raise refusal(
                f'This video has {reader.num_frames} frames of {width} x {height}, this page takes as many pixels as '
                f'{self.args.max_minutes:g} minutes of 1920 x 1080 have. Cut it, or make it smaller.'
            )
        return reader

    def model_for(self, settings: Settings) -> BaseRecognizer:
        """The same model with a config of its own, in which clips, crops and frames are as a visitor chose."""
        model = copy.copy(self.model)
        model.cfg = copy.deepcopy(self.model.cfg)
        model.cfg.model.backbone.num_frames = settings.frames
        model.test_cfg = dict(self.model.test_cfg or {}, max_testing_views=1)
        for dataset, clips, crops in (('test', settings.clips, settings.crops), ('val', 1, 1)):
            for step in model.cfg[f'{dataset}_dataloader'].dataset.pipeline:
                name = step['type'].rpartition('.')[2]
                if name == 'SampleClips':
                    step.num_frames = settings.frames
                    if step.start == 'cover' and dataset == 'val':
                        step.start = 'middle'
                    step.num_clips = 1 if step.start == 'cover' else clips  # as many as the video's length takes
                elif name == 'SampleSegments':
                    step.clip_len, step.num_clips = settings.frames, clips
                elif name == 'CropViews':
                    step.num_crops = crops
        return model

    def name(self, model: BaseRecognizer, reader: TimedReader, shown: Shown, folder: Path) -> Iterator[Shown]:
        """Names by the mean of the clips so far; where clips cover the video, they are those of the timeline."""
        if self.covers:
            return
        pipeline = build_pipeline(model)
        packer = ClipPacker(pipeline)
        small = TimedReader(reader.reader, reader.end, packer.shrink)
        taken = sampling_of(model).transform(dict(total_frames=reader.num_frames, avg_fps=reader.fps, start_index=0))
        clips, scores = taken['frame_inds'].reshape(-1, taken['clip_len']), []
        for numbers in clips:
            sample = packer.pack(small.read(numbers))
            with torch.no_grad():
                scores.append(model.test_step(pseudo_collate([sample]))[0].pred_scores.item.cpu().numpy())
            yield shown._replace(names=self.best(scores), note=f'Clip {len(scores)} of {len(clips)}')

    def draw_over_time(self, model: BaseRecognizer, reader: TimedReader, shown: Shown, folder: Path) -> Iterator[Shown]:
        """The timeline; of a video for which there is no time, its beginning."""
        # where a clip has no distance of frames, it is the whole video
        whole = isinstance(sampling_of(model), SampleSegments)
        interval = max(reader.num_frames // model.cfg.model.backbone.num_frames, 1) if whole else None
        scenes, late = [], None
        try:
            for scene in islice(timeline(model, reader, interval), MAX_WINDOWS):
                scenes.append(scene)
                names = self.best([scene.scores for scene in scenes]) if self.covers else shown.names
                shown = shown._replace(names=names, note=f'Timeline: {len(scenes)} clips')
                yield shown
        except TimeIsUp as error:
            late = error
        if scenes:
            plot = folder / 'timeline.png'
            draw_timeline(scenes, self.classes, plot, TOPK)
            is_whole = len(scenes) < MAX_WINDOWS or scenes[-1].end >= reader.num_frames / (reader.fps or 1)
            cut = '' if is_whole else f'The timeline ends after {MAX_WINDOWS} clips: choose more frames a clip.'
            yield shown._replace(plot=str(plot), note=cut)
        if late:
            raise late

    def draw_attention(self, model: BaseRecognizer, reader: TimedReader, shown: Shown, folder: Path) -> Iterator[Shown]:
        """The video beside its attention."""
        pipeline = Compose(model.cfg.val_dataloader.dataset.pipeline)
        small = TimedReader(reader.reader, reader.end, ClipPacker(pipeline).shrink)
        clip = middle_clip(model, dict(to_sample('video'), reader=small))
        maps = attention_maps(model, clip.clip)
        overlaid = folder / 'attention.mp4'
        write_attention(reader, clip, {'attention': maps['attention']}, overlaid)
        yield shown._replace(overlaid=str(overlaid))

    def best(self, scores: list[np.ndarray]) -> dict[str, float]:
        """The best classes by the mean of scores ``(K,)``, by their names."""
        best = best_classes(np.mean(scores, axis=0), self.classes, TOPK)
        return dict(zip(best['names'], best['scores']))


def sampling_of(model: BaseRecognizer) -> SampleClips | SampleSegments:
    """What samples clips in the test pipeline of a model's config."""
    return next(t for t in build_pipeline(model).transforms if isinstance(t, (SampleClips, SampleSegments)))


def refusal(words: str) -> gr.Error:
    """An error that a visitor sees, in these words."""
    return gr.Error(words, print_exception=False)


class Page(gr.Blocks):
    """A page that checks whatever a visitor sends, before gradio reads, copies or fetches any of it."""

    async def preprocess_data(self, block_fn: Any, inputs: list, *args: Any, **kwargs: Any) -> list:
        checked = [check_input(block, value) for block, value in zip(block_fn.inputs, inputs)]
        return await super().preprocess_data(block_fn, checked, *args, **kwargs)


def check_input(block: gr.components.Component, value: Any) -> Any:
    """An input as it is passed on: a whole number in a slider's range, an upload of this page, a sample's number.

    Raises:
        gr.Error: If it is something else.
    """
    if isinstance(block, gr.Slider):
        is_whole = type(value) in (int, float) and value in range(int(block.minimum), int(block.maximum) + 1)
        if not is_whole:
            raise refusal(
                f'{block.label} are {str(value)[:50]!r}, expected a whole number from {block.minimum} to '
                f'{block.maximum}.'
            )
        return int(value)
    if isinstance(block, gr.Video):
        return None if value is None else {'path': str(uploaded(value)), 'meta': {'_type': 'gradio.FileData'}}
    if type(value) is not int or value not in range(len(block.samples)):
        raise refusal('This is no sample of this page.')
    return value


def uploaded(value: Any) -> Path:
    """The upload or sample that a visitor's value names.

    Raises:
        gr.Error: If it is none of this page's, or was deleted.
    """
    try:
        path = Path(value['path']).resolve(strict=True)
        if path.is_relative_to(CACHE) and path.is_file():
            return path
    except (TypeError, KeyError, ValueError, OSError):
        pass
    raise refusal('This video is not here, or no longer: upload it (again).')


class Gate:
    """Let through what the page needs, and nothing else of gradio's server; what is handed out stays inactive.

    Args:
        app (Callable): The server.
        max_bytes (int): Size of an upload.
    """

    def __init__(self, app: Callable, max_bytes: int) -> None:
        self.app, self.max_bytes = app, max_bytes

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope['type'] == 'lifespan':
            return await self.app(scope, receive, send)
        status, words = self.answer(scope) if scope['type'] == 'http' else (404, 'Not found')
        if words:
            return await PlainTextResponse(words, status)(scope, receive, send)

        async def inactive(message: dict) -> None:
            if message['type'] == 'http.response.start':
                MutableHeaders(scope=message)['X-Content-Type-Options'] = 'nosniff'
                if scope['path'].startswith('/gradio_api/'):
                    MutableHeaders(scope=message)['Content-Security-Policy'] = 'sandbox'
            await send(message)

        left = int(dict(scope['headers']).get(b'content-length', 0)) if scope['method'] == 'POST' else 0

        async def no_more_than_said() -> dict:
            nonlocal left
            message = await receive()
            left -= len(message.get('body', b''))
            return message if left >= 0 else {'type': 'http.disconnect'}

        return await self.app(scope, no_more_than_said, inactive)

    def answer(self, scope: dict) -> tuple[int, str]:
        """Why a request is refused; no words if it is not."""
        path, names = scope['path'], [name for name, _ in scope['headers']]
        file = path.partition('/gradio_api/file=')[2]
        if not ROUTES.fullmatch(path) or file and not Path(os.path.abspath(file)).is_relative_to(CACHE):
            return 404, 'Not found'
        if scope['method'] != 'POST':
            return 200, ''
        length = dict(scope['headers']).get(b'content-length', b'')
        if not length.isdigit() or names.count(b'content-length') > 1 or b'transfer-encoding' in names:
            return 411, 'The request does not say its length'
        is_upload = path.startswith('/gradio_api/upload')
        if int(length) > REQUEST + is_upload * self.max_bytes:
            return 413, 'The request exceeds the maximum allowed size'
        if is_upload and sum(found.st_size + BLOCK for _, found in below(CACHE)) > UPLOADS * self.max_bytes:
            return 507, 'This page holds as many uploads as it may: try again later'
        return 200, ''


def below(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Files and folders in a folder, those in a folder before it."""
    for parent, folders, files in os.walk(folder, topdown=False):  # passes over what is deleted meanwhile
        for path in (os.path.join(parent, name) for name in (*files, *folders)):
            with suppress(FileNotFoundError):
                yield path, os.lstat(path)


def delete_old(page: gr.Blocks, seconds: float) -> None:
    """Delete what gradio leaves for longer than its own files: uploads that broke off, empty folders."""
    kept = {path for block in page.blocks.values() for path in getattr(block, 'keep_in_cache', ())}
    for path, found in below(CACHE):
        if path not in kept and time.time() - found.st_ctime > seconds:
            with suppress(OSError):  # deleted since, or a folder that is not empty
                os.rmdir(path) if stat.S_ISDIR(found.st_mode) else os.unlink(path)


def build_page(demo: Demo) -> gr.Blocks:
    """The page: video and settings to the left, what the model says to the right."""
    args, backbone = demo.args, demo.model.cfg.model.backbone
    keep = max(int(args.keep_minutes * 60), 1)
    cleaning = dict(delete_cache=(max(min(keep // 2, 60), 1), keep))
    with Page(title='TimeSformer', analytics_enabled=False, fill_width=True, **cleaning) as page:
        gr.Markdown(
            f'# What happens in this video?\n{Path(args.config).stem}: {len(demo.classes)} classes. Videos of up '
            f'to {args.max_minutes:g} minutes and {args.max_megabytes} MB.'
        )
        with gr.Row():
            with gr.Column():
                video = gr.Video(label='Video', sources=['upload'], height=300, elem_id='video')
                if samples := samples_of(demo):
                    gr.Examples([[sample] for sample in samples], video, label='Samples')
                with gr.Accordion('Settings', open=False):
                    clips = gr.Slider(1, MAX_CLIPS, 1, step=1, label='Clips', info='over the video, averaged')
                    crops = gr.Slider(1, MAX_CROPS, 1, step=1, label='Crops', info='of each clip, side by side')
                    frames = gr.Slider(
                        2,
                        max(MAX_FRAMES, backbone.num_frames),
                        backbone.num_frames,
                        step=2,
                        label='Frames',
                        info=f'of a clip; trained with {backbone.num_frames}',
                    )
                button = gr.Button('What is it?', variant='primary', elem_id='classify')
            with gr.Column():
                names = gr.Label(label='Names', num_top_classes=TOPK, elem_id='names')
                overlaid = gr.Video(
                    label='Where it looks', autoplay=True, loop=True, height=300, interactive=False, elem_id='attention'
                )
                note = gr.Markdown(elem_id='note')
        gr.Markdown('### When')
        plot = gr.Image(show_label=False, interactive=False, buttons=['fullscreen', 'download'], elem_id='timeline')
        button.click(demo.classify, [video, clips, crops, frames], [names, plot, overlaid, note], api_name='classify')
    return page


def samples_of(demo: Demo) -> list[str]:
    """Samples to choose from; those that the page would refuse are named and left out."""
    samples = []
    for sample in videos_of(demo.args.samples)[:SAMPLES] if demo.args.samples else []:
        try:
            demo.open(sample, time.monotonic() + demo.args.max_seconds)
            samples.append(sample)
        except (BrokenVideoError, gr.Error) as error:
            print(f'{sample} is no sample: {error}')
    return samples


def main() -> None:
    args = parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the folder is removed
    page = build_page(Demo(args))
    frequency, keep = page.delete_cache

    def clean() -> None:
        while True:
            time.sleep(frequency)
            delete_old(page, keep + 2 * frequency)

    threading.Thread(target=clean, daemon=True).start()
    gc.collect()
    gc.freeze()  # what is there now stays; collecting what a request leaves takes milliseconds
    page.queue(max_size=WAITING, api_open=False).launch(
        server_name=args.host,
        server_port=args.port,
        max_file_size=f'{args.max_megabytes}mb',
        state_session_capacity=100,
        app_kwargs=dict(middleware=[Middleware(Gate, max_bytes=args.max_megabytes * 2**20)]),
        share=False,
        theme=gr.themes.Default(font=FONTS, font_mono=['monospace']),
        css=STYLE,
    )


if __name__ == '__main__':
    main()
