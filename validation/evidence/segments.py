"""Hostile pairs of points: is the change of cross-entropy between what two ends of a segment say?"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from kd2m_theory.arrays import Float64
from kd2m_theory.bounds.two_ends import cloud_of, enclosures
from kd2m_theory.validation.evidence.suite import Case, Suite

# More digits than the logits' range from 1e-8 to 1e30 and float64's own together.
_DIGITS = 80

Logits = tuple[Float64, Float64]
Family = Callable[[np.random.Generator, int, int], Logits]


def _size(rng: np.random.Generator, least: float = -8.0, most: float = 3.0) -> float:
    return float(10.0 ** rng.uniform(least, most))


def _normal(rng: np.random.Generator, classes: int, least: float = -8.0, most: float = 3.0) -> Float64:
    return _size(rng, least, most) * rng.normal(size=classes)


def _near(rng: np.random.Generator, classes: int, _label: int) -> Logits:
    teacher = _normal(rng, classes)
    return teacher + _normal(rng, classes), teacher


def _apart(rng: np.random.Generator, classes: int, _label: int) -> Logits:
    return _normal(rng, classes), _normal(rng, classes)


def _decided(rng: np.random.Generator, classes: int, _label: int) -> Logits:
    return _normal(rng, classes, 1.0, 3.0), _normal(rng, classes, 1.0, 3.0)


def _large(rng: np.random.Generator, classes: int, _label: int) -> Logits:
    teacher = _normal(rng, classes, 3.0, 6.0)
    return (teacher + _normal(rng, classes) if rng.random() < 0.5 else _normal(rng, classes, 3.0, 6.0)), teacher


def _shifted(rng: np.random.Generator, classes: int, _label: int) -> Logits:
    teacher = _normal(rng, classes)
    return teacher + _size(rng), teacher


def _tied(rng: np.random.Generator, classes: int, _label: int) -> Logits:
    teacher = _normal(rng, classes) if rng.random() < 0.5 else rng.integers(-3, 4, classes).astype(np.float64)
    return teacher + _size(rng) * rng.integers(-1, 2, classes), teacher


def _offset(rng: np.random.Generator, classes: int, _label: int) -> Logits:
    offsets = rng.choice([0.0, -1e9, 1e9], 2)
    return offsets[0] + _normal(rng, classes), offsets[1] + _normal(rng, classes)


def _masked(rng: np.random.Generator, classes: int, label: int) -> Logits:
    student, teacher = _apart(rng, classes, label)
    off = (label + 1) % classes
    for logits in ((teacher,), (student,), (teacher, student))[int(rng.integers(3))]:
        logits[off] = -1e30
    return student, teacher


def _saturated(rng: np.random.Generator, classes: int, label: int) -> Logits:
    sides = [np.full(classes, -_size(rng, -8.0, 3.0)) for _ in range(2)]
    sides[0][int(rng.integers(classes))] = 0.0
    sides[1][label] = 0.0
    return sides[0], sides[1]


def _underflowing(rng: np.random.Generator, classes: int, label: int) -> Logits:
    teacher = np.full(classes, -rng.uniform(600.0, 800.0))
    teacher[label] = 0.0
    student = teacher.copy()
    student[(label + 1) % classes] = rng.uniform(-800.0, 0.0)
    return (student, teacher) if rng.random() < 0.5 else (teacher, student)


def _sharpened(rng: np.random.Generator, classes: int, _label: int) -> Logits:
    teacher = _normal(rng, classes, -3.0, 3.0)
    return teacher * (1 + _size(rng, -10.0, 1.0)), teacher


FAMILIES: Mapping[str, Family] = {
    "student near the teacher": _near,
    "unrelated": _apart,
    "unrelated, logits 10 to 1e3": _decided,
    "logits 1e3 to 1e6": _large,
    "Δ constant": _shifted,
    "ties": _tied,
    "offsets 1e9": _offset,
    "masked class": _masked,
    "saturated ends": _saturated,
    "probabilities near underflow": _underflowing,
    "another temperature": _sharpened,
}


def drawn(rng: np.random.Generator) -> tuple[str, Float64, Float64, int]:
    """A family, logits of student and teacher (K), and a label."""
    family, classes = str(rng.choice(list(FAMILIES))), int(rng.choice([2, 2, 3, 3, 4, 5, 8, 10, 30, 100]))
    label = int(rng.integers(classes))
    return family, *FAMILIES[family](rng, classes, label), label


def exact_change(student: Float64, teacher: Float64, label: int) -> Any:
    """ℓ(student) − ℓ(teacher) of these float64 logits, with mpmath."""
    import mpmath

    with mpmath.workdps(_DIGITS):
        losses = []
        for logits in (student, teacher):
            values = [mpmath.mpf(float(each)) for each in logits]
            most = max(values)
            losses.append(mpmath.log(mpmath.fsum(mpmath.exp(each - most) for each in values)) + most - values[label])
        return losses[0] - losses[1]


def examine(rng: np.random.Generator) -> Iterator[Case]:
    """One pair: a case for the slopes, and one for slopes and curvatures."""
    family, student, teacher, label = drawn(rng)
    only, labels = np.zeros(1, dtype=np.int64), np.full(1, label)
    found = enclosures(cloud_of(student[None], labels), cloud_of(teacher[None], labels), only, only)
    truth = exact_change(student, teacher, label)
    for of, lower, upper in (
        ("slopes", found.envelope_lower, found.envelope_upper),
        ("slopes and curvatures", found.sharp_lower, found.sharp_upper),
    ):
        strata = {"family": family, "from": of, "classes": str(len(student))}
        yield Case(strata, verdict(float(lower[0]), float(upper[0]), truth))


def verdict(lower: float, upper: float, truth: Any) -> str:
    """What is wrong with an enclosure of a number; empty if nothing is."""
    import mpmath

    if not lower <= upper:
        return f"[{lower!r}, {upper!r}] is not an interval"
    if not mpmath.mpf(lower) <= truth <= mpmath.mpf(upper):
        return f"[{lower!r}, {upper!r}], but the change is {mpmath.nstr(truth, 25)}"
    return ""


SUITE = Suite(
    name="segments",
    claim="The change of cross-entropy between two points lies within what slopes, and slopes and curvatures, at its ends say.",
    oracle=f"The two losses from their definition, with mpmath and {_DIGITS} digits.",
    case="one enclosure of one pair of points",
    blocks=50,
    items=250,
    seconds=300.0,
    memory=2**30,
    modules=("kd2m_theory.validation.evidence.segments",),
    examine=examine,
)
