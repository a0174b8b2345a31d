#!/usr/bin/env python
"""A page in the browser that names what happens in a video, shows when, and where the model looks:

python tools/demo_web.py CONFIG CHECKPOINT --samples VIDEOS

Needs requirements/demo.txt. Nothing is fetched from elsewhere: the page works without a network.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'  # read on import

import gradio as gr
from mmengine.config import DictAction

from mmtsf.apis import (
    attention_maps,
    best_classes,
    build_pipeline,
    inference_recognizer,
    init_recognizer,
    middle_clip,
    timeline,
    write_attention,
)
from mmtsf.config import load_config
from mmtsf.datasets.decoders import BrokenVideoError, VideoReader, open_video
from mmtsf.datasets.list_files import videos_of
from mmtsf.datasets.transforms import SampleClips, SampleSegments
from mmtsf.launch import keep_freed_memory
from mmtsf.visualization import draw_timeline

TOPK = 5
SAMPLES = 8  # of a folder
FONTS = ['system-ui', 'sans-serif']  # of the reader's own machine
STYLE = """
.gradio-container { max-width: 1100px !important; margin: 0 auto }
footer { display: none !important }
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint of any known origin')
    parser.add_argument('--samples', help='video, or folder of videos, to choose from')
    parser.add_argument('--host', default='127.0.0.1', help='address to listen at; 0.0.0.0 lets others in')
    parser.add_argument('--port', type=int, default=7860)
    parser.add_argument('--max-megabytes', type=int, default=200, help='largest upload (default: 200)')
    parser.add_argument('--max-minutes', type=float, default=10, help='longest video (default: 10)')
    parser.add_argument('--device', help='e.g. cpu or cuda:1 (default: the GPU if there is one)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE')
    return parser.parse_args()


class Demo:
    """A model, and what the page asks of it."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.model = init_recognizer(args.config, args.checkpoint, args.device, args.cfg_options)
        self.classes = self.model.dataset_meta['classes']
        keep_freed_memory(self.model.data_preprocessor.device)
        self.sampling = next(
            t for t in build_pipeline(self.model).transforms if isinstance(t, (SampleClips, SampleSegments))
        )
        self.folder = tempfile.TemporaryDirectory()

    def classify(self, video: str | None, clips: int, crops: int, frames: int) -> Iterator[tuple]:
        """Names and scores, the timeline, the video with attention; each as soon as it is there."""
        if video is None:
            raise gr.Error('Upload a video or choose a sample first.', print_exception=False)
        plot, overlaid = (Path(self.folder.name, name) for name in ('timeline.png', 'attention.mp4'))
        try:
            reader = open_video(video)
            self.check_length(reader)
            self.model.cfg = load_config(self.args.config, self.options(clips, crops, frames))
            scores = inference_recognizer(self.model, video).pred_scores.item.cpu().numpy()
            best = best_classes(scores, self.classes, TOPK)
            names = dict(zip(best['names'], best['scores']))
            yield names, None, None
            # where a clip has no distance of frames, it is the whole video
            interval = None if isinstance(self.sampling, SampleClips) else max(reader.num_frames // frames, 1)
            draw_timeline(list(timeline(self.model, reader, interval)), self.classes, plot, TOPK)
            yield names, str(plot), None
            clip = middle_clip(self.model, video)
            maps = attention_maps(self.model, clip.clip)
            write_attention(video, clip, {'attention': maps['attention']}, overlaid)
            yield names, str(plot), str(overlaid)
        except BrokenVideoError as error:
            raise gr.Error(f'This file is no video that can be read: {error.reason}.', print_exception=False) from error
        except ValueError as error:  # e.g. a number of frames that the attention scheme cannot cut
            raise gr.Error(f'{error}.', print_exception=False) from error

    def check_length(self, reader: VideoReader) -> None:
        """Refuse a video that would keep the page busy for long."""
        minutes = reader.num_frames / (reader.fps or 30) / 60
        if minutes > self.args.max_minutes:
            raise gr.Error(
                f'This video takes {minutes:.1f} minutes, this page takes up to {self.args.max_minutes:g}. Cut it, or '
                'use tools/predict.py --timeline.',
                print_exception=False,
            )

    def options(self, clips: int, crops: int, frames: int) -> dict:
        """Changes to the config; clips are the config's own affair where they cover the video."""
        views = {'views.num_clips': clips, 'views.num_crops': crops, 'clip.num_frames': frames}
        if getattr(self.sampling, 'start', None) == 'cover':
            del views['views.num_clips']
        return {name: value for name, value in self.args.cfg_options.items() if name != 'view'} | views


def build_page(demo: Demo) -> gr.Blocks:
    """The page: video and settings to the left, what the model says to the right."""
    args, backbone = demo.args, demo.model.cfg.model.backbone
    samples = videos_of(args.samples)[:SAMPLES] if args.samples else []
    with gr.Blocks(title='TimeSformer', analytics_enabled=False, fill_width=True) as page:
        gr.Markdown(
            f'# What happens in this video?\n{Path(args.config).stem}: {len(demo.classes)} classes. Videos of up '
            f'to {args.max_minutes:g} minutes and {args.max_megabytes} MB.'
        )
        with gr.Row():
            with gr.Column():
                video = gr.Video(label='Video', sources=['upload'], height=300, elem_id='video')
                if samples:
                    gr.Examples([[sample] for sample in samples], video, label='Samples')
                with gr.Accordion('Settings', open=False):
                    clips = gr.Slider(1, 10, 1, step=1, label='Clips', info='over the video, averaged')
                    crops = gr.Slider(1, 3, 1, step=1, label='Crops', info='of each clip, side by side')
                    frames = gr.Slider(
                        2,
                        96,
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
        gr.Markdown('### When')
        plot = gr.Image(show_label=False, interactive=False, buttons=['fullscreen', 'download'], elem_id='timeline')
        button.click(demo.classify, [video, clips, crops, frames], [names, plot, overlaid], api_name='classify')
    return page


def main() -> None:
    args = parse_args()
    page = build_page(Demo(args))
    page.queue(max_size=16).launch(
        server_name=args.host,
        server_port=args.port,
        max_file_size=f'{args.max_megabytes}mb',
        share=False,
        theme=gr.themes.Default(font=FONTS, font_mono=['monospace']),
        css=STYLE,
    )


if __name__ == '__main__':
    main()
