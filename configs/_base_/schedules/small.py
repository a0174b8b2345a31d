# All weights on a few hundred clips: as modern.py, with lower rates towards the input, small batches, and clips unmixed
_base_ = 'modern.py'
lr = 2.5e-4
global_batch_size = 16
auto_scale_lr = dict(base_batch_size=16)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=0.65), clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, end=3, by_epoch=True, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=0.0, end='${max_epochs}', by_epoch=True, convert_to_iter_based=True),
]
training = dict(blending=None, ema=None)
