# TimeSformer-HR on Kinetics-600, pretrained on ImageNet-21K: 81.8 / 95.8 % top-1 / top-5 in the paper
#   bash tools/dist_train.sh configs/timesformer_hr_k600.py 8
_base_ = [
    '_base_/models/timesformer_hr.py',
    '_base_/datasets/k600.py',
    '{{$MMTSF_RECIPE:_base_/schedules/paper.py}}',
    '_base_/default_runtime.py',
]
