# Sparse local-global attention (L+G) on Kinetics-400: 75.9 % top-1 in the paper
#   bash tools/dist_train.sh configs/timesformer_local_global_k400.py 8
_base_ = 'timesformer_base_k400.py'
model = dict(backbone=dict(attention=dict(type='LocalGlobalAttention')))
