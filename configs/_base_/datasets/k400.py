# Kinetics-400: 240K training and 20K validation videos, 400 classes
_base_ = 'videos.py'
data = dict(root='data/kinetics400', num_classes=400, default_classes='kinetics400')
