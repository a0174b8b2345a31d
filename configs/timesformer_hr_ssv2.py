# TimeSformer-HR on Something-Something-V2, pretrained on ImageNet-1K: 62.2 % top-1 in the paper
#   bash tools/dist_train.sh configs/timesformer_hr_ssv2.py 8
_base_ = [
    '_base_/models/timesformer_hr.py',
    '_base_/datasets/ssv2.py',
    '{{$MMTSF_RECIPE:_base_/schedules/paper.py}}',
    '_base_/default_runtime.py',
]
start = 'vit_base_imagenet1k'
