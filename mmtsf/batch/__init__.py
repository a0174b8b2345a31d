"""Work through many videos: in processes of this machine, or on a cluster by Ray."""
