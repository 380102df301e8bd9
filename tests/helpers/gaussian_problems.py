"""Clouds for Gaussian distances, and these distances by the textbook at fifty digits and more."""

import math

import mpmath
import numpy as np
import pytest
from problems import WEIGHTINGS

KINDS = ("full", "diagonal")
kinds = pytest.mark.parametrize("kind", KINDS)
weightings = pytest.mark.parametrize("weighting", WEIGHTINGS)
# n, m, d: more points than dimensions on both sides, on one, on neither, and a single point.
SHAPES = [(9, 7, 3), (3, 8, 4), (3, 4, 5), (1, 6, 3), (6, 1, 2), (1, 1, 3), (12, 12, 1)]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)

GOOD = np.arange(6.0).reshape(3, 2)


def draw(shape, seed=0):
    n, m, d = shape
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d))
    return rng.normal(size=(n, d)) @ mix + rng.normal(size=d), rng.normal(size=(m, d)) * rng.uniform(0.3, 3, d)


def exact_moments(points, weights, kind):
    n, d = points.shape
    weights = [mpmath.mpf(1) / n] * n if weights is None else [mpmath.mpf(float(w)) for w in weights]
    total = sum(weights)
    rows = [[mpmath.mpf(float(v)) for v in row] for row in points]
    mean = [sum(w * row[j] for w, row in zip(weights, rows, strict=True)) / total for j in range(d)]
    covariance = mpmath.matrix(d, d)
    for i in range(d):
        for j in range(d):
            if kind == "full" or i == j:
                terms = (w * (row[i] - mean[i]) * (row[j] - mean[j]) for w, row in zip(weights, rows, strict=True))
                covariance[i, j] = sum(terms) / total
    return mpmath.matrix(mean), covariance


def exact_root(matrix):
    values, vectors = mpmath.eigsy(matrix)
    return vectors * mpmath.diag([mpmath.sqrt(max(v, 0)) for v in values]) * vectors.T


def exact_wasserstein(x, y, kind="full", weights_x=None, weights_y=None):
    """From the textbook formula with matrix roots, at 80 digits: 35 of them survive the root of a zero eigenvalue."""
    with mpmath.workdps(80):
        (mean_x, cov_x), (mean_y, cov_y) = exact_moments(x, weights_x, kind), exact_moments(y, weights_y, kind)
        root = exact_root(cov_x)
        cross = exact_root(root * cov_y * root)
        gap = mean_x - mean_y
        trace = sum(cov_x[i, i] + cov_y[i, i] - 2 * cross[i, i] for i in range(len(mean_x)))
        return float(mpmath.sqrt(max(sum(v * v for v in gap) + trace, 0)))


def exact_kl(x, y, kind="full", shrinkage=0.0, weights_x=None, weights_y=None):
    with mpmath.workdps(50):
        (mean_x, cov_x), (mean_y, cov_y) = exact_moments(x, weights_x, kind), exact_moments(y, weights_y, kind)
        d, s = len(mean_x), mpmath.mpf(shrinkage)
        cov_x, cov_y = ((1 - s) * c + s * sum(c[i, i] for i in range(d)) / d * mpmath.eye(d) for c in (cov_x, cov_y))
        inverse, gap = cov_y**-1, mean_x - mean_y
        product = inverse * cov_x
        trace = sum(product[i, i] for i in range(d))
        return float((trace - d + (gap.T * inverse * gap)[0] + mpmath.log(mpmath.det(cov_y) / mpmath.det(cov_x))) / 2)


def size(*points):
    return 1.0 + max(float(np.abs(p).max()) for p in points) * math.sqrt(points[0].shape[1])


def sides(drawn, i, j):
    weights = drawn.keywords(i, j)
    return (drawn.points[i], drawn.points[j]), weights
