# TimeSformer on Kinetics-600, pretrained on ImageNet-21K: 79.1 / 94.4 % top-1 / top-5 in the paper
#   bash tools/dist_train.sh configs/timesformer_base_k600.py 8
_base_ = [
    '_base_/models/timesformer.py',
    '_base_/datasets/k600.py',
    '_base_/clips/8x32_224.py',
    '{{$MMTSF_RECIPE:_base_/schedules/paper.py}}',
    '_base_/default_runtime.py',
]
