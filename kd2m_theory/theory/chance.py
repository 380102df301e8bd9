"""Words that statements with probability 1 − δ are made of. Laws are finite, so that every probability is a finite sum."""

import math
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from kd2m_theory.theory.statement import Sides

Floats = NDArray[np.float64]
# A quantity within this of its limit counts as covered, so that rounding never makes a failure.
SLACK = 1e-12


def scalar(value: float) -> torch.Tensor:
    """A float64 tensor without axes."""
    return torch.tensor(value, dtype=torch.float64)


def failing(probability: float, delta: float) -> Sides:
    """The probability that a statement fails against the one that it allows."""
    return Sides(scalar(float(probability)), scalar(delta))


def best_of(failure: float, rounds: int) -> float:
    """Probability that the most favourable of several independent statements fails."""
    return 1.0 - (1.0 - failure) ** rounds


def outcomes(n: int, shares: Floats) -> tuple[Floats, Floats]:
    """All counts of a multinomial sample that can occur, one row each, and their probabilities."""
    cells = np.flatnonzero(shares)
    if len(cells) == 1:
        return n * np.eye(len(shares))[cells], np.ones(1)
    last = n + len(cells) - 1
    bars = np.array(list(combinations(range(last), len(cells) - 1)))
    edges = np.hstack((np.full((len(bars), 1), -1), bars, np.full((len(bars), 1), last)))
    counts = np.zeros((len(bars), len(shares)))
    counts[:, cells] = np.diff(edges, axis=1) - 1
    return counts, np.asarray(stats.multinomial.pmf(counts[:, cells], n, shares[cells] / shares.sum()))


def one_moves(p: float) -> Floats:
    """Joint law of two points: the teacher's feature is always the first, the student's is the second with probability p."""
    return np.array([[1 - p, 0.0], [p, 0.0]])


def swaps(p: float) -> Floats:
    """Joint law of two points: student and teacher are never at the same one."""
    return np.array([[0.0, p], [1 - p, 0.0]])


def hoeffding_radius(n: int, delta: float, width: float = 1.0) -> float:
    """One-sided radius of the mean of n values in a range of this width."""
    return width * math.sqrt(math.log(1 / delta) / (2 * n))


def clopper_pearson_upper(k: Floats, n: int, delta: float) -> Floats:
    """The p with P(Bin(n, p) ≤ k) = δ; 1 for k = n."""
    return np.where(k < n, stats.beta.ppf(1 - delta, k + 1, np.maximum(n - k, 0.5)), 1.0)
