# A TimeSformer of 0.7 M parameters from scratch, for the motion data set of the quickstart or a small set of your own
#   python tools/data/make_motion.py data/motion
#   python tools/train.py configs/timesformer_tiny_motion.py
_base_ = [
    '_base_/models/timesformer.py',
    '_base_/datasets/video_folder.py',
    '_base_/clips/8x3_64.py',
    '_base_/schedules/scratch.py',
    '_base_/default_runtime.py',
]
data = dict(root='data/motion', num_classes=4, flip_ratio=0.)  # a mirror image turns the other way
views = dict(num_crops=1)
model = dict(
    # the time table starts as a sinusoid: at zero, a model from scratch never learns order
    backbone=dict(patch_size=8, embed_dims=96, num_heads=3, num_layers=4, drop_path_rate=0., time_start='sinusoid'))
train_dataloader = dict(batch_size=32, num_workers=1)
val_dataloader = dict(batch_size=32, num_workers=1)
test_dataloader = dict(batch_size=32, num_workers=1)
