# From video files to batches, for every data set and every clip geometry.
# `clip` comes from clips/, `data` from datasets/; a child config changes them there, not here.
_base_ = 'released_protocol.py'

# Where clips are taken from a video, how they are scaled and cropped, and how views are combined. A word chooses:
# --cfg-options protocol=released, see released_protocol.py
protocol = '${training.protocol}'
protocols = dict(
    paper=dict(
        clips='SampleClips',
        segments='SampleSegments',
        start='middle',  # of clips in testing
        rescale=dict(type='RandomRescale', scale_range='${clip.jitter}'),  # in training
        resize=dict(type='Resize', scale=(-1, '${clip.size}')),
        crops='CropViews',
        average_clips='prob',
        to_rgb=False,
    ),
)
# Views in testing, clips x crops. A word chooses: --cfg-options view=10x3; or views.num_clips, views.num_crops
view = '1x3'
view_presets = {
    '1x1': dict(num_clips=1, num_crops=1),
    '1x3': dict(num_clips=1, num_crops=3),
    '3x1': dict(num_clips=3, num_crops=1),
    '5x1': dict(num_clips=5, num_crops=1),
    '10x1': dict(num_clips=10, num_crops=1),
    '10x3': dict(num_clips=10, num_crops=3),
}
views = dict(
    num_clips='${view_presets.${view}.num_clips}',
    num_crops='${view_presets.${view}.num_crops}',
    frame_order='forward',
)

# How frames are taken from a video: data.sampling chooses
sampling = dict(
    rate=dict(
        train=dict(
            type='${protocols.${protocol}.clips}',
            num_frames='${clip.num_frames}',
            frame_interval='${clip.frame_interval}',
            start='random',
            num_clips='${data.clips_per_video}',
        ),
        test=dict(
            type='${protocols.${protocol}.clips}',
            num_frames='${clip.num_frames}',
            frame_interval='${clip.frame_interval}',
            start='${protocols.${protocol}.start}',
            frame_order='${views.frame_order}',
            num_clips='${views.num_clips}',
        ),
    ),
    # the same, but frame_interval counts frames of this rate, so that distances are seconds in a video of any rate
    time=dict(
        train=dict(_use_='${sampling.rate.train}', target_fps=30),
        test=dict(_use_='${sampling.rate.test}', target_fps=30),
    ),
    segments=dict(
        train=dict(
            type='${protocols.${protocol}.segments}',
            clip_len='${clip.num_frames}',
            num_clips='${data.clips_per_video}',
        ),
        test=dict(
            type='${protocols.${protocol}.segments}',
            clip_len='${clip.num_frames}',
            frame_order='${views.frame_order}',
            num_clips='${views.num_clips}',
            test_mode=True,
        ),
    ),
    cover=dict(
        train='${sampling.rate.train}',
        test=dict(
            type='SampleClips',
            num_frames='${clip.num_frames}',
            frame_interval='${clip.frame_interval}',
            start='cover',
            frame_order='${views.frame_order}',
            num_clips='${views.num_clips}',  # refused unless it is 1: the length of a video decides
        ),
    ),
)

decoder = 'pyav'  # or 'decord', 'torchcodec', 'auto'; see docs/data.md
decoder_device = 'cpu'  # of torchcodec: or 'cuda'
# Sizes above which a video is refused before it is decoded; see docs/data.md
limits = dict(
    frame_pixels=8192 * 4320,  # of a frame: 8K passes
    sample_pixels=2**32,  # of all frames that a sample decodes: 2071 of 1920 x 1080
    frames=2_000_000,  # of a video: 18 hours at 30 a second
    file_bytes=2**36,  # of a file at an address, all of which are fetched: 64 GiB
    aspect=32,  # longer side of a frame as a multiple of the shorter one
)
pack = [
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=('filename', 'broken', 'num_clips', 'frame_inds', 'frame_times')),
]

# What is done to a training clip: data.augmentation chooses
crop = [
    dict(type='RandomCrop', size='${clip.size}'),
    dict(type='Flip', flip_ratio='${data.flip_ratio}'),
]
clip_transforms = dict(
    plain=['${protocols.${protocol}.rescale}', *crop, *pack],
    # VideoMAE's values (arXiv 2203.12602): rand-m7-n4-mstd0.5, reprob 0.25
    strong=[
        '${protocols.paper.rescale}',
        *crop,
        dict(type='RandAugment', num_ops=4, magnitude=7.0, magnitude_std=0.5),
        dict(type='RandomErasing', erase_prob=0.25, mode='rand'),
        *pack,
    ],
)
train_pipeline = [
    dict(type='OpenVideo', decoder='${decoder}', device='${decoder_device}', limits='${limits}'),
    '${sampling.${data.sampling}.train}',
    dict(type='DecodeFrames'),
    dict(type='ForEachClip', transforms='${clip_transforms.${data.augmentation}}'),
]
val_pipeline = [
    dict(type='OpenVideo', decoder='${decoder}', device='${decoder_device}', limits='${limits}'),
    '${sampling.${data.sampling}.test}',
    dict(type='DecodeFrames'),
    '${protocols.${protocol}.resize}',
    dict(type='${protocols.${protocol}.crops}', size='${clip.size}'),
    *pack,
]
test_pipeline = [
    *val_pipeline[:4],
    dict(type='${protocols.${protocol}.crops}', size='${clip.size}', num_crops='${views.num_crops}'),
    *pack,
]

# num_workers: 'auto' is a process's share of the cores; or a number. See docs/data.md
train_dataloader = dict(
    batch_size='${batch_size}',
    num_workers='auto',
    sampler=dict(type='SeededSampler', shuffle=True),
    collate_fn=dict(type='flat_collate'),
    dataset=dict(_use_='${sources.${data.source}.train}'),
)
val_dataloader = dict(
    batch_size=8,
    num_workers='auto',
    sampler=dict(type='SeededSampler', shuffle=False),
    collate_fn=dict(type='flat_collate'),
    dataset=dict(_use_='${sources.${data.source}.val}'),
)
test_dataloader = dict(
    batch_size=1,
    num_workers='auto',
    sampler=dict(type='SeededSampler', shuffle=False),
    dataset=dict(_use_='${sources.${data.source}.test}'),  # one at a time; MMAction2's inferencer takes no collate_fn
)

train_cfg = dict(type='ResumableTrainLoop', max_epochs='${max_epochs}', val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
val_evaluator = dict(type='VideoAccuracy')
test_evaluator = dict(type='VideoAccuracy')
del pack, crop
