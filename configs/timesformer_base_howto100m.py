# TimeSformer on HowTo100M, fine-tuned from Kinetics-400: 56.8 % top-1 in the paper
#   bash tools/dist_train.sh configs/timesformer_base_howto100m.py 8
_base_ = [
    '_base_/models/timesformer.py',
    '_base_/datasets/howto100m.py',
    '_base_/clips/8x32_224.py',
    '{{$MMTSF_RECIPE:_base_/schedules/paper.py}}',
    '_base_/default_runtime.py',
]
start = 'timesformer_base_k400'
model = dict(test_cfg=dict(max_testing_views=8))  # clips of a video that are run at once
