"""Processes that are asked to leave in the midst of a validation leave when the checkpoint is on the disk."""

import os
import subprocess
import sys
from pathlib import Path

import warm
from runs import free_port

SCRIPT = """
import signal, sys, time
import torch.distributed as dist
from pathlib import Path
from mmengine.hooks import Hook
from toys import ToyData, toy_runner
from mmtsf.engine.runner import checkpoint_writer

folder, write = Path(sys.argv[1]), checkpoint_writer.save


def slowly(*args):
    time.sleep(3)
    write(*args)


class Asked(Hook):
    def before_val_iter(self, runner, batch_idx, data_batch=None):
        time.sleep(0.2)
        if batch_idx == 0:
            signal.raise_signal(signal.SIGTERM)


class Long(ToyData):
    def __len__(self):
        return 200

    def __getitem__(self, index):
        return super().__getitem__(index % 8)


dist.init_process_group('gloo')
checkpoint_writer.save = slowly
loader = dict(batch_size=2, dataset=Long(), sampler=dict(type='DefaultSampler', shuffle=False))
loader['collate_fn'] = dict(type='default_collate')
hooks = dict(checkpoint=dict(type='CheckpointHook', interval=1), preemption=dict(type='PreemptionHook'))
runner = toy_runner(
    folder, default_hooks=hooks, custom_hooks=[Asked()], scores=dict(up=[0.1, 0.2]), launcher='pytorch',
    cfg=dict(model_wrapper_cfg=dict(type='MMDistributedDataParallel', device_ids=None)),
)
runner._val_dataloader = loader
try:
    runner.train()
finally:
    print((folder / 'epoch_1.pth').is_file())
"""


def test_no_process_leaves_before_the_checkpoint_is_on_the_disk(tmp_path):
    environment = dict(os.environ, MASTER_ADDR='127.0.0.1', MASTER_PORT=str(free_port()), WORLD_SIZE='2')
    environment |= dict(OMP_NUM_THREADS='1', PYTHONPATH=os.pathsep.join(sys.path))
    runs = [
        subprocess.Popen(
            [warm.python(), '-c', SCRIPT, str(tmp_path)],
            cwd=Path(__file__).parent,
            env=environment | dict(RANK=rank, LOCAL_RANK=rank),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in ('0', '1')
    ]
    said = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [75, 75], said
    assert all(text.splitlines()[-1] == 'True' for text in said), said
    assert not (tmp_path / 'epoch_2.pth').exists()
