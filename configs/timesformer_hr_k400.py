# TimeSformer-HR on Kinetics-400, pretrained on ImageNet-21K: 79.7 / 94.4 % top-1 / top-5 in the paper
#   bash tools/dist_train.sh configs/timesformer_hr_k400.py 8
_base_ = [
    '_base_/models/timesformer_hr.py',
    '_base_/datasets/k400.py',
    '{{$MMTSF_RECIPE:_base_/schedules/paper.py}}',
    '_base_/default_runtime.py',
]
