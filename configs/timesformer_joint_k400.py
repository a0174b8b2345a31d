# Joint space-time attention (ST) on Kinetics-400: 77.4 % top-1 in the paper
#   bash tools/dist_train.sh configs/timesformer_joint_k400.py 8
_base_ = 'timesformer_base_k400.py'
model = dict(backbone=dict(attention=dict(type='JointAttention')))
