# TimeSformer-L on HowTo100M, fine-tuned from Kinetics-400: 62.6 % top-1 in the paper
#   bash tools/dist_train.sh configs/timesformer_l_howto100m.py 8
_base_ = [
    '_base_/models/timesformer_l.py',
    '_base_/datasets/howto100m.py',
    '{{$MMTSF_RECIPE:_base_/schedules/paper.py}}',
    '_base_/default_runtime.py',
]
start = 'timesformer_l_k400'
clip = dict(frame_interval=32)  # 102.4 s a clip at 30 fps (Table 8)
model = dict(test_cfg=dict(max_testing_views=8))  # clips of a video that are run at once
