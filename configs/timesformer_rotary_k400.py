# TimeSformer as in timesformer-pytorch (lucidrains): rotary positions, gated MLP, one classification token; 142,614,928
# parameters with 400 classes. Not of the paper; no accuracy was published.
#   bash tools/dist_train.sh configs/timesformer_rotary_k400.py 8
_base_ = 'timesformer_base_k400.py'
start = None
model = dict(
    backbone=dict(
        attention=dict(cls_token='all', temporal_fc=False, qkv_bias=False),
        position='rotary',
        mlp=dict(type='GatedMLP'),
        norm_eps=1e-5,
    )
)
