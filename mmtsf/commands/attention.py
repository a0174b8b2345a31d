"""Draw where a model looks in a video:

mmtsf attention VIDEO CONFIG CHECKPOINT OUT.png
mmtsf attention VIDEO CONFIG CHECKPOINT OUT.gif

A picture is of the video's middle clip: its frames, and under them the same frames with the model's attention, rolled
out over all blocks, with a scale. A video of the clip, OUT.mp4, lies beside it. Where the attention has several steps,
as divided attention has time and space, there is a map of each step, too: in the blocks below the last one that step
alone is followed. With --step there is one map instead, of what one token takes from every patch in one step of one
block:

mmtsf attention VIDEO CONFIG CHECKPOINT OUT.png --step space --block 3 --query 4 7 7

OUT.gif or OUT.mp4 is the whole video, with the names of the clips that cover it, beside the same with attention.
"""

import argparse
from pathlib import Path

from mmtsf.utils.arguments import add_device, add_model, add_options, check_exists, check_model, parsed
from mmtsf.utils.files import check_target
from mmtsf.utils.imports import for_prediction
from mmtsf.utils.sources import check_video

PICTURE, FILMS = '.png', ('.gif', '.mp4')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('video', help='video file or folder of frames')
    add_model(parser)
    parser.add_argument('out', type=Path, help='file to write: .png, .gif or .mp4')
    parser.add_argument('--step', help='name of a step, e.g. time or space')
    parser.add_argument('--block', type=int, help='number of its block, from 0 (default: the last)')
    parser.add_argument('--head', type=int, help='number of a head (default: the mean of all)')
    parser.add_argument(
        '--query',
        type=int,
        nargs=3,
        metavar=('FRAME', 'ROW', 'COLUMN'),
        help='patch whose attention it is (default: the classification token, where it takes part in the step)',
    )
    add_device(parser)
    add_options(parser)


def check(args: argparse.Namespace) -> None:
    """Check that the options fit together, inputs exist and outputs can be written.

    Raises:
        OSError: If something does not exist, or cannot be written.
        ValueError: If an option has no meaning here.
    """
    check_video(args.video)
    check_exists(args.video, 'a video file or a folder of frames')
    if args.out.suffix not in (PICTURE, *FILMS):
        raise ValueError(f'OUT is {args.out}, expected a name that ends in .png, .gif or .mp4')
    asked = [name for name in ('block', 'head', 'query') if getattr(args, name) is not None]
    if asked and not args.step:
        raise ValueError(f'--{asked[0]} is of a step, which is not given; add --step, e.g. --step time')
    if args.step and args.out.suffix != PICTURE:
        raise ValueError(f'--step is drawn as a picture, but OUT is {args.out}; give a name that ends in .png')
    check_model(args)
    for target in (args.out, args.out.with_suffix('.mp4')) if args.out.suffix == PICTURE else (args.out,):
        check_target(target, 'OUT', [Path(args.video), Path(args.config), Path(args.checkpoint)])


def run(args: argparse.Namespace) -> None:
    """Draw the attention."""
    with for_prediction():
        from mmtsf.apis import init_recognizer
        from mmtsf.apis.attention_maps import draw_middle_clip, write_film
        from mmtsf.engine.launch import keep_freed_memory

    model = init_recognizer(args.config, args.checkpoint, args.device, parsed(args.cfg_options), fused=True)
    keep_freed_memory(model.data_preprocessor.device)
    if args.out.suffix in FILMS:
        write_film(model, args.video, args.out)
        print(f'wrote {args.out}')
        return
    step = dict(step=args.step, block=-1 if args.block is None else args.block, query=args.query, head=args.head)
    draw_middle_clip(model, args.video, args.out, step if args.step else None)
    print(f'wrote {args.out} and {args.out.with_suffix(".mp4")}')
