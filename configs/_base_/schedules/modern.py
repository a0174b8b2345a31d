# How Vision Transformers are fine-tuned today: AdamW, layer decay, strong augmentation, mixed clips, averaged weights.
# Values of VideoMAE's fine-tuning (arXiv 2203.12602, MCG-NJU/VideoMAE, run_class_finetuning.py), 5e-4 for 256 videos;
# batch, 30 epochs and the averaging of weights are ours
_base_ = 'words.py'
lr = 1.25e-4
max_epochs = 30
global_batch_size = 64
auto_scale_lr = dict(enable=False, base_batch_size=64)
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='LayerDecayConstructor',
    paramwise_cfg=dict(layer_decay=0.75),
    optimizer=dict(type='AdamW', lr='${lr}', betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=1e9),  # clips nothing; the norm goes into the log
)
param_scheduler = [
    # both at once, so that a training shorter than the warm-up has a schedule, too
    dict(type='LinearLR', start_factor=0.01, end=5, by_epoch=True, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=0.0, end='${max_epochs}', by_epoch=True, convert_to_iter_based=True),
]
training = dict(
    augmentation='strong',
    clips_per_video=2,
    label_smoothing=0.1,
    blending=dict(
        _delete_=True,
        type='RandomBlending',
        augments=[
            dict(type='MixupBlending', num_classes='${data.num_classes}', alpha=0.8),
            dict(type='CutmixBlending', num_classes='${data.num_classes}', alpha=1.0),
        ],
    ),
    # its momentum starts at 1 and falls to 1e-4, so that short trainings are averaged, too
    ema=dict(_delete_=True, type='EMAHook', ema_type='MomentumAnnealingEMA', momentum=1e-4, gamma=2000),
)
