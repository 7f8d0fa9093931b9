"""MOTChallenge files and sequences, DHN pairs, result files, images and video, and rendered scenes."""
