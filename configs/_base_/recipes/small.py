# All weights on a few hundred clips: as modern.py, with lower rates towards the input, small batches, and clips unmixed
lr = 2.5e-4
max_epochs = 30
global_batch_size = 16
auto_scale_lr = dict(enable=False, base_batch_size=16)
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='LayerDecayConstructor',
    paramwise_cfg=dict(layer_decay=0.65),
    optimizer=dict(type='AdamW', lr='${lr}', weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, end=3, by_epoch=True, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=0.0, end='${max_epochs}', by_epoch=True, convert_to_iter_based=True),
]

data = dict(augmentation='strong', clips_per_video=2)
model = dict(cls_head=dict(label_smooth_eps=0.1))
