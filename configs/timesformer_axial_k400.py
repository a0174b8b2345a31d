# Axial attention (T+W+H) on Kinetics-400: 73.5 % top-1 in the paper
#   bash tools/dist_train.sh configs/timesformer_axial_k400.py 8
_base_ = 'timesformer_base_k400.py'
model = dict(backbone=dict(attention=dict(type='AxialAttention')))
