# For small trials on a CPU: 8 frames of 64 x 64, one in 3
clip = dict(num_frames=8, frame_interval=3, size=64, jitter=(64, 72))
