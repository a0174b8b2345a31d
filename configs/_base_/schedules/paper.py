# The paper's schedule (appendix A): 15 epochs of SGD at 0.005, divided by 10 at epochs 11 and 14, batch 16
_base_ = 'words.py'
max_epochs = 15
lr = 0.005
global_batch_size = 16  # reached by accumulating gradients where processes x batch_size is less
auto_scale_lr = dict(enable=False, base_batch_size=16)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr='${lr}', momentum=0.9, weight_decay=1e-4, fused=True),
    clip_grad=dict(max_norm=1e9),  # clips nothing; the norm goes into the log
)
param_scheduler = [dict(type='MultiStepLR', milestones=[11, 14], gamma=0.1, by_epoch=True)]
