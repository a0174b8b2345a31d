# What the paper adds to an image model learns, and the head: attention steps over time, and the time table
_base_ = 'lora.py'
lr = 5e-4
training = dict(frozen='image', adapters=None)
