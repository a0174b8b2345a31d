# Something-Something-V2: 170K training and 25K validation videos, 174 classes; left and right matter, so no flip
_base_ = 'videos.py'
data = dict(
    root='data/sthv2',
    num_classes=174,
    default_classes='ssv2',
    sampling='segments',
    flip_ratio=0.0,
    released_loader='ssv2',
)
