# TimeSformer-HR: 16 frames of 448 x 448. Blocks are recomputed in the backward pass, and videos come two at once
_base_ = ['timesformer.py', '../clips/16x16_448.py']
batch_size = 2
model = dict(backbone=dict(with_cp=True))
