# Space-only attention (S) on Kinetics-400: 76.9 % top-1 in the paper
#   bash tools/dist_train.sh configs/timesformer_space_k400.py 8
_base_ = 'timesformer_base_k400.py'
model = dict(backbone=dict(attention=dict(type='SpaceAttention')))
