"""Terms of the objectives by their formulas, in NumPy and float64, independent of the code under test."""

import itertools
import math

import numpy as np
import torch
from objective_problems import CLASSES
from torch.distributions import MultivariateNormal, kl_divergence


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def kl(p, q):
    return (p * (np.log(p) - np.log(q))).sum(axis=1)


def brute_w2(x, y):
    """W₂² of two clouds of one size: the best of all permutations."""
    costs = pairs(x, y)
    return min(costs[range(len(x)), order].mean() for order in itertools.permutations(range(len(x))))


def pairs(x, y):
    """Squared distances of all pairs."""
    return ((x[:, None] - y[None]) ** 2).sum(axis=2)


def brute_jw2(z_s, z_t, a_s, a_t, y, beta=1.0, label_cost="logits", feature_scale="mean", label_scale="mean"):
    """JW₂² from its definition: the best of all permutations for the sum of two scaled costs."""
    labels = {
        "logits": lambda: [a - a.mean(axis=1, keepdims=True) for a in (a_s, a_t)],
        "predictions": lambda: [softmax(a_s), softmax(a_t)],
        "labels": lambda: [softmax(a_s), np.eye(CLASSES)[y]],
    }[label_cost]()
    features, of_labels = pairs(z_s, z_t), pairs(*labels)
    scales = [
        {"mean": costs.mean(), "max": costs.max()}.get(scale, scale)
        for costs, scale in ((features, feature_scale), (of_labels, label_scale))
    ]
    costs = features / scales[0] + beta * of_labels / scales[1]
    return min(costs[range(len(z_s)), order].mean() for order in itertools.permutations(range(len(z_s))))


def moments(x, shrinkage=0.0, diagonal=False):
    covariance = np.cov(x.T, bias=True)
    if diagonal:
        covariance = np.diag(np.diag(covariance))
    return x.mean(axis=0), (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / x.shape[1] * np.eye(x.shape[1])


def root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T


def brute_gaussian_w2(x, y, diagonal=False):
    (mean_x, cov_x), (mean_y, cov_y) = moments(x, diagonal=diagonal), moments(y, diagonal=diagonal)
    half = root(cov_x)
    return ((mean_x - mean_y) ** 2).sum() + np.trace(cov_x + cov_y - 2 * root(half @ cov_y @ half))


def brute_kl(x, y, shrinkage, diagonal=False):
    first, second = (MultivariateNormal(*(torch.tensor(part) for part in moments(z, shrinkage, diagonal))) for z in (x, y))
    return kl_divergence(first, second).item()


def brute_mmd(x, y, sigma):
    def mean(a, b):
        return np.mean([[math.exp(-((p - q) ** 2).sum() / (2 * sigma**2)) for q in b] for p in a])

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


def by_class(distance, x, y, labels):
    return np.mean([distance(x[labels == c], y[labels == c]) for c in np.unique(labels)])


def conditional_moments(x, labels, pooling, shrinkage):
    within = sum(np.cov(x[labels == c].T, bias=True) * (labels == c).sum() for c in np.unique(labels)) / len(x)
    result = {}
    for c in np.unique(labels):
        own = x[labels == c]
        share = pooling if len(own) > 1 else 1.0
        covariance = (1 - share) * np.cov(own.T, bias=True) + share * within
        level = shrinkage * np.trace(covariance) / x.shape[1]
        result[c] = own.mean(axis=0), (1 - shrinkage) * covariance + level * np.eye(x.shape[1])
    return result


def brute_conditional_kl(x, y, labels, pooling=0.5, shrinkage=0.1):
    first, second = (conditional_moments(z, labels, pooling, shrinkage) for z in (x, y))
    normal = {
        side: {c: MultivariateNormal(*map(torch.tensor, m)) for c, m in of.items()}
        for side, of in zip("xy", (first, second), strict=True)
    }
    return np.mean([kl_divergence(normal["x"][c], normal["y"][c]).item() for c in first])


def median_distance(x):
    return np.median([np.linalg.norm(p - q) for p, q in itertools.combinations(x, 2)])


def oracle(name, options, student, teacher, labels):
    """The value of a term by the formula, in NumPy and float64."""
    a_s, z_s, a_t, z_t = (t.numpy() for t in (student.logits, student.features, teacher.logits, teacher.features))
    y = labels.numpy()
    gamma = options.get("gamma", 0.1)
    diagonal = options.get("covariance") == "diagonal"
    power = softmax(a_t) ** gamma
    target = power / power.sum(axis=1, keepdims=True)
    sigma = options.get("bandwidth") or median_distance(z_t)
    linear = options.get("kernel") == "linear"
    mmd = (lambda p, q: ((p.mean(axis=0) - q.mean(axis=0)) ** 2).sum()) if linear else lambda p, q: brute_mmd(p, q, sigma)
    shrinkage = options.get("shrinkage", 0.1)
    values = {
        "kd": lambda: 16 * kl(softmax(a_t / 4), softmax(a_s / 4)).mean(),
        "ttm": lambda: kl(target, softmax(a_s)).mean(),
        "wttm": lambda: (power.sum(axis=1) * kl(target, softmax(a_s))).mean(),
        "w2": lambda: brute_w2(z_s, z_t),
        "cw2": lambda: by_class(brute_w2, z_s, z_t, y),
        "jw2": lambda: brute_jw2(z_s, z_t, a_s, a_t, y, **options),
        "gaussian-w2": lambda: brute_gaussian_w2(z_s, z_t, diagonal),
        "gaussian-cw2": lambda: by_class(lambda p, q: brute_gaussian_w2(p, q, diagonal), z_s, z_t, y),
        "gaussian-kl": lambda: brute_kl(
            *((z_s, z_t) if options.get("direction") == "student-teacher" else (z_t, z_s)), shrinkage, diagonal
        ),
        "symmetric-gaussian-kl": lambda: (
            (brute_kl(z_t, z_s, shrinkage, diagonal) + brute_kl(z_s, z_t, shrinkage, diagonal)) / 2
        ),
        "conditional-gaussian-kl": lambda: brute_conditional_kl(z_t, z_s, y, options.get("pooling", 0.5), shrinkage),
        "mmd": lambda: mmd(z_s, z_t),
        "conditional-mmd": lambda: by_class(mmd, z_s, z_t, y),
        "paired-l2": lambda: ((z_s - z_t) ** 2).sum(axis=1).mean(),
    }
    return values[name]()
