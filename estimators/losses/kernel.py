"""MMD as a training loss: differentiable, on the device and in the dtype of its inputs, with the kernels that measure."""

from types import SimpleNamespace
from typing import Literal

import torch
from torch import Tensor

from kd2m_theory.checks import one_of
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.kernels import RBF, DistanceKernel, Kernel, RBFMixture
from kd2m_theory.estimators.losses.by_class import Stack, by_class
from kd2m_theory.estimators.losses.inputs import require_floats, require_values


def squared_mmd(x: Tensor, y: Tensor, kernel: Kernel, estimator: Literal["v", "u"] = "v") -> Tensor:
    """MMD² of two uniform clouds, a squared distance (a scalar tensor).

    Kernels of ‖x − y‖ take distances from differences, so coincident points are at distance exactly zero; there the
    gradient is set to 0, the middle of its subgradients. In float32 a V-statistic near zero may round below it.

    Args:
        x: n × d features, float32 or float64.
        y: m × d features of the same dtype and device.
        kernel: a kernel object, such as RBF(bandwidth); a bandwidth from `median_bandwidth` is a number, not a tensor.
        estimator: "v", or "u" (unbiased, may be negative).

    Raises:
        InputError: shapes, dtypes or devices that do not fit, float16, no points, or one point with "u".
    """
    unbiased = one_of(estimator, ("v", "u"), "estimator") == "u"
    _check(x, y, kernel)
    _finite(x, y)
    if unbiased and min(len(x), len(y)) < 2:
        raise InputError(f"estimator='u' needs two points in each cloud, got {len(x)} and {len(y)}; use estimator='v'")
    if kernel.shift_invariant:
        # The value and its gradient stay; inner products of features far from the origin keep their digits.
        shift = y.detach().mean(dim=0)
        x, y = x - shift, y - shift
    within = [_mean(_values(kernel, z, z), unbiased) for z in (x, y)]
    return within[0] + within[1] - 2 * _values(kernel, x, y).mean()


def squared_conditional_mmd(x: Tensor, y: Tensor, labels: Tensor, kernel: Kernel) -> Tensor:
    """Mean of MMD² (V-statistics) over the classes present in the batch, a squared distance (a scalar tensor).

    Every class counts alike, as in CW₂² of KD²M (arXiv 2504.01757); `conditional_mmd` measures the mean of distances. Rows with
    the label −100 do not count; if no row counts, the loss and its gradient are zero.

    Args:
        x: n × d features.
        y: n × d features of the same batch.
        labels: n integer classes.
        kernel: as `squared_mmd`.

    Raises:
        InputError: as `squared_mmd`; clouds or labels of another length, or labels that are not whole numbers.
    """
    _check(x, y, kernel)
    if labels.shape != (len(x),) or len(y) != len(x):
        raise InputError(
            f"labels have shape {tuple(labels.shape)} for {len(x)} and {len(y)} points; give one class for each pair (x_i, y_i)"
        )
    classes = by_class(labels, x, y)
    if not classes.rows:
        return x[:0].sum()
    both = zip(classes.stacks(x), classes.stacks(y), strict=True)
    return torch.cat([_squared_mmds(*each, kernel) for each in both]).mean()


def _squared_mmds(x: Stack, y: Stack, kernel: Kernel) -> Tensor:
    """MMD² (V-statistics) of k pairs of clouds, k values: wᵀKw with weights 1/n at the points of x and −1/m at those of y."""
    points = torch.cat((x.points, y.points), dim=1)
    if kernel.shift_invariant:
        points = points - y.means().detach()
    weights = torch.cat((x.weights(), -y.weights()), dim=1)
    return (weights.mT @ _values(kernel, points, points) @ weights).flatten()


def _safe_sqrt(values: Tensor) -> Tensor:
    # The inner `where` keeps the infinite slope at zero out of the graph: 0 · ∞ would make every gradient NaN.
    positive = values > 0
    return torch.where(positive, torch.where(positive, values, 1.0).sqrt(), 0.0)


_TORCH = SimpleNamespace(exp=torch.exp, sqrt=_safe_sqrt)


def _values(kernel: Kernel, x: Tensor, y: Tensor) -> Tensor:
    """n × m kernel values of n × d and m × d points, or k × n × m of k × n × d and k × m × d."""
    values: Tensor
    if isinstance(kernel, RBF | RBFMixture):
        # Smooth in the squared distance, so that the rounding of one matrix product does no harm even at zero.
        product = torch.addmm if x.ndim == 2 else torch.baddbmm
        squares = product(y.square().sum(dim=-1)[..., None, :], x, y.mT, alpha=-2.0) + x.square().sum(dim=-1)[..., None]
        values = kernel.formula(squares.clamp(min=0.0), _TORCH)
    elif isinstance(kernel, DistanceKernel):
        squares = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()
        values = kernel.formula(squares, _TORCH)
    else:
        values = kernel.formula(x @ y.mT, _TORCH)
    return values


def _mean(values: Tensor, without_diagonal: bool) -> Tensor:
    if not without_diagonal:
        return values.mean()
    n = len(values)
    return (values.sum() - values.diagonal().sum()) / (n * (n - 1))


def _check(x: Tensor, y: Tensor, kernel: Kernel) -> None:
    if not isinstance(kernel, Kernel):
        raise InputError(f"kernel is {kernel!r}; pass a kernel object such as RBF(bandwidth=2.0)")
    require_floats(x=x, y=y)
    for name, z in (("x", x), ("y", y)):
        if z.ndim != 2 or 0 in z.shape:
            raise InputError(f"{name} has shape {tuple(z.shape)}, expected n × d with at least one point and one coordinate")
    if x.shape[1] != y.shape[1] or x.dtype != y.dtype or x.device != y.device:
        raise InputError(
            f"x is {x.shape[1]}-dimensional {x.dtype} on {x.device}, y is {y.shape[1]}-dimensional {y.dtype} on {y.device}; "
            "both clouds must agree"
        )
    require_values(x, y)


def _finite(x: Tensor, y: Tensor) -> None:
    # A NaN in a training loss has its cause elsewhere, and would spread to the weights without a word.
    if not (x.isfinite().all() & y.isfinite().all()):  # one look: on a GPU each makes the host wait
        raise InputError("features are NaN or infinite: the training has diverged; lower the learning rate or λ")
