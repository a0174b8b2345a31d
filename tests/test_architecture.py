"""The parts that docs/architecture.md adds from outside the repository train, together."""

import re

import numpy as np
import pytest
import torch
from runs import ROOT, run_tool

from mmtsf.models import TimeSformer
from mmtsf.weights import translate_back

BLOCKS = re.findall(r'```python\n(.*?)```', (ROOT / 'docs/architecture.md').read_text(), re.DOTALL)


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A folder with the module and the config of the page, videos as NumPy files, and weights with other names."""
    (tmp_path / 'mine.py').write_text('\n'.join(code for code in BLOCKS if not code.startswith('_base_')))
    [config] = [code for code in BLOCKS if code.startswith('_base_')]
    config = config.replace("'fork.pth'", f"'{tmp_path}/fork.pth'").replace("'videos'", f"'{tmp_path}/videos'")
    (tmp_path / 'config.py').write_text(config)
    (tmp_path / 'videos').mkdir()
    for number in range(8):
        frames = np.random.default_rng(number).integers(0, 256, (24, 64, 80, 3), np.uint8)
        np.save(tmp_path / f'videos/{("left", "right")[number % 2]}_{number}.npy', frames)
    sizes = dict(img_size=48, patch_size=8, embed_dims=64, num_heads=2, num_layers=4)
    image = TimeSformer(dict(type='SpaceAttention'), **sizes).state_dict()
    names = translate_back({f'backbone.{key}': value for key, value in image.items()}, 'timm', 'image')
    torch.save({f'encoder.{key}': value for key, value in names.items()}, tmp_path / 'fork.pth')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    return tmp_path


def test_a_scheme_a_decoder_an_origin_and_a_data_set_from_outside_train(outside):
    words = ['--work-dir', outside / 'work', '--cfg-options', 'max_epochs=1']
    log = run_tool('tools/train.py', outside / 'config.py', *words, anew=True)
    assert re.search(r'fork\.pth \(fork\): \d\d weights matched', log)
    assert '8 found, 8 scored' in log
    state = torch.load(outside / 'work/epoch_1.pth', weights_only=True)['state_dict']
    assert 'backbone.blocks.0.attention.steps.tube.qkv.weight' in state
