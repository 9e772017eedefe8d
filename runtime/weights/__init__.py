"""Weights of released models: checkpoints read, names mapped to ours, tensors brought into our shapes."""
