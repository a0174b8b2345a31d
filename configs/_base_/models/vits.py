# Architectures of published weights, by the names of these: parts and sizes of the backbone; mean, std and size of frames
# as their authors have them. start=NAME brings one, vit=NAME chooses one for a file. One of your own:
#   vits = dict(mine=dict(_use_='${vits.mae_vit_base_patch16}', mean=..., backbone=dict(...)))
#   vit = 'mine'
_small, _base = dict(embed_dims=384, num_heads=6, num_layers=12), dict(embed_dims=768, num_heads=12, num_layers=12)
_large, _huge = dict(embed_dims=1024, num_heads=16, num_layers=24), dict(embed_dims=1280, num_heads=16, num_layers=32)
_imagenet = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], size=224, jitter=(256, 320))
vits = dict(
    # of the paper; 0.45 and 0.225 of 255, as in the released code
    vit_base_patch16=dict(
        mean=[114.75, 114.75, 114.75],
        std=[57.375, 57.375, 57.375],
        size=224,
        jitter=(256, 320),
        backbone=dict(patch_size=16, **_base),
    ),
    mae_vit_base_patch16=dict(_imagenet, backbone=dict(patch_size=16, **_base)),
    mae_vit_large_patch16=dict(_imagenet, backbone=dict(patch_size=16, **_large)),
    mae_vit_huge_patch14=dict(_imagenet, backbone=dict(patch_size=14, **_huge)),
)
