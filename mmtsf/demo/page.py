"""Build the page: video and settings to the left, results to the right."""

import argparse
import time
from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware

from mmtsf.datasets.decoders import BrokenVideoError
from mmtsf.preparation.video_paths import videos_of

from .gate import Gate
from .inputs import Page
from .model import MAX_FRAMES, TOPK, Demo

MAX_CLIPS, MAX_CROPS = 10, 3
SAMPLES = 8  # of a folder
WAITING = 16  # requests
FONTS = ['system-ui', 'sans-serif']  # of the reader's own machine
STYLE = """
.gradio-container { max-width: 1100px !important; margin: 0 auto }
footer { display: none !important }
"""

# videos are shown as they are; with a converter at hand, gradio would have it read samples, by rules of its own
gr.processing_utils.ffmpeg_installed = lambda: False


def build_page(demo: Demo) -> gr.Blocks:
    """Build the page: video and settings to the left, results to the right."""
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
    """List the sample videos, and print and leave out those that the page would refuse."""
    samples = []
    for sample in videos_of(demo.args.samples)[:SAMPLES] if demo.args.samples else []:
        try:
            demo.open(sample, time.monotonic() + demo.args.max_seconds)
            samples.append(sample)
        except (BrokenVideoError, gr.Error) as error:
            print(f'{sample} is no sample: {error}')
    return samples


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
    )
