# The paper's schedule, over a config that has another one
_base_ = '../schedules/paper_15e.py'
