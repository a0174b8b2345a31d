# TimeSformer-L on Kinetics-600, pretrained on ImageNet-21K: 82.2 / 95.6 % top-1 / top-5 in the paper
#   bash tools/dist_train.sh configs/timesformer_l_k600.py 8
_base_ = [
    '_base_/models/timesformer_l.py',
    '_base_/datasets/k600.py',
    '{{$MMTSF_RECIPE:_base_/schedules/paper.py}}',
    '_base_/default_runtime.py',
]
