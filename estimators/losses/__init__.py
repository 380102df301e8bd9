"""Distances of a batch, differentiable, for training."""
