"""Training on Ray: the only package that imports ray for training."""
