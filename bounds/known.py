"""What an audit may be told about the teacher: its risk or its error rate, on these inputs or in the population."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from kd2m_theory.arrays import Int64
from kd2m_theory.checks import real_number
from kd2m_theory.errors import InputError
from kd2m_theory.logits import Logits
from kd2m_theory.pair import Pair

Quantity = Literal["teacher_risk", "teacher_error"]
Of = Literal["sample", "population"]
Interval = tuple[float, float]

QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
# For each quantity: what it is called, its unit, and the largest value that it can have.
WORDS: Mapping[Quantity, str] = {"teacher_risk": "risk", "teacher_error": "error rate"}
# A risk may have been computed in single precision: it is taken to be right to this share of itself.
SINGLE = 1e-6
_MOST: Mapping[Quantity, float] = {"teacher_risk": math.inf, "teacher_error": 1.0}


@dataclass(frozen=True, slots=True)
class Known:
    """Bounds on a mean of the teacher's losses (nats) or errors (probability).

    Attributes:
        value: an upper bound, or (lower, upper), equal if the mean is known exactly; or a mapping from predicted classes to
            these, each about the inputs that the teacher predicts as that class. Kept as (lower, upper), 0 where no lower end
            was given. Of a class that is not named nothing is known.
        about: "sample", these very inputs, or "population", which they are drawn from.

    Raises:
        InputError: a number that is negative, NaN or infinite, a lower end above the upper one, a key that is not a class, or
            an unknown `about`.

    Example:
        >>> Known(0.3).value, Known({2: (0.1, 0.2)}, about="population").value
        ((0.0, 0.3), {2: (0.1, 0.2)})
    """

    value: float | Interval | Mapping[int, float | Interval]
    about: Of = "sample"

    def __post_init__(self) -> None:
        if self.about not in get_args(Of):
            raise InputError(f"about is {self.about!r}; choose 'sample' (these inputs) or 'population'")
        given = self.value
        kept: Interval | dict[int, Interval]
        kept = _by_class(given) if isinstance(given, Mapping) else _interval(given, "what is known")
        object.__setattr__(self, "value", kept)

    @property
    def classes(self) -> Mapping[int, Interval] | None:
        """Intervals by predicted class; None where one interval is about all inputs."""
        return self.value if isinstance(self.value, Mapping) else None  # type: ignore[return-value]

    def cells(self, predicted: Int64, room: float = 0.0) -> Iterator[tuple[Int64, Interval | None]]:
        """Indices of inputs that one statement is about, and its interval; None for those about which nothing is known.

        Args:
            predicted: n classes that the teacher predicts. A class that it predicts nowhere is left out.
            room: share of themselves by which both ends are moved outward.
        """

        def wide(ends: Interval) -> Interval:
            return ends[0] * (1 - room), ends[1] * (1 + room)

        if self.classes is None:
            yield np.arange(len(predicted)), wide(self.value)  # type: ignore[arg-type]
            return
        for label in np.unique(predicted).tolist():
            known = self.classes.get(label)
            yield np.flatnonzero(predicted == label), None if known is None else wide(known)

    def __str__(self) -> str:
        """As it is typed on the command line, or for classes one after another."""
        told = _typed(self.value) if self.classes is None else ", ".join(f"{c}: {_typed(v)}" for c, v in self.classes.items())
        return told if self.about == "sample" else f"population:{told}"


Told = Known | Pair | None


def told(value: Any, name: Quantity) -> Told:
    """What `audit` was told of a quantity, in one of three forms: nothing, bounds, or an evaluation of the teacher.

    Args:
        value: None; a `Known`, or what `Known` takes, then about these inputs; or a labelled pair.
        name: the argument.

    Raises:
        InputError: as `Known`; an error rate above 1; a pair without labels or from whose arrays no teacher's logits follow.
    """
    if value is None:
        return None
    if isinstance(value, Pair):
        _evaluation(value, name)
        return value
    try:
        found = value if isinstance(value, Known) else Known(value)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    of_all: Sequence[Interval] = [found.value] if found.classes is None else list(found.classes.values())  # type: ignore[list-item]
    most = _MOST[name]
    above = next((high for _, high in of_all if high > most), None)
    if above is not None:
        raise InputError(f"{name} is {above:.12g}; an error rate is a share of inputs, at most {most:g} (0.02 for 2 %)")
    return found


def _evaluation(pair: Pair, name: str) -> tuple[Logits, Int64]:
    """Logits and labels of the teacher on the inputs of its evaluation."""
    logits = pair.stored_logits_teacher
    if logits is None and (made := pair.apply_head(pair.features_teacher)) is not None:
        logits = Logits(made)
    if pair.labels is None:
        raise InputError(f"{name} is a pair without labels; pass the teacher's evaluation on labelled inputs, or a number")
    if pair.groups is not None:
        raise InputError(f"{name} is a pair with groups, whose samples are not independent; keep one sample of each group")
    if logits is None:
        raise InputError(f"{name} is a pair without logits of the teacher; pass logits_teacher, or head_weight")
    return logits, pair.labels


def evaluated(pair: Pair, name: Quantity, classes: int) -> tuple[Logits, Int64]:
    """Logits (m × K) and labels (m) of an evaluation of the teacher.

    Raises:
        InputError: it has another number of classes than the audited pair.
    """
    logits, labels = _evaluation(pair, name)
    if logits.shape[1] != classes:
        raise InputError(
            f"{name} is an evaluation of a teacher with {logits.shape[1]} classes, and the audited one has {classes}; pass the "
            "evaluation of the same network"
        )
    return logits, labels


def as_stored(value: Told) -> Mapping[str, Any] | None:
    """What was told, as plain data: `{"value": …, "about": …}`, or `{"samples": n}` of an evaluation."""
    if value is None:
        return None
    if isinstance(value, Pair):
        return {"samples": value.n}
    found = value.value if value.classes is None else {str(label): list(each) for label, each in value.classes.items()}
    return {"value": found if isinstance(found, Mapping) else list(found), "about": value.about}  # type: ignore[arg-type]


def _by_class(given: Mapping[Any, Any]) -> dict[int, Interval]:
    if not given:
        raise InputError("what is known is an empty mapping; name at least one predicted class")
    wrong = next((key for key in given if isinstance(key, bool) or not isinstance(key, int | np.integer) or key < 0), None)
    if wrong is not None:
        raise InputError(f"{wrong!r} is not a class; the keys are predicted classes, whole numbers from 0")
    return {int(label): _interval(given[label], f"what is known of class {label}") for label in sorted(given)}


def _interval(given: Any, what: str) -> Interval:
    given = given.tolist() if isinstance(given, np.ndarray) else given
    ends = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [0.0, given]
    if len(ends) != 2:
        raise InputError(
            f"{what} has {len(ends)} numbers; give an upper bound or (lower, upper), and {{class: …}} for predicted classes"
        )
    low, high = map(real_number, ends)
    for number, value in zip((low, high), ends, strict=True):
        if not 0 <= number < math.inf:
            raise InputError(f"{what} is {value!r}; give finite numbers ≥ 0")
    if low > high:
        raise InputError(f"{what} is ({low:g}, {high:g}); the lower end comes first")
    return low, high


def _typed(ends: Any) -> str:
    low, high = ends
    return f"{high:g}" if low == 0 else f"{low:g}:{high:g}"
