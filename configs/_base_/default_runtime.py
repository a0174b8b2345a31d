# What every run shares: scope, hooks, log, environment, seed
default_scope = 'mmtsf'
runner_type = 'mmtsf.Runner'  # RUNNERS.build(config) finds it from any registry
custom_imports = dict(imports=['mmtsf.engine.runner_type'])  # MMAction2's scripts then ask for it
__import__('mmtsf.engine.runner_type')  # here, too: a child's custom_imports take the place of these

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=20, ignore_last=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=3, save_best='auto'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    runtime_info=dict(type='RuntimeInfoHook'),
    sync_buffers=dict(type='SyncBuffersHook'),
    reproducibility=dict(type='ReproducibilityHook'),
    checkpoint_format=dict(type='CheckpointFormatHook'),
    preemption=dict(type='PreemptionHook'),
    finite_loss=dict(type='FiniteLossHook', max_skips=10),
    broken_videos=dict(type='BrokenVideosHook', max_share=0.1),
    progress_bar=dict(type='ProgressBarHook'),
    validation_clips=dict(type='ValidationClipsHook', num_clips=4),
    unequal_classes=dict(
        type='UnequalClassesHook',
        balance='${training.balance}',
        class_weight='${training.class_weight}',
        logit_adjustment='${training.logit_adjustment}',
        focal='${training.focal}',
    ),
    ema='${training.ema}',
)

parallel = 'ddp'  # several processes with a whole model each; 'fsdp': shared out among them
amp = 'auto'  # bfloat16 on GPUs that have it; or 'bfloat16', 'float16', 'off'; weights are float32
tf32 = True  # what GPUs compute in float32 they compute in tf32; False: exactly
env_cfg = dict(cudnn_benchmark=False, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
randomness = dict(seed=0)

log_processor = dict(type='LogProcessor', window_size=20, by_epoch=True)
# A word chooses where curves go beside files: --cfg-options log_to=tensorboard, which also shows some validation clips;
# or several: log_to=[wandb,mlflow]. What each of them gets: docs/guides/tracking.md
log_to = 'files'
logs = dict(
    tensorboard=dict(type='TensorboardVisBackend'),
    wandb=dict(type='WandbBackend', project='mmtsf'),
    mlflow=dict(type='MLflowBackend', experiment='mmtsf'),
)
visualizer = dict(type='RunVisualizer', _scope_='mmtsf', log_to='${log_to}', logs='${logs}')
log_level = 'INFO'
load_from = None
resume = False
