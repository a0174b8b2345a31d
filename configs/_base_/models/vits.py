# Architectures of published weights, by the names of these: parts and sizes of the backbone; mean, std and size of
# frames as their authors have them. start=NAME brings one, vit=NAME chooses one for a file. One of your own:
#   vits = dict(mine=dict(_use_='${vits.mae_vit_base_patch16}', mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]))
#   vit = 'mine'
_small, _base = dict(embed_dims=384, num_heads=6, num_layers=12), dict(embed_dims=768, num_heads=12, num_layers=12)
_large, _huge = dict(embed_dims=1024, num_heads=16, num_layers=24), dict(embed_dims=1280, num_heads=16, num_layers=32)
_giant = dict(embed_dims=1408, num_heads=16, num_layers=40, mlp=dict(type='MLP', ratio=6144 / 1408))
_at_224, _at_336 = dict(size=224, jitter=(256, 320)), dict(size=336, jitter=(384, 480))
_released = dict(mean=[114.75, 114.75, 114.75], std=[57.375, 57.375, 57.375], **_at_224)  # 0.45 and 0.225 of 255
_imagenet = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], **_at_224)
_inception = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5], **_at_224)
_openai = dict(mean=[122.7709383, 116.7460125, 104.09373615], std=[68.5005327, 66.6321579, 70.32316305], **_at_224)

_openclip = dict(embedding=dict(type='NormEmbedding', norm_eps=1e-5), norm_eps=1e-5)
_clip = dict(_openclip, mlp=dict(type='MLP', activation='quick_gelu'))
_dinov2 = dict(patch_size=14, layer_scale=1.0)
_dinov2_giant = dict(
    _dinov2,
    embed_dims=1536,
    num_heads=24,
    num_layers=40,
    mlp=dict(type='GatedMLP', activation='silu', ratio=4096 / 1536),
)
_registers = dict(embedding=dict(type='RegisterEmbedding', num_registers=4, antialias=True))
_dinov3 = dict(
    embedding=dict(type='RegisterEmbedding', num_registers=4),
    patch_size=16,
    position='time',
    step=dict(type='RotaryStep', base=100.0),
    layer_scale=1.0,
    norm_eps=1e-5,
)
_swiglu = dict(mlp=dict(type='GatedMLP', activation='silu', ratio=4.0))
_deit3 = dict(layer_scale=1.0)
_at_16 = dict(pool='mean', patch_size=16, embedding=dict(type='TubeletEmbedding', tubelet=2, places=(8, 14, 14)))
_at_14 = dict(pool='mean', patch_size=14, embedding=dict(type='TubeletEmbedding', tubelet=2, places=(8, 16, 16)))
_videomae = dict(_at_16, norm_eps=1e-12, last_norm_eps=1e-5)  # as Hugging Face has it; the authors' code has 1e-6

vits = dict(
    vit_base_patch16=dict(_released, backbone=dict(patch_size=16, **_base)),  # the paper's
    clip_vit_base_patch32=dict(_openai, backbone=dict(_clip, patch_size=32, **_base)),
    clip_vit_base_patch16=dict(_openai, backbone=dict(_clip, patch_size=16, **_base)),
    clip_vit_large_patch14=dict(_openai, backbone=dict(_clip, patch_size=14, **_large)),
    clip_vit_large_patch14_336=dict(_openai, **_at_336, backbone=dict(_clip, patch_size=14, **_large)),
    openclip_vit_base_patch16_laion2b=dict(_openai, backbone=dict(_openclip, patch_size=16, **_base)),
    openclip_vit_large_patch14_laion2b=dict(_inception, backbone=dict(_openclip, patch_size=14, **_large)),
    openclip_vit_huge_patch14_laion2b=dict(_openai, backbone=dict(_openclip, patch_size=14, **_huge)),
    openclip_vit_giant_patch14_laion2b=dict(_openai, backbone=dict(_openclip, patch_size=14, **_giant)),
    dinov2_vit_small_patch14=dict(_imagenet, backbone=dict(_dinov2, **_small)),
    dinov2_vit_base_patch14=dict(_imagenet, backbone=dict(_dinov2, **_base)),
    dinov2_vit_large_patch14=dict(_imagenet, backbone=dict(_dinov2, **_large)),
    dinov2_vit_giant_patch14=dict(_imagenet, backbone=_dinov2_giant),
    dinov2_vit_small_patch14_reg4=dict(_imagenet, backbone=dict(_dinov2, **_registers, **_small)),
    dinov2_vit_base_patch14_reg4=dict(_imagenet, backbone=dict(_dinov2, **_registers, **_base)),
    dinov2_vit_large_patch14_reg4=dict(_imagenet, backbone=dict(_dinov2, **_registers, **_large)),
    dinov2_vit_giant_patch14_reg4=dict(_imagenet, backbone=dict(_dinov2_giant, **_registers)),
    dinov3_vit_small_patch16=dict(_imagenet, backbone=dict(_dinov3, **_small)),
    dinov3_vit_small_plus_patch16=dict(_imagenet, backbone=dict(_dinov3, **_small, **_swiglu)),
    dinov3_vit_base_patch16=dict(_imagenet, backbone=dict(_dinov3, **_base)),
    dinov3_vit_large_patch16=dict(_imagenet, backbone=dict(_dinov3, **_large)),
    dinov3_vit_huge_plus_patch16=dict(_imagenet, backbone=dict(_dinov3, **_huge | dict(num_heads=20), **_swiglu)),
    mae_vit_base_patch16=dict(_imagenet, backbone=dict(patch_size=16, **_base)),
    mae_vit_large_patch16=dict(_imagenet, backbone=dict(patch_size=16, **_large)),
    mae_vit_huge_patch14=dict(_imagenet, backbone=dict(patch_size=14, **_huge)),
    deit3_small_patch16=dict(_imagenet, backbone=dict(_deit3, patch_size=16, **_small)),
    deit3_base_patch16=dict(_imagenet, backbone=dict(_deit3, patch_size=16, **_base)),
    deit3_large_patch16=dict(_imagenet, backbone=dict(_deit3, patch_size=16, **_large)),
    deit3_huge_patch14=dict(_imagenet, backbone=dict(_deit3, patch_size=14, **_huge)),
    videomae_small_patch16_k400=dict(_imagenet, backbone=dict(_videomae, **_small)),
    videomae_base_patch16=dict(_imagenet, backbone=dict(_videomae, **_base)),
    videomae_base_patch16_k400=dict(_imagenet, backbone=dict(_videomae, **_base)),
    videomae_large_patch16=dict(_imagenet, backbone=dict(_videomae, **_large)),
    videomae_large_patch16_k400=dict(_imagenet, backbone=dict(_videomae, **_large)),
    videomae_huge_patch16_k400=dict(_imagenet, backbone=dict(_videomae, **_huge)),
    videomaev2_small_patch16_k710=dict(_imagenet, backbone=dict(_at_16, **_small)),
    videomaev2_base_patch16_k710=dict(_imagenet, backbone=dict(_at_16, **_base)),
    videomaev2_large_patch16=dict(_imagenet, backbone=dict(_at_16, **_large)),
    videomaev2_huge_patch16=dict(_imagenet, backbone=dict(_at_16, **_huge)),
    videomaev2_giant_patch14=dict(_imagenet, backbone=dict(_at_14, **_giant)),
)
