"""Wasserstein distances between clouds, plain and class by class, as certified enclosures."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np

from kd2m_theory.arrays import Int64, cloud, counted_labels, probability_weights, same_dimension
from kd2m_theory.checks import one_of
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.between_clouds import cloud_cost
from kd2m_theory.estimators.enclosure import Enclosure
from kd2m_theory.estimators.ground import Ground, VertexNorm
from kd2m_theory.estimators.scale import exponent_of
from kd2m_theory.estimators.transport import MAX_PIVOTS
from kd2m_theory.side_by_side import side_by_side


def wasserstein(
    x: Any,
    y: Any,
    p: int = 1,
    ground: Ground = "euclidean",
    weights_x: Any = None,
    weights_y: Any = None,
    *,
    max_pivots: int = MAX_PIVOTS,
    device: str = "cpu",
) -> Enclosure:
    """W_p between two weighted clouds: the p-th root of the least mean cost of moving one onto the other.

    The result is a **distance**, not its square, with one exception that says so in its unit: ground="sqeuclidean"
    (p = 1) is the transport cost of ‖x − y‖², that is W₂².

    Up to 9 million pairs of points their costs are stored. Above, with a Euclidean ground, the costs are computed in tiles, in
    single precision with a bound on the error, and never stored: memory grows with n + m, and both ends are certified as
    before. Points on a line are sorted. What a search uses is capped (pivots, passes over the pairs, pairs that are kept,
    memory), never its time: beyond a cap the enclosure is wider, its status is "capped", and its method says why.

    Args:
        x: n × d points.
        y: m × d points.
        p: order, 1 or 2.
        ground: "euclidean", "sqeuclidean", or a `VertexNorm` (the head-aware semi-norm; result in nats).
        weights_x: n weights ≥ 0 that sum to one; uniform if None.
        weights_y: m weights ≥ 0 that sum to one; uniform if None.
        max_pivots: cap of the network simplex; reaching it widens the enclosure and sets its status to "capped".
        device: where tiles of large clouds are computed, as torch names it ("cuda"), or "auto"; smaller problems, the line, the
            network simplex and the costs that decide the certificate stay on the CPU.

    Returns:
        Enclosure of the distance between the two empirical measures.

    Raises:
        InputError: empty clouds, NaN or infinite points, float16, dimensions or weights that do not fit, or a device that this
            machine does not have.

    Example:
        >>> distance = wasserstein([[0.0], [2.0]], [[1.0], [3.0]])
        >>> round(distance.value, 12), distance.unit, distance.status
        (1.0, 'distance', 'optimal')
    """
    x, y = cloud(x, "x"), cloud(y, "y")
    same_dimension(x, y)
    weights = probability_weights(weights_x, len(x), "weights_x"), probability_weights(weights_y, len(y), "weights_y")
    value, exponent = cloud_cost(x, y, ground, p, *weights, max_pivots, device)
    return value.root().shifted(exponent // 2) if p == 2 else value.shifted(exponent)


def class_wasserstein(
    x: Any,
    y: Any,
    labels_x: Any,
    labels_y: Any,
    p: int = 1,
    ground: Ground = "euclidean",
    *,
    max_pivots: int = MAX_PIVOTS,
) -> dict[int, Enclosure]:
    """W_p between the two clouds of each class: label → enclosure of the distance. Arguments as `conditional_wasserstein`.

    Raises:
        InputError: as `conditional_wasserstein`.

    Example:
        >>> parts = class_wasserstein([[0.0], [5.0]], [[1.0], [7.0]], [0, 1], [0, 1])
        >>> {label: round(part.value, 12) for label, part in parts.items()}
        {0: 1.0, 1: 2.0}
    """
    x, y = cloud(x, "x"), cloud(y, "y")
    same_dimension(x, y)
    labels_x, labels_y = counted_labels(labels_x, len(x), "labels_x"), counted_labels(labels_y, len(y), "labels_y")
    same_classes(labels_x, labels_y)
    labels: list[int] = np.unique(labels_x).tolist()

    def problems() -> Iterator[tuple[int, Callable[[], Enclosure]]]:
        for label in labels:
            one, other = x[labels_x == label], y[labels_y == label]
            solve = partial(wasserstein, one, other, p, _ground_of(ground, label), max_pivots=max_pivots)
            yield len(one) * len(other), solve

    return dict(zip(labels, side_by_side(problems()), strict=True))


def conditional_wasserstein(
    x: Any,
    y: Any,
    labels_x: Any,
    labels_y: Any,
    p: int = 1,
    weighting: Literal["frequency", "uniform"] = "frequency",
    ground: Ground = "euclidean",
    *,
    max_pivots: int = MAX_PIVOTS,
) -> Enclosure:
    """Class-conditional W_p: (Σ_y ω_y W_p(x | y, y | y)^p)^{1/p}, a distance.

    Args:
        x: n × d points.
        y: m × d points.
        labels_x: n integer classes.
        labels_y: m integer classes, the same set of classes as `labels_x`.
        p: order, 1 or 2.
        weighting: "frequency" weighs a class by its share of the sample, as a risk bound needs it (the shares must agree on
            both sides); "uniform" weighs every class 1/n_c, as CW₂ of KD²M (arXiv 2504.01757) does.
        ground: as `wasserstein`; a `VertexNorm` takes its label from the class.
        max_pivots: as `wasserstein`.

    Raises:
        InputError: as `wasserstein`; a class missing on one side; class shares that differ under "frequency".

    Example:
        >>> cw2 = conditional_wasserstein([[0.0], [5.0]], [[3.0], [9.0]], [0, 1], [0, 1], p=2, weighting="uniform")
        >>> round(cw2.squared().value, 9)  # (3² + 4²)/2
        12.5
    """
    weighting_ = one_of(weighting, ("frequency", "uniform"), "weighting")
    x, y = cloud(x, "x"), cloud(y, "y")
    labels_x, labels_y = counted_labels(labels_x, len(x), "labels_x"), counted_labels(labels_y, len(y), "labels_y")
    same_classes(labels_x, labels_y)
    shares: Mapping[int, float]
    if weighting_ == "uniform":
        shares = dict.fromkeys(np.unique(labels_x).tolist(), 1.0 / len(np.unique(labels_x)))
    else:
        shares = common_shares(labels_x, labels_y)
    parts = class_wasserstein(x, y, labels_x, labels_y, p, ground, max_pivots=max_pivots)
    return combine_classes(parts, shares, p)


def combine_classes(parts: Mapping[int, Enclosure], shares: Mapping[int, float], p: int) -> Enclosure:
    """(Σ_y ω_y D_y^p)^{1/p} from the distance of each class and its share ω_y."""
    # In a unit of their own, in which the squares of what matters can be told from zero.
    exponent = exponent_of(np.array([part.upper for part in parts.values()]))
    parts = {label: part.shifted(-exponent) for label, part in parts.items()}
    powers = {label: part.squared() if p == 2 else part for label, part in parts.items()}
    terms = [power.scaled(shares[label]) for label, power in powers.items()]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    methods = sorted({part.method for part in parts.values()})
    total = replace(total, method=", ".join(methods))
    return (total.root() if p == 2 else total).shifted(exponent)


def common_shares(labels_x: Int64, labels_y: Int64) -> dict[int, float]:
    """Share of each class, which must be the same on both sides.

    Raises:
        InputError: the shares differ.
    """
    labels, counts_x = np.unique(labels_x, return_counts=True)
    _, counts_y = np.unique(labels_y, return_counts=True)
    differ = counts_x * len(labels_y) != counts_y * len(labels_x)
    if differ.any():
        k = int(differ.argmax())
        raise InputError(
            f"class {labels[k]} has share {counts_x[k]}/{len(labels_x)} on one side and {counts_y[k]}/{len(labels_y)} "
            "on the other; use weighting='uniform', or sample the classes alike"
        )
    return {int(label): int(count) / len(labels_x) for label, count in zip(labels, counts_x, strict=True)}


def _ground_of(ground: Ground, label: int) -> Ground:
    return ground.at(label) if isinstance(ground, VertexNorm) else ground


def same_classes(labels_x: Int64, labels_y: Int64) -> None:
    """Refuse a class that is missing on one side.

    Raises:
        InputError: naming the classes.
    """
    for have, lack, name in ((labels_x, labels_y, "labels_y"), (labels_y, labels_x, "labels_x")):
        missing = np.setdiff1d(have, lack)
        if len(missing):
            raise InputError(
                f"class {', '.join(map(str, missing[:5]))} is missing from {name}; a class-conditional distance needs every "
                "class on both sides: drop it from the other side or sample more"
            )
