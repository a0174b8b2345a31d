"""Build the page: the video with attention and timeline to the left, samples, settings and names to the right."""

import argparse
import time
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from mmtsf.datasets.decoders import BrokenVideoError
from mmtsf.preparation.video_paths import videos_of

from .attention import ALL
from .gate import Gate
from .inputs import Page
from .model import TOPK, Demo

SAMPLES = 12  # of a folder
WAITING = 16  # requests
FONTS = ['system-ui', 'sans-serif']  # of the reader's own machine
SCRIPT, STYLE = (Path(__file__).with_name(name).read_text(encoding='utf-8') for name in ('page.js', 'page.css'))
TITLE = 'Action recognition with TimeSformer'
INFO = dict(clips='over the video, averaged', crops='of each clip, averaged', frames='of a clip; trained with {}')

# videos are shown as they are; with a converter at hand, gradio would have it read samples, by rules of its own
gr.processing_utils.ffmpeg_installed = lambda: False


def build_page(demo: Demo) -> gr.Blocks:
    """Build the page: the video to the left, what to do with it and what it is to the right."""
    args = demo.args
    keep = max(int(args.keep_minutes * 60), 1)
    cleaning = (max(min(keep // 2, 60), 1), keep)
    with Page(title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=cleaning) as page:
        samples = samples_of(demo)
        classes = [Path(sample).parent.name for sample in samples]
        part('header', dict(title=TITLE, model=Path(args.config).stem, classes=demo.classes, samples=classes))
        with gr.Row():
            with gr.Column(scale=3, min_width=340):
                limits = f'up to {args.max_minutes:g} minutes, {args.max_megabytes} MB'
                video = gr.Video(label=f'Video, {limits}', sources=['upload'], height=400, elem_id='video')
                attention = part('attention', visible=bool(demo.attention))
                timeline = part('timeline')
            with gr.Column(scale=2, min_width=300):
                if samples:
                    rows = [[sample] for sample in samples]
                    gr.Examples(rows, video, label='Samples', elem_id='samples', examples_per_page=SAMPLES)
                button = gr.Button('Recognize', variant='primary', elem_id='classify')
                note = part('note')
                names = part('names', rows=min(TOPK, len(demo.classes)))
                settings = settings_of(demo)
        outputs = [names, timeline, attention, note]
        button.click(demo.classify, [video, *settings], outputs, api_name='classify', show_progress='minimal')
    return page


def part(name: str, value: Any = None, **more: Any) -> gr.HTML:
    """Make a part of the page that our script draws of JSON: no text is ever read as HTML."""
    draw = f"const draw = () => demo.{name}(element.querySelector('div'), props); draw(); watch('value', draw)"
    return gr.HTML(value, html_template='<div></div>', js_on_load=draw, elem_id=name, **more)


def settings_of(demo: Demo) -> list[gr.components.Component]:
    """Make a slider for each setting, and a list of what attention can be shown; those without a choice are hidden."""
    ranges = demo.ranges
    with gr.Accordion('Settings', open=False):
        sliders = [
            gr.Slider(
                least,
                most,
                usual,
                step=2 if name == 'frames' else 1,
                label=name.title(),
                info=INFO[name].format(usual),
                visible=least < most,
            )
            for name, (least, most, usual) in ranges.items()
        ]
        chosen = gr.Dropdown(
            demo.attention or [''], value=ALL if demo.attention else '', label='Attention', visible=bool(demo.attention)
        )
    return [*sliders, chosen]


def samples_of(demo: Demo) -> list[str]:
    """List sample videos, one of each class; print and leave out those that the page would refuse."""
    samples = []
    for sample in spread(videos_of(demo.args.samples)) if demo.args.samples else []:
        try:
            demo.open(sample, time.monotonic() + demo.args.max_seconds)
            samples.append(sample)
        except (BrokenVideoError, gr.Error) as error:
            print(f'{sample} is no sample: {getattr(error, "message", error)}')
    return samples


def spread(videos: list[str]) -> list[str]:
    """Choose evenly among folders, which are classes, and of each its first video; of one folder, evenly its videos."""
    of_folders = {Path(video).parent: video for video in reversed(videos)}
    chosen = list(of_folders.values())[::-1] if len(of_folders) > 1 else videos
    return [chosen[len(chosen) * place // SAMPLES] for place in range(SAMPLES)] if len(chosen) > SAMPLES else chosen


def serve(page: gr.Blocks, args: argparse.Namespace) -> None:
    """Serve the page until the process ends."""
    page.queue(max_size=WAITING, api_open=False).launch(
        server_name=args.host,
        server_port=args.port,
        max_file_size=f'{args.max_megabytes}mb',
        state_session_capacity=100,
        app_kwargs=dict(middleware=[Middleware(Gate, max_bytes=args.max_megabytes * 2**20)]),
        share=False,
        theme=gr.themes.Default(font=FONTS, font_mono=['monospace']),
        css=STYLE,
        head=f'<script>{SCRIPT}</script>',
    )
