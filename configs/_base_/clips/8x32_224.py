# TimeSformer: 8 frames of 224 x 224, one in 32
clip = dict(num_frames=8, frame_interval=32, size=224, jitter=(256, 320))
