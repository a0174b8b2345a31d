"""Weights are found wherever a checkpoint keeps them, and under the names that wrappers give them."""

import pytest
import torch
from growth import growth
from helpers import tiny_backbone
from mmengine.config import ConfigDict
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torch_files import Described, Storage, archive, pickled

from mmtsf.weights import backbone_config, read_checkpoint, translate

KEY = 'blocks.0.norm.weight'


def weights() -> dict[str, Tensor]:
    return tiny_backbone('DividedAttention').state_dict()


def assert_found(checkpoint: dict) -> None:
    expected = weights()
    state = translate(checkpoint).state
    assert set(state) == {f'backbone.{key}' for key in expected}
    assert all(state[f'backbone.{key}'].shape == value.shape for key, value in expected.items())


@pytest.mark.parametrize(
    'prefix',
    ['module.', 'module.module.', '_orig_mod.', 'module._orig_mod.', 'model.', 'model._orig_mod.', 'backbone.'],
)
def test_prefixes_of_wrappers_are_taken_off(prefix):
    assert_found(dict(state_dict={f'{prefix}{key}': value for key, value in weights().items()}))
    assert_found({f'{prefix}{key}': value for key, value in weights().items()})


def test_a_part_that_was_compiled_is_recognised():
    assert_found({key.replace('blocks.0.', 'blocks.0._orig_mod.'): value for key, value in weights().items()})


@pytest.mark.parametrize(
    'container', ['model', 'module', 'net', 'model_ema', 'ema', 'teacher', 'model_state_dict', 'ema_state_dict']
)
def test_containers_are_searched(container):
    assert_found({container: weights(), 'epoch': 3, 'optimizer': dict(state={})})
    assert_found({container: dict(module=weights())})
    assert_found({container: weights(), 'model_config': dict(a=1), 'state_dict': {}})


def test_the_count_of_averages_is_no_weight():
    assert_found(AveragedModel(tiny_backbone('DividedAttention')).state_dict())
    assert_found(dict(weights(), steps=torch.tensor(3)))


def test_two_weights_of_one_name_are_refused():
    state = weights()
    state[f'module.{KEY}'] = state[KEY] + 1
    with pytest.raises(ValueError, match=f'weights of this checkpoint have the same names: {KEY}'):
        translate(state)


def test_a_model_that_a_config_node_tells_of_is_known(tmp_path):
    backbone = ConfigDict(type='TimeSformer', attention=dict(type='DividedAttention'))
    torch.save(dict(state_dict=weights(), meta=dict(backbone=backbone)), tmp_path / 'model.pth')
    options = translate(read_checkpoint(str(tmp_path / 'model.pth'))).options
    assert options == dict(type='TimeSformer', attention=dict(type='DividedAttention'))
    with pytest.raises(ValueError, match='what this file tells of its model is not taken: img_size is|num_frames is|'):
        backbone_config(translate(dict(state_dict=weights(), meta=dict(backbone=dict(options, embed_dims=7)))))


def test_tied_blocks_averages_and_expanded_buffers_are_read(tmp_path):
    state = weights()
    tied = {f'blocks.{i}.norm.weight': state[KEY] for i in range(12)}
    averages = {f'average{i}': {key: value.detach() for key, value in state.items()} for i in range(5)}
    buffer = torch.zeros(1).expand(10)
    torch.save(dict(state_dict={**state, **tied}, more=averages, buffer=buffer), tmp_path / 'model.pth')
    read = read_checkpoint(str(tmp_path / 'model.pth'))
    assert translate(read).report.matched == len({**state, **tied})
    assert torch.equal(read['buffer'], buffer)
    assert all(torch.equal(read['more']['average4'][key], value) for key, value in state.items())


@pytest.mark.parametrize(
    ('size', 'stride'), [((30_000, 30_000), (0, 0)), ((2**20, 2**20), (0, 0)), ((400, 400), (1, 1)), ((2,), (0,))]
)
def test_weights_that_repeat_numbers_are_named_without_a_copy(size, stride, tmp_path):
    content = dict(weight=Described(Storage('s', 1000), size, stride))
    numbers = 1000 if stride != (0,) else 1
    content = dict(weight=Described(Storage('s', numbers), size, stride))
    path = archive(tmp_path / 'model.pth', pickled(content), s=bytes(4 * numbers))
    error, megabytes = growth(lambda: translate(read_checkpoint(str(path))))
    assert 'the weights weight repeat their numbers, as expand() does; save clones' in error
    assert megabytes < 60


@pytest.mark.parametrize(
    'odd', [torch.eye(3).to_sparse(), torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)]
)
def test_weights_of_a_file_that_are_not_dense_are_named(odd, tmp_path):
    torch.save(dict(state_dict={**weights(), KEY: odd}), tmp_path / 'model.pth')
    with pytest.raises(ValueError, match=f'the weights {KEY} have no name, or are sparse, quantised'):
        translate(read_checkpoint(str(tmp_path / 'model.pth')))


def test_a_number_that_is_too_large_is_not_called_nan():
    state = {key: value.double() for key, value in weights().items()}
    state[KEY] = state[KEY] + 1e300
    with pytest.raises(ValueError, match='or a number too large for float32: backbone.blocks.0.norm.weight'):
        translate(state)
