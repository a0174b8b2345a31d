# The released code's: the paper's schedule with Nesterov momentum and batch 64, its clips at 30 fps, its average of
# logits. Its yaml files say batch 8, its GLOBAL_BATCH_SIZE 64 is reached by accumulation (facebookresearch/TimeSformer,
# defaults.py)
_base_ = 'paper.py'
global_batch_size = 64
auto_scale_lr = dict(base_batch_size=64)
optim_wrapper = dict(optimizer=dict(nesterov=True))
training = dict(protocol='released')
