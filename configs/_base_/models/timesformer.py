# TimeSformer over ViT-B/16 with divided space-time attention
compiled = 'auto'  # torch.compile of the blocks: on a GPU; or True, False
batch_size = 8  # videos that a process trains on at once, at most
start = 'vit_base_imagenet21k'  # weights to start from: a file, a URL, a name of docs/weights.md, or None
vit = 'auto'  # architecture: a name of vits.py; 'auto' is that of start, or the paper's where start is none of them
model = dict(
    type='VideoRecognizer',
    _scope_='mmtsf',  # MMAction2's inferencers have a scope of their own
    frozen='${training.frozen}',
    adapters='${training.adapters}',
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean='${vits.${vit}.mean}',
        std='${vits.${vit}.std}',
        to_rgb='${protocols.${protocol}.to_rgb}',
        format_shape='NCTHW',
        blending='${training.blending}',
    ),
    backbone=dict(
        _use_='${vits.${vit}.backbone}',
        type='TimeSformer',
        attention=dict(type='DividedAttention'),
        num_frames='${clip.num_frames}',
        img_size='${clip.size}',
        drop_path_rate=0.1,
        compiled='${compiled}',
        init_cfg=dict(type='Pretrained', checkpoint='${start}'),
    ),
    cls_head=dict(
        _use_='${training.head}',
        num_classes='${data.num_classes}',
        in_channels='${model.backbone.embed_dims}',
        multi_class='${data.multi_class}',
        label_smooth_eps='${training.label_smoothing}',
        average_clips='${protocols.${protocol}.average_clips}',
    ),
    test_cfg=dict(max_testing_views=None),
)
