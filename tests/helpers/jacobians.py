"""Jacobians of real torch modules, and the matrices of linear ones: oracles of Lipschitz constants."""

import numpy as np
import torch


def dense(layer, shape):
    """Matrix of a linear layer, outputs × inputs: the identity pushed through it in float64, less its value at zero."""
    layer = layer.double()
    with torch.no_grad():
        basis = torch.eye(int(np.prod(shape)), dtype=torch.float64).reshape(-1, *shape)
        out = layer(basis) - layer(torch.zeros_like(basis[:1]))
    return out.reshape(len(basis), -1).numpy().T


def jacobian(module, x):
    """Of the real module at x (without batch axis), outputs × inputs."""
    made = torch.autograd.functional.jacobian(lambda z: module(z[None])[0], x, vectorize=False)
    return made.reshape(-1, x.numel())


def slope(module, x):
    """Norm of the Jacobian at x."""
    return torch.linalg.matrix_norm(jacobian(module, x), 2).item()


def steepest(module, shape, seed=0, draws=6):
    """Largest Jacobian norm at random points of several scales and where one entry, or a few, stand out."""
    generator = torch.Generator().manual_seed(seed)
    points = [
        scale * torch.randn(shape, generator=generator, dtype=torch.float64) for scale in [0.1, 1, 3, 30] for _ in range(draws)
    ]
    for _ in range(draws):
        spike = torch.randn(shape, generator=generator, dtype=torch.float64)
        spike.view(-1)[torch.randint(spike.numel(), (2,), generator=generator)] += 50
        points.append(spike)
    return max(slope(module, point) for point in points)
