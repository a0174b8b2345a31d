# Low-rank adapters in the attention learn, the time table and the head; all other weights stay as they are
_base_ = 'words.py'
lr = 1e-3
max_epochs = 30
global_batch_size = 16
auto_scale_lr = dict(enable=False, base_batch_size=16)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr='${lr}', weight_decay=0.01, fused=True),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, end=3, by_epoch=True, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=0.0, end='${max_epochs}', by_epoch=True, convert_to_iter_based=True),
]
training = dict(
    augmentation='strong',
    label_smoothing=0.1,
    adapters=dict(_delete_=True, rank=8, alpha=16, dropout=0.0, targets=['attention'], whole=[]),
)
