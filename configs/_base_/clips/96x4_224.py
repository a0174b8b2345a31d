# TimeSformer-L: 96 frames of 224 x 224 (or of the size of start), one in 4
clip = dict(num_frames=96, frame_interval=4, size='${vits.${vit}.size}', jitter='${vits.${vit}.jitter}')
