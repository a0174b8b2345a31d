"""Load weights of a fork of timm that puts ``encoder.`` before its names."""

from mmtsf.weights.key_table import KeyTable
from mmtsf.weights.origins import ORIGINS, Origin

timm = ORIGINS['timm'].tables['image'].names  # {'blocks.{i}.norm2.{p}': 'backbone.blocks.{i}.norm.{p}', ...}
FORK = Origin('fork', {'image': KeyTable({f'encoder.{theirs}': ours for theirs, ours in timm.items()})})
ORIGINS['fork'] = FORK
