# TimeSformer-L: 96 frames of 224 x 224. Videos come two at once
_base_ = ['timesformer.py', '../clips/96x4_224.py']
batch_size = 2
