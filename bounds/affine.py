"""Features of another dimension: an affine map into the teacher's space makes the teacher's head a head for the student.

With any A and a, h_T∘(A· + a) is a linear head on the student's features, and every theorem holds with A z_S + a for z_S. The
map must not have been fitted on the audited sample, or a row about the population would be about a map that has seen it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kd2m_theory.arrays import Float64
from kd2m_theory.errors import InputError
from kd2m_theory.pair import Pair

# Relative distance up to which two rows are the same sample: float16 changes entries by 5e-4.
_COARSE = 1e-3


@dataclass(frozen=True, eq=False)
class AffineMap:
    """z ↦ A z + a.

    Attributes:
        matrix: d_T × d_S.
        offset: d_T.
        explained: share of the teacher features' variance that the map explains on the pair it was fitted on.
    """

    matrix: Float64
    offset: Float64
    explained: float

    def __call__(self, features: Float64) -> Float64:
        """Student features, n × d_S, in the teacher's space, n × d_T."""
        result: Float64 = features @ self.matrix.T + self.offset
        return result


def fit_affine(pair: Pair) -> AffineMap:
    """The least-squares map from student to teacher features of the same inputs; of all such, the one of least norm.

    Raises:
        InputError: the pair has no features, or its inputs are not the same.

    Example:
        >>> student = np.random.default_rng(0).normal(size=(20, 2))
        >>> fitted: AffineMap = fit_affine(Pair(student @ [[1.0, 0.0, 1.0], [0.0, 2.0, 1.0]] + 3.0, student))
        >>> fitted.matrix.round(9).tolist(), fitted.offset.round(9).tolist(), round(fitted.explained, 9)
        ([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], [3.0, 3.0, 3.0], 1.0)
    """
    student, teacher = pair.features_student, pair.features_teacher
    if student is None or teacher is None:
        raise InputError("a map between features is fitted on features, and the pair to align with has logits only")
    if not pair.inputs_paired:
        raise InputError(
            "a map between features is fitted on the same inputs of both networks; the pair says inputs_paired=False"
        )
    means = student.mean(axis=0), teacher.mean(axis=0)
    centred = teacher - means[1]
    solution = np.linalg.lstsq(student - means[0], centred, rcond=None)[0]
    left = centred - (student - means[0]) @ solution
    variance = float((centred**2).sum())
    explained = 1.0 - float((left**2).sum()) / variance if variance else 1.0
    matrix: Float64 = np.ascontiguousarray(solution.T)
    return AffineMap(matrix, means[1] - matrix @ means[0], explained)


def _repeated(points: Float64, others: Float64) -> NDArray[np.bool_]:
    """Which of n × d points are also among m × d others, up to what a format of a few digits changes.

    Points that close have projections that close on any line, and there neighbours are found by sorting.
    """
    direction = np.random.default_rng(0).normal(size=(points.shape[1],))
    direction = direction / np.linalg.norm(direction)
    places, order = points @ direction, np.argsort(others @ direction, kind="stable")
    line, reach = (others @ direction)[order], _COARSE * np.linalg.norm(points, axis=1)
    first, last = np.searchsorted(line, places - reach, "left"), np.searchsorted(line, places + reach, "right")
    found = np.zeros(len(points), dtype=np.bool_)
    for k in np.flatnonzero(last > first):
        near = others[order[first[k] : last[k]]]
        found[k] = bool((np.linalg.norm(near - points[k], axis=1) <= reach[k]).any())
    return found


def aligned(pair: Pair, fitted_on: Pair) -> Pair:
    """The pair with its student features mapped into the teacher's space by a map fitted on another pair.

    Raises:
        InputError: as `fit_affine`; dimensions that do not fit; inputs that occur in both pairs, told by the values of their
            features whatever their format.

    Example:
        >>> teacher = np.random.default_rng(0).normal(size=(40, 3))
        >>> pairs = [Pair(z, z[:, :2], head_weight=np.eye(3)) for z in (teacher[:20], teacher[20:])]
        >>> aligned(pairs[0], fitted_on=pairs[1]).shared_head is not None
        True
    """
    student, teacher = pair.features_student, pair.features_teacher
    if student is None or teacher is None:
        raise InputError("the pair has logits only; there are no features to align")
    fit_student, fit_teacher = fitted_on.features_student, fitted_on.features_teacher
    for name, here, there in (("student", student, fit_student), ("teacher", teacher, fit_teacher)):
        if there is not None and here.shape[1] != there.shape[1]:
            raise InputError(
                f"{name} features have dimension {here.shape[1]} in the pair and {there.shape[1]} in the one to align with; "
                "both must come from the same networks"
            )
    found = fit_affine(fitted_on)
    assert fit_student is not None
    assert fit_teacher is not None
    again = _repeated(teacher, fit_teacher), _repeated(student, fit_student)
    shared = int((again[0] & again[1]).sum()) if pair.inputs_paired else max(int(side.sum()) for side in again)
    if shared:
        raise InputError(
            f"{shared} of the {pair.n} audited samples are also in the pair to align with; fit the map on a split that is "
            "not audited"
        )
    stored = pair.stored_logits_teacher, pair.stored_logits_student
    logits_teacher, logits_student = (None if each is None else each.array() for each in stored)
    return Pair(
        teacher,
        found(student),
        pair.labels,
        labels_student=pair.labels_student,
        logits_teacher=logits_teacher,
        logits_student=logits_student,
        head_weight=pair.head_weight,
        head_bias=pair.head_bias,
        inputs_paired=pair.inputs_paired,
        groups=pair.groups,
        class_names=pair.class_names,
        row_numbers=pair.row_numbers,
        provenance={**pair.provenance, "aligned": f"affine map, R² {found.explained:.3f} on {fitted_on.n} other samples"},
    )
