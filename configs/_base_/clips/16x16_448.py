# TimeSformer-HR: 16 frames of 448 x 448, one in 16
clip = dict(num_frames=16, frame_interval=16, size=448, jitter=(448, 512))
