# HowTo100M: 1059 tasks with at least 100 videos, 85K training and 35K test videos. Clips that cover the whole video,
# one after the other; their predictions are averaged (section 4.6 of the paper)
_base_ = 'videos.py'
data = dict(root='data/howto100m', num_classes=1059, sampling='cover')
view = '1x1'
