"""Transport of features and labels together."""

import math
from typing import Any

import numpy as np

from kd2m_theory.arrays import (
    cloud,
    counted_labels,
    probability_weights,
    real_array,
    same_dimension,
    to_numpy,
)
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.cost_scale import CostScale, cost_scale, scaled_costs
from kd2m_theory.estimators.enclosure import Enclosure
from kd2m_theory.estimators.ground import EPS, TINY, CostMatrix, unit_costs
from kd2m_theory.estimators.scale import exponent_of, rescaled, shifted_up
from kd2m_theory.estimators.transport import MAX_PIVOTS, optimal_cost


def joint_wasserstein(
    x: Any,
    y: Any,
    labels_x: Any = None,
    labels_y: Any = None,
    p: int = 2,
    beta: float = 1.0,
    *,
    label_cost: Any = None,
    feature_scale: CostScale = 1.0,
    label_scale: CostScale = 1.0,
    weights_x: Any = None,
    weights_y: Any = None,
    max_pivots: int = MAX_PIVOTS,
) -> Enclosure:
    """JW_p: transport with the cost ‖x_i − y_j‖^p / s + β·c(ℓ_i, ℓ_j)^p / t, and the p-th root of its least mean. A distance.

    With p = 2 and predictions or logits as labels it is the JW₂ of KD²M (arXiv 2504.01757), student against *teacher*. With
    p = 1, β = 1, s = t = 1, features multiplied by the head's Lipschitz constant, and `label_cost` the matrix
    |a_j[ℓ_j] − a_j[ℓ_i]| of teacher logits, it is the transport problem of the joint bound T3.

    Raw costs (s = t = 1) of features with hundreds of squared units hide labels whose cost is at most 2: JW₂ is then W₂ in all
    but name. With both scales "mean" every part is a share of what the independent coupling costs: JW_p^p is at most 1 + β, has
    no unit, does not change when features or logits are multiplied by a number, and β = 1 weighs both parts alike.

    With numbers as scales it is a metric on laws of (point, label). "mean" and "max" depend on the pair of samples: the
    distance is symmetric and 0 for equal samples, but with "max" the triangle inequality fails, and with "mean" none is
    proved.

    Args:
        x: n × d points.
        y: m × d points.
        labels_x: n integer classes (c is 0 or 1), or n × K predictions or logits (c is the Euclidean distance of rows).
        labels_y: m integer classes or m × K predictions or logits, as `labels_x`.
        p: order, 1 or 2.
        beta: weight β ≥ 0 of the scaled label cost, in units of the scaled feature cost. With β = 0 labels do not count.
        label_cost: n × m costs ≥ 0 that stand for c(ℓ_i, ℓ_j)^p, instead of labels.
        feature_scale: s: a number > 0 in the unit of ‖x − y‖^p, "mean" (s = Σ a_i b_j ‖x_i − y_j‖^p, a and b the weights) or
            "max" (over points with weight). Costs that are all 0 stay 0.
        label_scale: t, the same for c^p.
        weights_x: as `wasserstein`.
        weights_y: as `wasserstein`.
        max_pivots: as `wasserstein`.

    Raises:
        InputError: as `wasserstein`; β negative; labels of two kinds, or both labels and a label cost, or neither; a scale
            that is not positive, or an unknown word.

    Example:
        >>> round(joint_wasserstein([[0.0], [1.0]], [[0.0], [1.0]], [0, 1], [1, 0], p=1, beta=0.25).value, 12)
        0.25
        >>> x, y, logits = np.array([[0.0], [300.0]]), np.array([[100.0], [400.0]]), np.array([[3.0, 0.0], [0.0, 3.0]])
        >>> shares = {"feature_scale": "mean", "label_scale": "mean"}
        >>> found = [joint_wasserstein(c * x, c * y, logits, logits[::-1], **shares) for c in (1.0, 8.0)]
        >>> round(found[0].value ** 2, 6), found[0] == found[1]
        (1.818182, True)
    """
    x, y = cloud(x, "x"), cloud(y, "y")
    same_dimension(x, y)
    if not (beta >= 0 and np.isfinite(beta)):
        raise InputError(f"beta is {beta!r}; the label cost has a finite weight ≥ 0")
    feature_scale, label_scale = cost_scale(feature_scale, "feature_scale"), cost_scale(label_scale, "label_scale")
    weights = probability_weights(weights_x, len(x), "weights_x"), probability_weights(weights_y, len(y), "weights_y")
    labels, label_exponent = _label_costs(labels_x, labels_y, label_cost, (len(x), len(y)), p)
    labels, label_exponent = scaled_costs(labels, label_exponent, label_scale, weights, "label_scale")
    features, feature_exponent = unit_costs(x, y, "euclidean", p)
    features, feature_exponent = scaled_costs(features, feature_exponent, feature_scale, weights, "feature_scale")
    weight, power = math.frexp(beta)
    label_exponent += power
    # One unit for the sum, that of its larger part; for p = 2 an even power of two, so that it has a root.
    parts = ((features.values, feature_exponent), (weight * labels.values, label_exponent))
    exponents = [exponent_of(values) + exponent for values, exponent in parts if values.any()]
    exponent = p * -(-max(exponents, default=0) // p)
    (of_features, lost), (of_labels, lost_too) = (rescaled(values, own - exponent) for values, own in parts)
    cost = CostMatrix(
        of_features + of_labels,
        max(features.relative_error, labels.relative_error) + 3 * EPS,
        shifted_up(features.absolute_error, feature_exponent - exponent)
        + shifted_up((weight > 0) * labels.absolute_error, label_exponent - exponent)
        + (lost + lost_too) * 2 * TINY,
        features.unit,
    )
    value = optimal_cost(cost, *weights, max_pivots=max_pivots)
    return value.root().shifted(exponent // 2) if p == 2 else value.shifted(exponent)


def _label_costs(labels_x: Any, labels_y: Any, given: Any, shape: tuple[int, int], p: int) -> tuple[CostMatrix, int]:
    """c(ℓ_i, ℓ_j)^p, n × m, in a unit 2^k, and k."""
    if given is not None:
        if labels_x is not None or labels_y is not None:
            raise InputError("both labels and label_cost are given; pass one of them")
        costs = real_array(given, "label_cost", 2)
        if costs.shape != shape:
            raise InputError(f"label_cost has shape {costs.shape}, expected {shape}: one cost for every pair of points")
        if costs.min() < 0:
            raise InputError(f"label_cost has a negative entry {costs.min():g}; costs are ≥ 0")
        exponent = exponent_of(costs)
        unit, lost = rescaled(costs, -exponent)
        return CostMatrix(unit, 0.0, lost * TINY, "distance"), exponent
    if labels_x is None or labels_y is None:
        raise InputError("joint transport needs labels_x and labels_y, or label_cost")
    first, second = to_numpy(labels_x, "labels_x"), to_numpy(labels_y, "labels_y")
    if first.ndim != second.ndim:
        raise InputError(
            f"labels_x has {first.ndim} axes and labels_y {second.ndim}; pass classes on both sides or predictions"
        )
    if first.ndim == 1:
        classes = counted_labels(first, shape[0], "labels_x"), counted_labels(second, shape[1], "labels_y")
        return CostMatrix((classes[0][:, None] != classes[1]).astype(np.float64), 0.0, 0.0, "distance"), 0
    predictions = real_array(first, "labels_x", 2), real_array(second, "labels_y", 2)
    for array, n, name in zip(predictions, shape, ("labels_x", "labels_y"), strict=True):
        if len(array) != n:
            raise InputError(f"{name} has {len(array)} rows for {n} points")
    same_dimension(*predictions, names=("labels_x", "labels_y"))
    return unit_costs(*predictions, "euclidean", p)
