# Kinetics-600: 392K training and 30K validation videos, 600 classes
_base_ = 'videos.py'
data = dict(root='data/kinetics600', num_classes=600, default_classes='kinetics600')
