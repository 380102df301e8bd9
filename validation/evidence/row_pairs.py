"""Pairs that rounding, cancellation, overflow or ties would trip over, one family for each way of going wrong."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.special import softmax

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.bounds.settings import VOUCHABLE, Settings
from kd2m_theory.pair import Pair
from kd2m_theory.predictions import are_probabilities


@dataclass(frozen=True)
class Draw:
    """A pair before it is one.

    Attributes:
        teacher: n_T × d features, or logits.
        student: n_S × d.
        labels: of the teacher's rows, n_T.
        labels_student: of the student's rows.
        weight: K × d of the head.
        bias: K.
        own: what the student's own head adds to the logits of the shared one, n_S × K; None: it has no head of its own.
    """

    teacher: Float64
    student: Float64
    labels: Int64
    labels_student: Int64
    weight: Float64
    bias: Float64
    own: Float64 | None


@dataclass(frozen=True)
class Problem:
    """A pair with what was varied.

    Attributes:
        arguments: of `Pair`.
        settings: of the audit.
        labellings: classes of the same inputs, drawn afresh, of a pair without labels.
        strata: the level of everything that was varied.
    """

    arguments: Mapping[str, Any]
    strata: Mapping[str, str]
    settings: Settings = field(default_factory=Settings)
    labellings: tuple[Int64, ...] = ()

    def pair(self) -> Pair:
        """The pair.

        Raises:
            InputError: it is refused.
        """
        return Pair(**self.arguments)


Family = Callable[[np.random.Generator, Draw], Draw]


def _scaled(low: float, high: float) -> Family:
    def change(rng: np.random.Generator, draw: Draw) -> Draw:
        scale = 10.0 ** rng.uniform(low, high)
        return _with(draw, weight=draw.weight * scale, bias=draw.bias * scale, own=_times(draw.own, scale))

    return change


def _offset(offset: float) -> Family:
    """A constant is added to all logits of both networks, or of the student's own head: no loss can see it."""

    def change(rng: np.random.Generator, draw: Draw) -> Draw:
        scale = 10.0 ** rng.uniform(-1, 3)
        bias, own = draw.bias * scale, _times(draw.own, scale)
        if own is None or rng.random() < 0.5:
            bias = bias + offset
        else:
            own = own + offset * rng.uniform(0.5, 1.0)
        return _with(draw, weight=draw.weight * scale, bias=bias, own=own)

    return change


def _far_away(rng: np.random.Generator, draw: Draw) -> Draw:
    """Features far from the origin, all in one place: what distances and logits have in common cancels."""
    place = 10.0 ** rng.uniform(3, 9) * rng.normal(size=draw.teacher.shape[1])
    return _with(draw, teacher=draw.teacher + place, student=draw.student + place)


def _features(low: float, high: float) -> Family:
    """Features so large that Wz is rounded coarsely, with a head of ordinary size."""

    def change(rng: np.random.Generator, draw: Draw) -> Draw:
        scale = 10.0 ** rng.uniform(low, high)
        return _with(draw, teacher=draw.teacher * scale, student=draw.student * scale)

    return change


def _saturated(rng: np.random.Generator, draw: Draw) -> Draw:
    """Probabilities that are 1 and 0 in float64, for right and for wrong answers."""
    scale = 10.0 ** rng.uniform(1.5, 4)
    return _with(draw, weight=draw.weight * scale, bias=draw.bias * scale, own=_times(draw.own, scale))


def _equal_heads(rng: np.random.Generator, draw: Draw) -> Draw:
    """All rows of the head are equal, or two are: no features move any loss, or those of two classes."""
    scale = 10.0 ** rng.uniform(0, 8)
    weight, bias = draw.weight.copy(), draw.bias.copy()
    some = slice(None) if rng.random() < 0.6 else slice(0, 2)
    weight[some] = weight[0]
    if rng.random() < 0.5:  # other biases change all losses of a class alike
        bias[some] = bias[0]
    return _with(draw, teacher=draw.teacher * scale, student=draw.student * scale, weight=weight, bias=bias, own=None)


def _ties(rng: np.random.Generator, draw: Draw) -> Draw:
    """Small whole numbers: equal logits, equal margins, equal distances, coinciding points."""

    def grid(like: Float64) -> Float64:
        return rng.integers(-2, 3, like.shape).astype(np.float64)

    own = None if draw.own is None else grid(draw.own)
    if own is not None and are_probabilities(own):  # a pair refuses those, now and then two rows of two classes
        own = -own
    return Draw(
        teacher=grid(draw.teacher),
        student=grid(draw.student),
        labels=draw.labels,
        labels_student=draw.labels_student,
        weight=grid(draw.weight),
        bias=grid(draw.bias),
        own=own,
    )


def _alike(rng: np.random.Generator, draw: Draw) -> Draw:
    """The student is the teacher, or a rounding away from it."""
    student = draw.teacher[: len(draw.student)]
    if len(student) < len(draw.student):
        return draw
    step = rng.choice([0.0, 1e-16, 1e-15, 1e-12])
    student = student * (1.0 + step * rng.normal(size=student.shape))
    return _with(draw, student=student, own=None if draw.own is None else draw.own * step)


def _extreme(rng: np.random.Generator, draw: Draw) -> Draw:
    """Numbers near both ends of float64 that a pair still accepts."""
    kind = rng.integers(4)
    if kind == 0:  # products underflow
        least = rng.random() < 0.3
        scale = 5e-324 if least else 10.0 ** rng.uniform(-320, -150)
        weight = np.sign(draw.weight) if least else draw.weight
        bias = draw.bias * rng.integers(2)
        teacher, student = draw.teacher * scale, draw.student * scale
        return _with(draw, teacher=teacher, student=student, weight=weight, bias=bias, own=_times(draw.own, scale))
    if kind == 1:  # squares of squares overflow
        scale = 10.0 ** rng.uniform(70, 100)
        return _with(draw, teacher=draw.teacher * scale, student=draw.student * scale, own=None)
    if kind == 2:  # one feature of one network
        student = draw.student.copy()
        student[rng.integers(len(student)), rng.integers(student.shape[1])] = 10.0 ** rng.uniform(40, 100)
        return _with(draw, student=student, own=None)
    exponents = 10.0 ** rng.uniform(-200, 20, draw.teacher.shape[1])
    return _with(draw, teacher=draw.teacher * exponents, student=draw.student * exponents)


def _attained(rng: np.random.Generator, draw: Draw) -> Draw:
    """Every answer is wrong beyond doubt and becomes more so: rows that a sample can attain, with logits that cancel."""
    away = draw.weight - draw.weight.mean(axis=0)
    size, more = 10.0 ** rng.uniform(1, 4), 1.0 + 10.0 ** rng.uniform(-6, 0)
    offset = float(rng.choice([0.0, 1e3, 1e6, 1e9])) * rng.uniform(0.5, 1.0)
    teacher, student = -size * away[draw.labels], -size * more * away[draw.labels_student]
    if draw.own is None:
        return _with(draw, teacher=teacher, student=student, bias=draw.bias + offset)
    return _with(draw, teacher=teacher, student=student, own=np.full_like(draw.own, offset))


def _masked(rng: np.random.Generator, draw: Draw) -> Draw:
    """Classes that a huge negative logit rules out, for both networks or for the student alone; now and then the true one."""
    depth = -float(rng.choice([1e3, 1e9, 1e30, 1e100]))
    classes = rng.random(len(draw.bias)) < 0.4
    if rng.random() < 0.7:
        classes[np.unique(draw.labels)] = False
    if draw.own is not None and rng.random() < 0.3:
        return _with(draw, own=np.where(classes, depth, draw.own))
    return _with(draw, bias=np.where(classes, depth, draw.bias))


def _as_drawn(_rng: np.random.Generator, draw: Draw) -> Draw:
    return draw


FAMILIES: Mapping[str, Family] = {
    "ordinary": _as_drawn,
    "scale 1e-12 to 1e-3": _scaled(-12, -3),
    "scale 1e-320 to 1e-12": _scaled(-320, -12),
    "scale 1e2 to 1e8": _scaled(2, 8),
    "scale 1e8 to 1e148": _scaled(8, 148),
    "features 1e3 to 1e8": _features(3, 8),
    "features 1e8 to 1e148": _features(8, 148),
    "features far from the origin": _far_away,
    "offset 1e3": _offset(1e3),
    "offset 1e6": _offset(1e6),
    "offset 1e9": _offset(1e9),
    "saturated logits": _saturated,
    "masked classes": _masked,
    "equal rows of the head": _equal_heads,
    "ties": _ties,
    "attained bounds": _attained,
    "student is teacher": _alike,
    "near the ends of float64": _extreme,
}
FORMS = ("features", "features and own head", "logits")
ORDERS = ("as drawn", "sorted by class", "other inputs", "other inputs, unequal numbers")
LABELS = ("any", "one class missing", "one class only", "none")


def problem(rng: np.random.Generator) -> Problem:
    """A pair of a random family."""
    family = str(rng.choice(list(FAMILIES)))
    classes = int(rng.choice([2, 3, 4, 10, 50], p=[0.3, 0.3, 0.2, 0.17, 0.03]))
    dimension = int(rng.integers(1, 9)) if rng.random() < 0.85 else int(rng.choice([17, 64]))
    order = str(rng.choice(ORDERS, p=[0.5, 0.2, 0.15, 0.15]))
    kind = str(rng.choice(LABELS, p=[0.55, 0.2, 0.1, 0.15]))
    form = str(rng.choice(FORMS))
    kept = str(rng.choice(["float64", "float32"], p=[0.75, 0.25]))
    copies = bool(rng.random() < 0.25)
    n = int(rng.integers(2, 61 if rng.random() < 0.15 else 16))
    labels, labels_student = _labels(rng, n, classes, order, kind)
    draw = FAMILIES[family](rng, _draw(rng, labels, labels_student, classes, dimension, form, copies))
    arguments = _arguments(draw, form, kind, order)
    if kept == "float32":
        arguments = {name: _single(value) for name, value in arguments.items()}
    temperature = float(rng.choice([1.0, 2.0, 20.0]))
    strata = {
        "family": family,
        "form": form,
        "order": order,
        "labels": kind,
        "numbers": kept,
        "copies": "duplicate rows" if copies else "distinct rows",
        "K": str(classes),
        "d": "1 to 8" if dimension < 9 else "17 or 64",
        "n": "2 to 4" if n < 5 else "5 to 15" if n < 16 else "16 to 60",
    }
    settings = Settings(temperature=temperature, vouched=frozenset(VOUCHABLE))
    labellings = _labellings(rng, arguments) if kind == "none" and arguments["inputs_paired"] else ()
    return Problem(arguments, strata, settings, labellings)


def _labellings(rng: np.random.Generator, arguments: Mapping[str, Any]) -> tuple[Int64, ...]:
    """Labels from the teacher's predictions twice, any labels, and those that raise and that lower the loss most."""
    student, teacher = (_logits_of(arguments, who) for who in ("student", "teacher"))
    chances = softmax(teacher, axis=1).cumsum(axis=1)[:, :-1]
    drawn = [(rng.random((len(teacher), 1)) > chances).sum(axis=1) for _ in range(2)]
    change = student - teacher
    found = (change.argmin(axis=1), drawn[0], change.argmax(axis=1), drawn[1], rng.integers(0, teacher.shape[1], len(teacher)))
    return found if len(teacher) < 16 else found[:2]  # with numbers of any size, each costs seconds


def _logits_of(arguments: Mapping[str, Any], who: str) -> Float64:
    given = arguments.get(f"logits_{who}")
    if given is None:
        given = arguments[f"features_{who}"] @ arguments["head_weight"].T + arguments["head_bias"]
    result: Float64 = np.asarray(given, dtype=np.float64)
    return result


def _labels(rng: np.random.Generator, n: int, classes: int, order: str, kind: str) -> tuple[Int64, Int64]:
    known = {"one class missing": max(1, classes - 1), "one class only": 1}.get(kind, classes)
    labels = rng.integers(0, known, n) if known > 1 else np.full(n, rng.integers(classes))
    if order == "sorted by class":
        labels = np.sort(labels)
    if order == "other inputs":
        return labels, rng.permutation(labels)
    if order == "other inputs, unequal numbers":  # the same shares, so that rows by class apply
        return labels, rng.permutation(np.tile(labels, 2))
    return labels, labels


def _draw(
    rng: np.random.Generator,
    labels: Int64,
    labels_student: Int64,
    classes: int,
    dimension: int,
    form: str,
    copies: bool,
) -> Draw:
    n, m = len(labels), len(labels_student)
    weight, bias = rng.normal(size=(classes, dimension)), rng.normal(size=classes)
    fitted = rng.uniform(-1, 3) * weight[labels] / np.linalg.norm(weight[labels], axis=1, keepdims=True)
    teacher = fitted + rng.normal(size=(n, dimension))
    move = 10.0 ** rng.uniform(-6, 1)
    student = teacher[np.arange(m) % n] + move * rng.normal(size=(m, dimension))
    if copies:
        teacher = teacher[rng.integers(0, max(1, n // 3), n)]
        student = student[rng.integers(0, max(1, m // 3), m)]
    own = None if form == "features" else move * rng.normal(size=(m, classes))
    return Draw(
        teacher=teacher, student=student, labels=labels, labels_student=labels_student, weight=weight, bias=bias, own=own
    )


def _arguments(draw: Draw, form: str, kind: str, order: str) -> dict[str, Any]:
    paired = not order.startswith("other")
    arguments: dict[str, Any] = {"inputs_paired": paired}
    if kind != "none":
        arguments["labels"] = draw.labels
        if not paired:
            arguments["labels_student"] = draw.labels_student
    logits = [points @ draw.weight.T + draw.bias for points in (draw.student, draw.teacher)]
    if form == "logits":
        return arguments | {
            "logits_student": logits[0] if draw.own is None else logits[0] + draw.own,
            "logits_teacher": logits[1],
        }
    arguments |= {
        "features_teacher": draw.teacher,
        "features_student": draw.student,
        "head_weight": draw.weight,
        "head_bias": draw.bias,
    }
    return arguments if draw.own is None else arguments | {"logits_student": logits[0] + draw.own}


def _single(value: Any) -> Any:
    if not isinstance(value, np.ndarray) or value.dtype != np.float64:
        return value
    with np.errstate(over="ignore", under="ignore"):
        single = value.astype(np.float32)
    return single if np.isfinite(single).all() else value


def _times(values: Float64 | None, factor: float) -> Float64 | None:
    return None if values is None else values * factor


def _with(draw: Draw, **changes: Any) -> Draw:
    return replace(draw, **changes)
