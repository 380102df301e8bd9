"""Batches of images."""

import torch


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
