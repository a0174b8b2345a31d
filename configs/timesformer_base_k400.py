# TimeSformer on Kinetics-400, pretrained on ImageNet-21K: 78.0 / 93.7 % top-1 / top-5 in the paper
#   bash tools/dist_train.sh configs/timesformer_base_k400.py 8
_base_ = [
    '_base_/models/timesformer.py',
    '_base_/datasets/k400.py',
    '_base_/clips/8x32_224.py',
    '{{$MMTSF_RECIPE:_base_/schedules/paper.py}}',
    '_base_/default_runtime.py',
]
