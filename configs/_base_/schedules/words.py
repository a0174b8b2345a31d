# What a way to train says beside its optimizer and schedule: model, pipelines and hooks refer to these words.
# Every schedule here has it as its base; a schedule without this table gets these values.
training = dict(
    augmentation='plain',  # of training clips: or 'strong', see pipelines.py
    clips_per_video=1,  # in training, from one decoding; a batch has batch_size times as many clips
    label_smoothing=0.0,
    blending=None,  # config of a module that mixes the clips of a batch
    head=dict(type='TimeSformerHead'),
    frozen=False,  # whether the backbone stays as it is; 'image': what an image model has of it
    adapters=None,  # low-rank adapters that learn in the place of the backbone's weights, see mmtsf.models.adapters
    ema=None,  # config of a hook that averages the weights
    # classes of unequal size, see docs/guides/unequal_classes.md
    balance=0.0,  # how evenly they are drawn: 0 as they are, 1 all the same
    class_weight=None,  # of the loss: 'inverse' or 'effective', beta of the effective number, or a list
    logit_adjustment=0.0,  # tau: times the log of their shares, added to the logits in training
    focal=0.0,  # gamma of the focal loss; 0: cross entropy
    protocol='paper',  # or 'released': where clips are taken and how views are combined, see pipelines.py
)
