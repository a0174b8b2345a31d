# TimeSformer: 8 frames of 224 x 224 (or of the size of start), one in 32
clip = dict(num_frames=8, frame_interval=32, size='${vits.${vit}.size}', jitter='${vits.${vit}.jitter}')
