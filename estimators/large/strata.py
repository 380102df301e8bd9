"""Few points that stand for many: clusters of both clouds together, and samples in which every cluster has its exact mass."""

import numpy as np
import torch

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.estimators.large.clouds import Clouds

# Points that are clustered for each cluster, rounds of it, and rounds in which far points become seeds.
_POINTS, _ROUNDS, _SEEDING = 10, 3, 4
# Far points are preferred by this power of their squared distance: classes that the first half of the seeds missed are found.
_FAR = 8
_BLOCK = 8192
# Dimensions onto which points are projected at random: distances that tell classes apart stay as they are up to a few per cent.
_DIMENSIONS = 256


def clusters(clouds: Clouds, count: int, rng: np.random.Generator) -> tuple[Int64, Int64]:
    """A cluster for every row and every column, by k-means on a part of both clouds together, in few dimensions."""
    cloud_x, cloud_y = (_projected(clouds.points(side), clouds.n) for side in (False, True))
    step = max(1, (clouds.n + clouds.m) // (_POINTS * count))
    points = torch.cat((cloud_x[::step], cloud_y[::step]))
    centres = _seeds(points, min(count, len(points)), rng)
    for _ in range(_ROUNDS):
        nearest = _nearest(points, centres)[0]
        sizes = torch.bincount(nearest, minlength=len(centres))
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        centres = torch.where(sizes[:, None] > 0, sums / sizes.clamp(min=1)[:, None], centres)
    centres = centres[torch.bincount(_nearest(points, centres)[0], minlength=len(centres)) > 0]
    rows, columns = (_nearest(cloud, centres)[0].cpu().numpy() for cloud in (cloud_x, cloud_y))
    return rows, columns


def _projected(points: torch.Tensor, seed: int) -> torch.Tensor:
    if points.shape[1] <= _DIMENSIONS:
        return points
    directions = np.random.default_rng(seed).standard_normal((points.shape[1], _DIMENSIONS), np.float32)
    return torch.mm(points, torch.as_tensor(directions / np.float32(_DIMENSIONS) ** 0.5, device=points.device))


def _seeds(points: torch.Tensor, count: int, rng: np.random.Generator) -> torch.Tensor:
    chosen = torch.as_tensor(rng.permutation(len(points))[: max(1, count // 2)], device=points.device)
    new, distances = chosen, None
    for _ in range(_SEEDING):
        near = _nearest(points, points[new])[1]
        distances = near if distances is None else torch.minimum(distances, near)
        furthest = float(distances.max())
        if not furthest > 0:
            break
        weights = ((distances / furthest) ** _FAR).cpu().double().numpy()
        more = min((count - count // 2) // _SEEDING, int((weights > 0).sum()))
        if not more:
            break
        new = torch.as_tensor(rng.choice(len(points), more, replace=False, p=weights / weights.sum()), device=points.device)
        chosen = torch.cat((chosen, new))
    return points[chosen].clone()


def _nearest(points: torch.Tensor, centres: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The nearest centre of every point and the squared distance from it."""
    half = (centres**2).sum(1) / 2
    index, distance = [], []
    for start in range(0, len(points), _BLOCK):
        part = points[start : start + _BLOCK]
        best = torch.mm(part, centres.T).sub_(half).max(dim=1)
        index.append(best.indices)
        distance.append(((part**2).sum(1) - 2 * best.values).clamp_(min=0))
    return torch.cat(index), torch.cat(distance)


def stratified(cluster: Int64, mass: Float64, size: int, rng: np.random.Generator) -> tuple[Int64, Float64]:
    """About `size` points and their weights, which add up in every cluster to its mass."""
    n, count = len(cluster), int(cluster.max()) + 1
    order = rng.permutation(n)
    order = order[np.argsort(cluster[order], kind="stable")]
    sizes = np.bincount(cluster, minlength=count)
    wanted = size * sizes / n
    take = np.floor(wanted).astype(np.int64)
    take += rng.random(count) < wanted - take
    take = np.minimum(sizes, np.maximum(take, 1))
    starts = np.cumsum(sizes) - sizes
    within = np.arange(n) - np.repeat(starts, sizes)
    chosen = np.sort(order[within < np.repeat(take, sizes)])
    inside = np.bincount(cluster[chosen], mass[chosen], minlength=count)
    whole = np.bincount(cluster, mass, minlength=count)
    # A share first: the whole mass beside one that is nearly no number has no quotient.
    weights = whole[cluster[chosen]] * (mass[chosen] / inside[cluster[chosen]])
    return chosen, weights / weights.sum()
