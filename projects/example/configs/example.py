# The tiny model with a data set, transform, hook, attention scheme and head from this project
#   mmtsf train projects/example/configs/example.py --cfg-options data.root=videos_json
_base_ = 'mmtsf::timesformer_tiny_motion.py'
custom_imports = dict(imports=['mmtsf_example'])

# other values of a base's keys: a dict is merged into the one of the base
model = dict(backbone=dict(attention=dict(type='TubeAttention')))
data = dict(root='videos_json', num_classes=4)

# a dict with _delete_ takes the place of the base's, whose keys the new type does not know
model['cls_head'] = dict(
    _delete_=True,
    type='CosineHead',
    num_classes='${data.num_classes}',
    in_channels='${model.backbone.embed_dims}',
)
_videos = dict(
    _delete_=True,
    type='JsonDataset',
    ann_file='videos.json',
    data_root='${data.root}',
    classes=['left', 'left_then_right', 'right', 'right_then_left'],
    num_classes='${data.num_classes}',
)
train_dataloader = dict(dataset=dict(_videos, split='train', pipeline='${train_pipeline}'))
val_dataloader = dict(dataset=dict(_videos, split='val', pipeline='${val_pipeline}', test_mode=True))
test_dataloader = dict(dataset=dict(_videos, split='test', pipeline='${test_pipeline}', test_mode=True))
del _videos

# what is done to a training clip, with the transform before the crop
clip_transforms = dict(
    plain=[
        dict(type='RandomRescale', scale_range='${clip.jitter}'),
        dict(type='RandomGamma', limit=1.5),
        dict(type='RandomCrop', size='${clip.size}'),
        dict(type='FormatShape', input_format='NCTHW'),
        dict(type='PackActionInputs', meta_keys=('filename', 'broken', 'num_clips', 'frame_inds', 'frame_times')),
    ]
)
custom_hooks = [dict(type='ClassCountHook', few=5)]
