"""Lipschitz constants (ℓ2 → ℓ2) of layers that normalise by statistics of their own input, not of a batch or of the past.

Layer, group and instance norm map each group x ∈ R^D to f(x) = Γ (x − mean x)/√(var x + ε) + β with Γ = diag γ. Let
P = I − 11ᵀ/D, y = Px and s² = ‖y‖²/D + ε. Then

    J(x) = Γ P M(x),  M(x) = (I − yyᵀ/(D s²))/s,

because M maps the range of P, in which y lies, to itself. The eigenvalues of I − yyᵀ/(D s²) are 1 and ε/s², so that
‖M‖ ≤ 1/s ≤ 1/√ε and ‖J(x)‖ ≤ ‖ΓP‖/√ε. At every constant x, y is 0 and M is I/√ε: equality. Hence

    the constant is exactly ‖ΓP‖/√ε.

RMS norm leaves the mean out: P is I, and the constant max |γ|/√ε is attained at 0. Groups are disjoint, so that the constant
of the layer is the largest of theirs.
"""

import math

import numpy as np

from kd2m_theory.arrays import Float64
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.ground import EPS, TINY
from kd2m_theory.estimators.scale import exponent_of, round_up, shifted_up


def centred_norm(gamma: Float64) -> float:
    """‖diag(γ) (I − 11ᵀ/D)‖₂ of D numbers, rounded up; 0 for one number.

    Its square λ is the largest eigenvalue of PΓ²P on the complement of 1. With a_i = γ_i² in falling order, λ lies in
    [a₂, a₁] (Cauchy's interlacing) and is a₁ if both agree. Else it solves Σ 1/(a_i − λ) = 0, the sum of which rises from −∞ to
    ∞ on (a₂, a₁): every λ at which it is ≥ 0 is an upper bound. In t = a₁ − λ and d_i = a₁ − a_i, that is
    1/t ≥ Σ_{i ≥ 2} 1/(d_i − t).

    Example:
        >>> round(centred_norm(np.array([1.0, 1.0, 1.0])), 12), round(centred_norm(np.array([3.0, 1.0])) ** 2, 12)
        (1.0, 5.0)
    """
    if len(gamma) < 2 or not gamma.any():
        return 0.0
    exponent = exponent_of(gamma)
    sizes = np.sort(np.abs(np.ldexp(gamma, -exponent)))[::-1]
    first = float(sizes[0])
    distances = (first - sizes[1:]) * (first + sizes[1:]) * (1 - 4 * EPS)  # of a₁, at most: which makes λ larger
    low, high = 0.0, float(distances[0])
    margin = 1 + (len(gamma) + 16) * EPS
    for _ in range(80):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        if margin * float((middle / (distances - middle)).sum()) <= 1:
            low = middle
        else:
            high = middle
    return shifted_up(round_up(math.sqrt(first**2 - low) * (1 + 4 * EPS)), exponent)


def normalisation_norm(groups: Float64, eps: float, centred: bool) -> float:
    """Constant of a normalising layer, rounded up.

    Args:
        groups: groups × D, the numbers γ that multiply the entries of each group.
        eps: what is added to the variance, or to the mean square.
        centred: whether the mean is taken away.

    Raises:
        InputError: no positive ε; without one the map jumps at constant inputs, or at 0.
    """
    if not eps > 0:
        where = "at inputs that are constant" if centred else "at 0"
        raise InputError(f"its eps is {eps}: without a positive one it jumps {where}, and has no Lipschitz constant")
    largest = max(centred_norm(gamma) for gamma in groups) if centred else float(np.abs(groups).max())
    return largest / math.sqrt(eps) * (1 + 4 * EPS) + 2 * TINY if largest else 0.0
