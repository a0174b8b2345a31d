# TimeSformer-HR on Diving-48, pretrained on ImageNet-1K: 78.0 % top-1 in the paper
#   bash tools/dist_train.sh configs/timesformer_hr_diving48.py 8
_base_ = [
    '_base_/models/timesformer_hr.py',
    '_base_/datasets/diving48.py',
    '{{$MMTSF_RECIPE:_base_/schedules/paper.py}}',
    '_base_/default_runtime.py',
]
start = 'vit_base_imagenet1k'
