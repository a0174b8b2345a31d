# For small trials on a CPU: 8 frames of 48 x 48, one in 3
clip = dict(num_frames=8, frame_interval=3, size=48, jitter=(48, 56))
