# TimeSformer-L on Kinetics-400, pretrained on ImageNet-21K: 80.7 / 94.7 % top-1 / top-5 in the paper
#   bash tools/dist_train.sh configs/timesformer_l_k400.py 8
_base_ = [
    '_base_/models/timesformer_l.py',
    '_base_/datasets/k400.py',
    '{{$MMTSF_RECIPE:_base_/schedules/paper.py}}',
    '_base_/default_runtime.py',
]
