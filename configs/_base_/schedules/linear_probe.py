# The backbone is frozen, the head learns: for a few dozen to a few hundred clips, or to compare backbones
_base_ = 'words.py'
lr = 1e-3
max_epochs = 30
global_batch_size = 32
auto_scale_lr = dict(enable=False, base_batch_size=32)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr='${lr}', weight_decay=0.01, fused=True),
    clip_grad=dict(max_norm=1e9),  # clips nothing; the norm goes into the log
)
param_scheduler = [
    dict(type='CosineAnnealingLR', eta_min=0.0, end='${max_epochs}', by_epoch=True, convert_to_iter_based=True)
]
training = dict(frozen=True)
