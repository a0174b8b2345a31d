# As the released code trains and tests: its schedule, its clips at 30 fps, its average of logits
_base_ = '../schedules/released_15e.py'
protocol = 'released'
