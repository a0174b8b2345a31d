# TimeSformer on Something-Something-V2, pretrained on ImageNet-1K: 59.5 % top-1 in the paper
#   bash tools/dist_train.sh configs/timesformer_base_ssv2.py 8
_base_ = [
    '_base_/models/timesformer.py',
    '_base_/datasets/ssv2.py',
    '_base_/clips/8x32_224.py',
    '{{$MMTSF_RECIPE:_base_/schedules/paper.py}}',
    '_base_/default_runtime.py',
]
start = 'vit_base_imagenet1k'
