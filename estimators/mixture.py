"""Wasserstein distance between mixtures of Gaussians, and the Bures distance of covariances it is made of."""

from typing import Any

import numpy as np

from kd2m_theory.arrays import Float64, cloud, probability_weights, real_array, same_dimension, to_numpy
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.enclosure import Enclosure
from kd2m_theory.estimators.ground import EPS, CostMatrix
from kd2m_theory.estimators.scale import exponent_of, shifted, without_constants
from kd2m_theory.estimators.transport import optimal_cost

# Below this share of the traces, their difference from twice the nuclear norm has lost three digits.
_CANCELLED = 1e-3


def mixture_wasserstein(
    weights_x: Any, means_x: Any, covariances_x: Any, weights_y: Any, means_y: Any, covariances_y: Any
) -> Enclosure:
    """MW₂ between two mixtures of Gaussians: optimal transport of components at their squared W₂, and the root of it.

    MW₂ is the least cost among couplings that are mixtures of Gaussians themselves, so MW₂ ≥ W₂ of the mixtures; with one
    component a side it is W₂ of the Gaussians.

    A fitted `sklearn.mixture.GaussianMixture` g fits in as `g.weights_, g.means_, g.covariances_` for covariance_type "full"
    and "diag"; for "tied" pass `np.broadcast_to(g.covariances_, (K, d, d))`, for "spherical" `g.covariances_[:, None] *
    np.ones(d)`.

    Args:
        weights_x: K weights ≥ 0 that sum to one.
        means_x: K × d means.
        covariances_x: K × d × d covariances, symmetric and positive semi-definite, or K × d variances.
        weights_y: L weights.
        means_y: L × d means.
        covariances_y: L × d × d covariances or L × d variances.

    Returns:
        Enclosure of MW₂, a distance; its width covers the solver, and the rounding of the Bures distances to the backward
        error of their factorisations.

    Raises:
        InputError: weights that are not probabilities, shapes that do not fit, covariances that are not symmetric or have a
            negative eigenvalue, or NaN or infinite entries.

    Source:
        Delon & Desolneux, "A Wasserstein-type distance in the space of Gaussian mixture models", SIAM J. Imaging Sci. 13
        (2020), Prop. 4.

    Example:
        >>> distance = mixture_wasserstein([0.5, 0.5], [[0.0], [9.0]], [[1.0], [1.0]], [1.0], [[0.0]], [[4.0]])
        >>> round(distance.value**2, 9)  # ½ (0 + 1) + ½ (81 + 1)
        41.5
    """
    means_x, means_y = cloud(means_x, "means_x"), cloud(means_y, "means_y")
    same_dimension(means_x, means_y, ("means_x", "means_y"))
    weights_x = probability_weights(weights_x, len(means_x), "weights_x")
    weights_y = probability_weights(weights_y, len(means_y), "weights_y")
    spreads = _covariances(covariances_x, means_x, "covariances_x"), _covariances(covariances_y, means_y, "covariances_y")
    means_x, means_y = without_constants(means_x, means_y)
    # One unit for means and standard deviations: that of the larger.
    exponents = [-(-exponent_of(spread) // 2) for spread in spreads if spread.any()]
    if means_x.any() or means_y.any():
        exponents.append(exponent_of(means_x, means_y))
    exponent = max(exponents, default=0)
    means_x, means_y = np.ldexp(means_x, -exponent), np.ldexp(means_y, -exponent)
    first, second = (
        _factors(np.ldexp(spread, -2 * exponent), 2 * exponent, name)
        for spread, name in zip(spreads, ("covariances_x", "covariances_y"), strict=True)
    )
    dimension = means_x.shape[1]
    costs, error = np.empty((len(means_x), len(means_y))), 0.0
    for i, (a, error_a) in enumerate(first):
        for j, (b, error_b) in enumerate(second):
            gap = means_x[i] - means_y[j]
            mean = float(gap @ gap)
            costs[i, j] = max(0.0, mean + bures_squared(a, b))
            size = mean + float(np.square(a).sum()) + float(np.square(b).sum())
            moved = error_a + error_b
            # Moving a covariance by a distance e moves the cost c = W² by at most 2We + e².
            error = max(error, 30 * dimension * EPS * size + 2 * float(np.sqrt(costs[i, j])) * moved + moved * moved)
    cost = CostMatrix(costs, 4 * EPS, error, "squared distance")
    return optimal_cost(cost, weights_x, weights_y).root().shifted(exponent)


def _covariances(value: Any, means: Float64, name: str) -> Float64:
    """Covariances K × d × d, or variances K × d, that fit the means."""
    k, d = means.shape
    ndim = 3 if to_numpy(value, name).ndim == 3 else 2
    covariances = real_array(value, name, ndim)
    if covariances.shape != (k, *(d,) * (ndim - 1)):
        raise InputError(f"{name} has shape {covariances.shape} for {k} means of dimension {d}; pass {(k, d, d)} or {(k, d)}")
    if ndim == 2 and (covariances < 0).any():
        raise InputError(f"{name} holds a negative variance {covariances.min():g}; pass variances, which are ≥ 0")
    return covariances


def _factors(covariances: Float64, exponent: int, name: str) -> list[tuple[Float64, float]]:
    """A with AᵀA = Σ of every component, and how far (in W₂) rounding may have moved it, where Σ has the unit 2^exponent."""
    if covariances.ndim == 2:
        return [(np.diag(np.sqrt(row)), 0.0) for row in covariances]
    return [_factor(matrix, exponent, f"{name}[{index}]") for index, matrix in enumerate(covariances)]


def _factor(matrix: Float64, exponent: int, name: str) -> tuple[Float64, float]:
    size, d = float(np.abs(matrix).max()), len(matrix)
    skew = float(np.abs(matrix / 2 - matrix.T / 2).max())
    if skew > 1e-8 * size:
        raise InputError(f"{name} is not symmetric; pass a covariance matrix, or (Σ + Σᵀ)/2")
    # Halves first: a sum of two entries may overflow.
    values, vectors = np.linalg.eigh(matrix / 2 + matrix.T / 2)
    if values[0] < -1e-8 * size:
        least = shifted(float(values[0]), exponent)
        raise InputError(f"{name} has the negative eigenvalue {least:g}; a covariance is positive semi-definite")
    removed = float(np.linalg.norm(np.minimum(values, 0.0)))
    values = np.maximum(values, 0.0)
    # ‖E‖_F of eigh's backward error and of what was taken away above.
    # Gaussians with covariances Σ and Σ + E are within √‖E‖_* and within ‖E‖_F / √λ_min of each other.
    backward = 10 * d * EPS * float(values[-1]) + d * skew + removed
    near = backward / float(np.sqrt(values[0])) if values[0] > 0 else np.inf
    factor: Float64 = np.sqrt(values)[:, None] * vectors.T
    return factor, float(min(near, np.sqrt(np.sqrt(d) * backward)))


def compact(factor: Float64) -> Float64:
    """R with RᵀR = FᵀF and no more rows than columns, by QR: nothing is squared on the way, at any rank."""
    return factor if len(factor) <= factor.shape[1] else np.asarray(np.linalg.qr(factor, mode="r"))


def bures_squared(first: Float64, second: Float64) -> float:
    """Squared Bures distance of AᵀA and BᵀB from A (r × d) and B (q × d): ‖A‖² + ‖B‖² − 2‖ABᵀ‖_* = min_Q ‖A − QB‖².

    Near zero the difference of traces cancels; the rotated difference does not.
    """
    product = first @ second.T
    traces = float(np.square(first).sum()) + float(np.square(second).sum())
    square = traces - 2 * float(np.linalg.svd(product, compute_uv=False).sum())
    if square >= _CANCELLED * traces:
        return square
    left, _, right = np.linalg.svd(product)
    rotated, target = left.T @ first, right @ second
    k = min(len(rotated), len(target))
    rest = np.square(rotated[k:]).sum() + np.square(target[k:]).sum()
    return float(np.square(rotated[:k] - target[:k]).sum() + rest)
