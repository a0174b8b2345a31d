"""Blocks that are shared out compile, and a model that is shared out trains what it trains as a whole."""

import pytest
from runs import run_tool

SCRIPT = """
import os
os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT='0', RANK='0', WORLD_SIZE='1')
import copy, torch, torch.distributed as dist
from torch import nn
from torch._dynamo.utils import counters
from mmtsf.engine.runner.sharding import shard
from mmtsf.models import TimeSformer

dist.init_process_group('gloo', store=dist.HashStore(), rank=0, world_size=1)
attention = dict(type='DividedAttention', order='space_time')
backbone = TimeSformer(attention, 2, 32, 16, embed_dims=16, num_heads=2, num_layers=3, drop_path_rate=0.0)
backbone.init_weights()
plain = copy.deepcopy(backbone)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = backbone

    def forward(self, clips):
        return self.backbone(clips)


model = Model()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
shard(model, optimizer)
for block in backbone.blocks:  # as the backbone does at the first forward pass
    block.compile(backend='aot_eager')
clips = torch.randn(2, 3, 2, 32, 32)
for network in (model, plain):
    network(clips)[:, 0].sum().backward()
for (name, ours), theirs in zip(backbone.named_parameters(), plain.parameters()):
    assert (ours.grad is None) == (theirs.grad is None), name
    if ours.grad is not None:
        assert torch.allclose(ours.grad.full_tensor(), theirs.grad, atol=1e-5), name
print(dict(counters['graph_break']), counters['stats']['unique_graphs'])
"""


@pytest.mark.long  # 12 s
def test_shared_out_blocks_compile_without_a_break_and_have_the_gradients_of_plain_ones():
    breaks, graphs = run_tool('-c', SCRIPT).splitlines()[-1].rsplit(' ', 1)
    assert breaks == '{}'
    assert 0 < int(graphs) <= 4
