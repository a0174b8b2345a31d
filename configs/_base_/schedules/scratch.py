# From scratch on a small data set: AdamW, one cycle of the learning rate
_base_ = 'words.py'
max_epochs = 25
lr = 2e-3
global_batch_size = 32
auto_scale_lr = dict(enable=False, base_batch_size=32)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr='${lr}', weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = dict(
    type='OneCycleLR', eta_max='${lr}', total_steps='${max_epochs}', by_epoch=True, convert_to_iter_based=True
)
