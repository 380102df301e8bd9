"""Constants of losses and linear heads: how fast cross-entropy, margin and ramp loss can change.

Δ is a change of logits, n × K; row i is of the sample with label y_i. Logits are log-odds: they, their changes and losses are
in nats. Every constant is rounded up, so that a bound built from it errs on the safe side.
"""

import math
from collections.abc import Iterator
from functools import partial

import numpy as np

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.ground import EPS, TINY
from kd2m_theory.estimators.scale import centred, exponent_of, in_unit, shifted_up
from kd2m_theory.side_by_side import by_rows, column_blocks, side_by_side

# Multiplications up to which every difference of two rows is formed.
_DIRECT = 2e8
# Rows of the head in a block: a product of two blocks has 2²⁰ entries (8 MiB).
_ROWS = 2**10
# Steps towards the centre of the smallest ball around the rows of a head.
_STEPS = 64


def row_norms(rows: Float64) -> Float64:
    """‖·‖₂ of each row, rounded up, at any scale: squares of tiny or huge entries are never formed.

    Args:
        rows: n × d.

    Returns:
        n norms, in the unit of the entries.
    """

    def norms_of(rows: Float64) -> Float64:
        exponent = np.frexp(np.abs(rows).max(axis=1))[1]
        norms: Float64 = np.ldexp(np.linalg.norm(np.ldexp(rows, -exponent[:, None]), axis=1), exponent)
        dimension: int = rows.shape[1]
        return norms * (1 + (dimension + 4) * EPS) + np.where(norms > 0, 2 * TINY, 0.0)

    return by_rows(norms_of, rows)


def sizes_of_terms(points: Float64, weight: Float64, bias: Float64) -> Iterator[tuple[slice, Float64]]:
    """Σ_j |z_j| |w_cj| + |b_c| of points and classes: the size of the terms that the logits are sums of, in blocks of classes.

    Args:
        points: n × d.
        weight: K × d.
        bias: K.

    Yields:
        Some consecutive classes, and n × their number of sizes.
    """
    sizes = np.abs(points)
    for part in column_blocks(len(points), len(weight)):
        yield part, sizes @ np.abs(weight[part]).T + np.abs(bias[part])


def vertex_norm(change: Float64, labels: Int64) -> Float64:
    """ν_y(Δ) = max_c |Δ_c − Δ_y| for each row (n), in nats.

    C1: |ℓ(a + Δ, y) − ℓ(a, y)| ≤ ν_y(Δ) ≤ √2 ‖Δ‖₂ for cross-entropy, both sharp: the gradient softmax(a) − e_y is a
    convex combination of the vertices e_c − e_y. C3: the margin moves by at most ν_y(Δ) as well.

    Args:
        change: n × K changes of logits.
        labels: n true classes, 0 … K − 1.

    Returns:
        n numbers ≥ 0, in nats.

    Example:
        >>> vertex_norm(np.array([[1.0, -2.0, 0.0]]), np.array([0]))
        array([3.])
    """

    def norms(change: Float64, labels: Int64) -> Float64:
        own = np.take_along_axis(change, labels[:, None], axis=1)
        norm: Float64 = np.abs(change - own).max(axis=1)
        return norm

    return by_rows(norms, change, labels)


def class_lipschitz(weight: Float64) -> Float64:
    """L_y = max_c ‖w_c − w_y‖₂ for each class y (K), in nats per unit of feature distance.

    C2: the smallest Lipschitz constant of z ↦ cross-entropy(Wz + b, y) over all of R^d (exact, not only a bound; for many
    classes up to about 1e-12, since their distances come from matrix products). Memory grows with K, not with K².

    Args:
        weight: K × d weight of the head.

    Returns:
        K numbers ≥ 0.

    Example:
        >>> class_lipschitz(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 3.0]])).round(4)
        array([3.1623, 2.    , 3.1623])
    """
    classes, dimension = weight.shape
    (rows,), exponent = in_unit(weight)
    if classes * classes * dimension <= _DIRECT:
        norms = np.stack([row_norms(rows - row).max() for row in rows])
    else:
        norms = _largest_distances(*centred(rows))
    with np.errstate(over="ignore"):
        largest: Float64 = np.ldexp(norms, exponent) + np.where(norms > 0, 2 * TINY, 0.0)
    return largest


def _largest_distances(rows: Float64) -> Float64:
    """From each row to the one farthest away, rounded up: ‖u‖² + ‖v‖² − 2⟨u, v⟩ in blocks of matrix products, each once."""
    squares = np.einsum("ij,ij->i", rows, rows)
    parts = [slice(start, start + _ROWS) for start in range(0, len(rows), _ROWS)]

    def seen(k: int) -> Float64:
        """The largest ‖v‖² − 2⟨u, v⟩ of each row u, which is −‖u‖² for u itself, in part k and those before."""
        mine = parts[k]
        farthest: Float64 = -squares
        for theirs in parts[: k + 1]:
            products = rows[mine] @ rows[theirs].T
            products *= -2.0
            farthest[theirs] = np.maximum(farthest[theirs], (products + squares[mine, None]).max(axis=0))
            products += squares[theirs]
            farthest[mine] = np.maximum(farthest[mine], products.max(axis=1))
        return farthest

    jobs = ((_ROWS * _ROWS, partial(seen, k)) for k in reversed(range(len(parts))))  # those with most parts first
    farthest: Float64 = np.maximum.reduce(side_by_side(jobs))
    # Sums of d products are right to d ulps of both rows' squares; centring has cost each entry an ulp.
    error = (4 * rows.shape[1] + 32) * EPS * (squares + squares.max())
    norms: Float64 = np.sqrt(np.maximum(farthest + squares, 0.0) + error) * (1 + 4 * EPS)
    return norms


def enclosing_lipschitz(weight: Float64) -> Float64:
    """Upper bounds ‖w_y − m‖ + max_c ‖w_c − m‖ on L_y for each class y (K), in nats per unit of feature distance.

    They cost K d multiplications a few dozen times, where `class_lipschitz` needs K² d. They hold for every m; m is near the
    centre of the smallest ball around the rows of the head. At that centre, of a ball of radius r, some row of the surface
    lies at no acute angle to w_y − m, so L_y² ≥ ‖w_y − m‖² + r², and the bound is at most √2 times as large as L_y.

    Args:
        weight: K × d weight of the head.

    Source:
        Bădoiu and Clarkson 2003: the steps towards the centre.

    Example:
        >>> enclosing_lipschitz(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.5]])).round(1)
        array([2. , 2. , 1.5])
    """
    (rows,), exponent = in_unit(weight)
    (rows,) = centred(rows)
    middle = np.zeros(rows.shape[1])
    best = math.inf
    for step in range(2, _STEPS + 2):
        apart = rows - middle
        squares = np.einsum("ij,ij->i", apart, apart)
        far = int(squares.argmax())
        if squares[far] < best:
            best, found = float(squares[far]), middle
        middle = middle + apart[far] / step
    # Centring has cost every coordinate a rounding of the largest.
    norms = row_norms(rows - found) + 4 * math.sqrt(rows.shape[1]) * EPS * float(np.abs(rows).max(initial=0.0))
    bounds = (norms + norms.max()) * (1 + 4 * EPS)
    with np.errstate(over="ignore"):
        result: Float64 = np.ldexp(bounds, exponent) + np.where(bounds > 0, 2 * TINY, 0.0)
    return result


def lipschitz(weight: Float64) -> float:
    """L = max_y L_y = max_{c,c'} ‖w_c − w_c'‖₂, in nats per unit of feature distance (C2).

    Args:
        weight: K × d weight of the head.

    Example:
        >>> round(lipschitz(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 3.0]])) ** 2, 9)
        10.0
    """
    return float(class_lipschitz(weight).max())


def spectral_lipschitz(weight: Float64) -> float:
    """√2 ‖W‖_op ≥ L: the constant of a product-of-norms argument, in nats per unit of feature distance (C2).

    Args:
        weight: K × d weight of the head.

    Example:
        >>> round(spectral_lipschitz(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 3.0]])) ** 2, 9)
        20.0
    """
    exponent = exponent_of(weight)
    operator_norm = float(np.linalg.norm(np.ldexp(weight, -exponent), 2))
    return shifted_up(math.sqrt(2.0) * operator_norm * (1 + 4 * sum(weight.shape) * EPS), exponent)


def ramp_change(change: Float64, labels: Int64, rho: float) -> Float64:
    """Most that the ramp loss of width ρ can change: min(1, ν_y(Δ)/ρ), for each row (C3).

    Args:
        change: n × K changes of logits.
        labels: n true classes, 0 … K − 1.
        rho: ρ > 0, nats of margin.

    Returns:
        n numbers in [0, 1], as error probabilities.

    Raises:
        InputError: ρ is not positive.

    Example:
        >>> ramp_change(np.array([[1.0, -2.0, 0.0]]), np.array([0]), rho=4.0)
        array([0.75])
    """
    if not rho > 0:
        raise InputError(f"the ramp has width rho={rho!r}; give a positive number")
    return np.minimum(1.0, vertex_norm(change, labels) / rho)
