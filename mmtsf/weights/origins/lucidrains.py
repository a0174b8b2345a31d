"""Translate weights of ``timesformer-pytorch`` by Phil Wang (lucidrains), with rotary positions."""

import re

from mmtsf.weights.key_table import KeyTable

from .origin import Origin, State, step_names


def _attention(number: int) -> dict[str, str]:
    layer = f'layers.{{i}}.{number}'
    return {f'{layer}.norm.{{p}}': 'norm', f'{layer}.fn.to_qkv.{{p}}': 'qkv', f'{layer}.fn.to_out.0.{{p}}': 'proj'}


def _unpack(state: State) -> State:
    """Remove the token-shift wrapper, and reshape the linear layer over pixels ``(C, P*P*3)`` to a convolution."""
    state = {re.sub(r'\.fn\.fn\.', '.fn.', key): value for key, value in state.items()}
    name = 'to_patch_embedding.weight'
    if name in state and state[name].ndim == 2:
        size = round((state[name].shape[1] / 3) ** 0.5)
        state[name] = state[name].unflatten(1, (size, size, 3)).permute(0, 3, 1, 2)
    if 'cls_token' in state:
        state['cls_token'] = state['cls_token'].view(1, 1, -1)
    return state


def _options(state: State) -> dict:
    if 'frame_rot_emb.inv_freqs' not in state:
        return {}
    head_dims = 2 * len(state['frame_rot_emb.inv_freqs'])
    qkv = next(value for key, value in state.items() if key.endswith('to_qkv.weight'))
    return dict(
        attention=dict(
            type='DividedAttention', cls_token='all', temporal_fc=False, head_dims=head_dims, qkv_bias=False
        ),
        num_heads=len(qkv) // (3 * head_dims),
        position='rotary',
        mlp=dict(type='GatedMLP'),
        token_shift=any('.fn.fn.' in key for key in state),
        norm_eps=1e-5,
    )


LUCIDRAINS = Origin(
    'lucidrains',
    {
        'divided': KeyTable(
            {
                'cls_token': 'backbone.embedding.cls',
                'to_patch_embedding.{p}': 'backbone.embedding.patch.{p}',
                **step_names(_attention(0), 'time'),
                **step_names(_attention(1), 'space'),
                'layers.{i}.2.norm.{p}': 'backbone.blocks.{i}.norm.{p}',
                'layers.{i}.2.fn.net.0.{p}': 'backbone.blocks.{i}.mlp.0.{p}',
                'layers.{i}.2.fn.net.3.{p}': 'backbone.blocks.{i}.mlp.2.{p}',
                'to_out.0.{p}': 'backbone.norm.{p}',
                'to_out.1.{p}': 'cls_head.fc_cls.{p}',
            }
        )
    },
    unused=r'frame_rot_emb\.inv_freqs|image_rot_emb\.scales',
    unpack=_unpack,
    options=_options,
)
