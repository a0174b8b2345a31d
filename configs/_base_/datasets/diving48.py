# Diving-48: 16K training and 3K test videos, 48 classes; Kinetics settings
_base_ = 'videos.py'
data = dict(root='data/diving48', num_classes=48, default_classes='diving48')
