"""What clipping at B does to the losses of a sample, and bounds B that were taken from it."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kd2m_theory.arrays import Float64
from kd2m_theory.bounds.losses import clipped
from kd2m_theory.bounds.view import View
from kd2m_theory.errors import InputError

# Numbers that are this close, relative to their size, may be one number in float32 and in float64.
_ROUNDED = 1e-6


@dataclass(frozen=True, slots=True)
class Clipping:
    """How much of a sample's cross-entropy, of each network with its own head, the rows about the population do not see.

    Attributes:
        bound: B in nats, where these rows clip.
        share_student: share of the samples on which the student's loss is above B; None without labels.
        share_teacher: the same of the teacher.
        share_any_class: share of the samples on which the loss at some class is above B for either network; None where the
            networks saw different inputs.
        risk_student: mean of the student's clipped losses in nats; None without labels.
        risk_teacher: the same of the teacher.

    Example:
        >>> from kd2m_theory import Pair, audit
        >>> pair = Pair(logits_teacher=[[2.0, 0.0], [0.0, 1.0]], logits_student=[[9.0, 0.0], [5.0, 0.0]], labels=[0, 1])
        >>> found = audit(pair, only=()).clipping
        >>> print(f"{found.bound:.4f}", found.share_student, found.share_teacher, f"{found.risk_student:.4f}")
        1.3863 0.5 0.0 0.6932
    """

    bound: float
    share_student: float | None
    share_teacher: float | None
    share_any_class: float | None
    risk_student: float | None
    risk_teacher: float | None


def clipping(view: View) -> Clipping:
    """Clipping of the losses of a view of logits."""
    bound = view.loss_bound
    anywhere = None
    if view.paired:
        anywhere = _mean(view, np.maximum(*view.largest_losses()) > bound)
    if view.labels_student is None or view.labels_teacher is None:
        return Clipping(bound, None, None, anywhere, None, None)
    student, teacher = view.losses()
    return Clipping(
        bound=bound,
        share_student=_mean(view, student > bound),
        share_teacher=_mean(view, teacher > bound),
        share_any_class=anywhere,
        risk_student=_mean(view, clipped(student, bound)),
        risk_teacher=_mean(view, clipped(teacher, bound)),
    )


def _mean(view: View, values: Float64 | NDArray[np.bool_]) -> float:
    """The mean over samples; over groups of the mean within one where there are groups."""
    means = view.averaged(np.asarray(values, dtype=np.float64))
    return math.fsum(means) / len(means)


def refuse_bound_of_the_sample(bound: float | None, views: Iterable[View | None]) -> None:
    """Refuse a B that is the sample's own largest loss: of either network, of both, of their difference, or of any class.

    The largest loss that was seen is not the largest that there is, and a range taken from the sample voids every guarantee
    that rests on it. Numbers are compared up to the rounding of float32, in which the user may have computed. A whole
    multiple of ln K depends on the number of classes alone and is never refused.

    Raises:
        InputError: B is such a number; says which, and what to pass.
    """
    if bound is None:
        return
    for view in views:
        if view is None or _close(bound, max(1.0, float(np.rint(bound / (unit := math.log(view.classes))))) * unit):
            continue
        for words, largest in _largest(view):
            if _close(bound, largest):
                raise InputError(
                    f"loss_bound is {bound:g}, {words}; a bound taken from the sample voids the guarantee. Leave it out for "
                    f"2 ln K = {2 * math.log(view.classes):.4g} nats, or give a number chosen before the sample was seen"
                )


def _largest(view: View) -> Iterator[tuple[str, float]]:
    if view.labels_student is not None and view.labels_teacher is not None:
        student, teacher = view.losses()
        for whose, losses in (("student", student), ("teacher", teacher)):
            yield f"the largest loss of the {whose} on these samples", float(losses.max())
        if view.paired:
            yield "the largest difference of the losses on these samples", float(np.abs(student - teacher).max())
    for whose, losses in zip(("student", "teacher"), view.largest_losses(), strict=True):
        yield f"the largest loss of the {whose} at any class on these samples", float(losses.max())


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_ROUNDED)
