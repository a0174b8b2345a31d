# TimeSformer-HR on HowTo100M, fine-tuned from Kinetics-400: no figure in the paper
#   bash tools/dist_train.sh configs/timesformer_hr_howto100m.py 8
_base_ = [
    '_base_/models/timesformer_hr.py',
    '_base_/datasets/howto100m.py',
    '{{$MMTSF_RECIPE:_base_/schedules/paper.py}}',
    '_base_/default_runtime.py',
]
start = 'timesformer_hr_k400'
clip = dict(frame_interval=32)  # rate 1/32, as in Table 8
model = dict(test_cfg=dict(max_testing_views=8))  # clips of a video that are run at once
