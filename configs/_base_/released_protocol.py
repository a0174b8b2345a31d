# The released code's protocol, to the pixel: protocol=released. What differs from the paper's: docs/from_released.md
protocols = dict(
    released=dict(
        clips='ReleasedSampleClips',
        segments='ReleasedSampleSegments',
        start='first',
        rescale=dict(
            type='ReleasedResize',
            short_side='${clip.jitter}',
            inverse='${protocols.released.loaders.${data.released_loader}.inverse}',
        ),
        resize=dict(
            type='ReleasedTestResize',
            size='${clip.size}',
            num_crops='${views.num_crops}',
            jitter='${protocols.released.loaders.${data.released_loader}.jitter}',
        ),
        crops='ReleasedCropViews',
        average_clips='score',
        to_rgb='${protocols.released.loaders.${data.released_loader}.to_rgb}',
        # data.released_loader chooses
        loaders=dict(
            kinetics=dict(inverse=False, jitter='${clip.jitter}', to_rgb=False),
            ssv2=dict(inverse=True, jitter=None, to_rgb=True),  # its model saw BGR; to_rgb swaps red and blue
        ),
    ),
)
