# The backbone is frozen; a learned query pools its patch tokens for the head
_base_ = 'linear_probe.py'
training = dict(head=dict(type='AttentiveHead', num_heads='${model.backbone.num_heads}'))
