"""Studies of optimizer tunability: specifications, fused training, launching and the command line."""
