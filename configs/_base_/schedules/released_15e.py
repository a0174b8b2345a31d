# The released code's schedule: the paper's, with Nesterov momentum and batch 64. Its yaml files say 8, its
# GLOBAL_BATCH_SIZE 64 is reached by accumulation (facebookresearch/TimeSformer, defaults.py)
_base_ = 'paper_15e.py'
global_batch_size = 64
auto_scale_lr = dict(base_batch_size=64)
optim_wrapper = dict(optimizer=dict(nesterov=True))
