# TimeSformer-L: 96 frames of 224 x 224, one in 4
clip = dict(num_frames=96, frame_interval=4, size=224, jitter=(256, 320))
