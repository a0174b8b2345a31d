# A TimeSformer of 0.3 M parameters from scratch, for the quickstart's motion data set or a small set of your own
#   mmtsf motion data/motion
#   mmtsf train configs/timesformer_tiny_motion.py
_base_ = [
    '_base_/models/timesformer.py',
    '_base_/datasets/videos.py',
    '_base_/clips/8x3_48.py',
    '{{$MMTSF_RECIPE:_base_/schedules/scratch.py}}',
    '_base_/default_runtime.py',
]
data = dict(root='data/motion', num_classes=4, flip_ratio=0.0)  # a mirror image moves the other way
view = '1x1'
start = None
model = dict(backbone=dict(patch_size=8, embed_dims=64, num_heads=2, num_layers=4, drop_path_rate=0.0))
# at 0.02 a narrow model starts too slowly; with position tables near zero it never learns order from scratch
model['backbone'].update(init_std=0.1, position_init='noise')
model['cls_head'] = dict(init_std=0.1)
batch_size = 32
train_dataloader = dict(num_workers=1)
val_dataloader = dict(batch_size=32, num_workers=1)
test_dataloader = dict(batch_size=32, num_workers=1)
