"""Build the page: the video with attention and timeline to the left, samples, settings and names to the right."""

import argparse
import time
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from mmtsf.datasets.decoders import BrokenVideoError
from mmtsf.preparation.video_paths import videos_of
from mmtsf.utils.media import VIDEOS

from .attention import ALL
from .gate import Gate
from .inputs import Page
from .model import TOPK, Demo

SAMPLES = 12  # of a folder
WAITING = 16  # requests
FONTS = ['system-ui', 'sans-serif']  # of the reader's own machine
SCRIPT, STYLE = (Path(__file__).with_name(name).read_text(encoding='utf-8') for name in ('page.js', 'page.css'))
# gradio's own have contrasts below 4.5
COLOURS = dict(
    body_text_color_subdued='*neutral_600',
    block_info_text_color='*neutral_600',
    button_primary_background_fill='*primary_700',
    button_primary_background_fill_hover='*primary_800',
)
DARK = dict(COLOURS, body_text_color_subdued='*neutral_300', block_info_text_color='*neutral_300')
READABLE = COLOURS | {f'{name}_dark': colour for name, colour in DARK.items()}
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
        model = Path(args.config.rpartition('::')[2]).stem
        told = dict(samples=names_of(samples, args.samples), suffixes=sorted(VIDEOS))
        part('header', dict(told, title=TITLE, model=model, classes=demo.classes))
        with gr.Row(elem_id='parts'):
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
        work = button.click(demo.classify, [video, *settings], outputs, api_name='classify', show_progress='minimal')
        video.change(None, cancels=work, api_visibility='private')  # else its results come over another video
    return page


def part(name: str, value: Any = None, **more: Any) -> gr.HTML:
    """Make a part of the page that our script draws of JSON: no text is ever read as HTML."""
    draw = f"const draw = () => demo.{name}(element.querySelector('div'), props); draw(); watch('value', draw)"
    return gr.HTML(value, html_template='<div></div>', js_on_load=draw, elem_id=name, **more)


def settings_of(demo: Demo) -> list[gr.components.Component]:
    """Make a slider for each setting, and a list of what attention can be shown; those without a choice are hidden."""
    ranges = demo.ranges
    with gr.Accordion('Settings', open=False, elem_id='settings'):
        sliders = [
            gr.Slider(
                least,
                most,
                usual,
                step=2 if name == 'frames' else 1,
                label=name.title(),
                info=INFO[name].format(usual),
            )
            if least < most
            else gr.Number(usual, precision=0, minimum=least, maximum=most, label=name.title(), visible=False)
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


def names_of(samples: list[str], folder: str) -> list[str]:
    """Return what to call samples: their class, where several folders are classes, or their file."""
    paths = [Path(sample) for sample in samples]
    parents = {path.parent for path in paths}
    is_of_class = {parent: len(parents) > 1 and parent != Path(folder) for parent in parents}
    return [path.parent.name if is_of_class[path.parent] else path.stem for path in paths]


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
        theme=gr.themes.Default(font=FONTS, font_mono=['monospace']).set(**READABLE),
        css=STYLE,
        head=f'<script>{SCRIPT}</script>',
        quiet=True,
        prevent_thread_lock=True,
    )
    print(f'The page is at {page.local_url} until Ctrl-C.', flush=True)
    page.block_thread()
