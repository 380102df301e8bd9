"""The two views under which the theorems look at a pair: features under the shared head, and logits under the identity."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.bounds.constants.heads import class_lipschitz, lipschitz, row_norms, spectral_lipschitz
from kd2m_theory.bounds.settings import Settings
from kd2m_theory.bounds.statistics import OF_BOTH, Statistic, Told, group_of, of_both, of_one
from kd2m_theory.errors import InputError
from kd2m_theory.estimators import CostMatrix, Enclosure, VertexNorm, class_wasserstein, optimal_cost
from kd2m_theory.estimators.distances import common_shares
from kd2m_theory.estimators.ground import EPS
from kd2m_theory.pair import Pair

# Relative rounding of logits that a network in half precision computed, some roundings of bfloat16.
_HALF = 2.0**-6
# So far below the largest logit, exp underflows to zero in float64.
_MASKED = 800.0

T = TypeVar("T")
Space = Literal["features", "logits"]


def _read_only(value: T) -> T:
    """An array as one that cannot be written; anything else as it is."""
    if isinstance(value, np.ndarray):
        value = value.view()
        value.setflags(write=False)
    return value


@dataclass(eq=False)
class View:
    """Points z of both networks and one linear head for both.

    In the features view z are features and the logits are Wz + b with the teacher's head. In the logits view W is the
    identity, the logits are those of each network's own head, and z are the logits less their mean over classes:
    cross-entropy does not see a constant added to all logits, and without it distances are smaller.

    Attributes:
        space: "features" or "logits".
        student: n_S × d points.
        teacher: n_T × d points.
        weight: K × d; None for a head that is not linear.
        logits_student: n_S × K.
        logits_teacher: n_T × K.
        labels_student: n_S classes, or None.
        labels_teacher: n_T classes, or None.
        paired: whether row i of both sides is the same input.
        settings: what the audit was told.
        point_error: how far rounding moved a pair of points, root mean square of student plus that of teacher.
        bias: K, of a linear head on features.
        tail: failure probability that each limit of a row about the population may spend (see `Row.limits`).
        groups: number of each sample's group, 0..G−1, where samples of one group need not be independent; else None.
        replay_error: how far rounding of Wz + b, where logits were computed from features, may have moved a mean loss of the
            student plus one of the teacher, in nats.
        replay_extreme: the same of the loss at any class of each sample, whatever its label: of classes that are as good as
            impossible too, whose losses are large and may be compared with one another.
        like_chance: whether the order of the samples says nothing about them (see `content_order`).
        streamed: statistics by name, of samples whose logits were not kept (see `stream`); points and logits are then 0 × K,
            and rows read `per_sample` alone.
    """

    space: Space
    student: Float64
    teacher: Float64
    weight: Float64 | None
    logits_student: Float64
    logits_teacher: Float64
    labels_student: Int64 | None
    labels_teacher: Int64 | None
    paired: bool
    settings: Settings
    point_error: float = 0.0
    bias: Float64 | None = None
    tail: float = math.nan
    like_chance: bool = False
    groups: Int64 | None = None
    replay_error: float = 0.0
    replay_extreme: float = 0.0
    streamed: Mapping[str, Statistic] | None = None

    def __post_init__(self) -> None:
        """Rows read arrays, those that several share among them, and cannot write them."""
        for item in fields(self):
            setattr(self, item.name, _read_only(getattr(self, item.name)))
        self._memory: dict[str, object] = {}
        self._seconds: dict[str, float] = {}
        self._of_logits = self._memory, self._seconds
        self._used: set[str] = set()
        self._new: set[str] = set()

    @property
    def units(self) -> int:
        """Number of what is drawn independently: groups, or samples of the student."""
        if self.streamed is not None and self.groups is None:
            return len(self.streamed["predicted_student"])
        return len(self.logits_student) if self.groups is None else int(self.groups.max()) + 1

    def averaged(self, values: Float64) -> Float64:
        """The mean of a value of each sample over each group; the values themselves where there are none."""
        if self.groups is None:
            return values
        result: Float64 = np.bincount(self.groups, weights=values) / np.bincount(self.groups)
        return result

    @property
    def classes(self) -> int:
        """Number of classes K."""
        size: int = self.logits_teacher.shape[1]
        return size

    @property
    def linear(self) -> Float64:
        """Weight of a linear head."""
        assert self.weight is not None
        return self.weight

    @property
    def loss_bound(self) -> float:
        """B: where rows that need a bounded loss clip cross-entropy."""
        given = self.settings.loss_bound
        return 2 * math.log(self.classes) if given is None else given

    def timed(self, compute: Callable[["View"], T]) -> tuple[T, float]:
        """The result, and the seconds it needs: its own, and those of every shared distance it reads."""
        self._used, self._new = set(), set()
        start = time.perf_counter()
        result = compute(self)
        own = time.perf_counter() - start - sum(self._seconds[key] for key in self._new)
        return result, own + sum(self._seconds[key] for key in self._used)

    def shared(self, key: str, compute: Callable[[], T], *, of_logits: bool = False) -> T:
        """A value that several rows read: computed once, its time counted for each row that reads it.

        Args:
            key: its name; one name for one value.
            compute: the value.
            of_logits: whether it is a function of logits, labels and settings; a view that coincides has it too then.
        """
        memory, seconds = self._of_logits if of_logits else (self._memory, self._seconds)
        if key not in memory:
            start = time.perf_counter()
            memory[key] = _read_only(compute())
            seconds[key] = time.perf_counter() - start
            self._new.add(key)
        self._used.add(key)
        self._seconds[key] = seconds[key]
        return memory[key]  # type: ignore[return-value]

    def per_sample(self, name: str) -> Statistic:
        """A statistic of each sample, by its name in `statistics`: n values, in nats where it has a unit."""
        if self.streamed is not None:
            return self.streamed[name]
        group = group_of(name)
        if group not in OF_BOTH:
            logits, labels = (
                (self.logits_student, self.labels_student)
                if name.endswith("_student")
                else (self.logits_teacher, self.labels_teacher)
            )
            return self.shared(name, lambda: of_one(name, logits, labels), of_logits=True)
        told = Told(self.loss_bound, self.settings.temperature)

        def compute() -> dict[str, Statistic]:
            found = of_both(group, self.logits_student, self.logits_teacher, self.labels_teacher, told)
            return {key: _read_only(value) for key, value in found.items()}

        return self.shared(", ".join(group), compute, of_logits=True)[name]

    def wrong(self) -> tuple[Statistic, Statistic]:
        """Whether student and teacher err on each sample: the most likely class is not the true one."""
        labels_s, labels_t = self.both_labels()
        return self.per_sample("predicted_student") != labels_s, self.per_sample("predicted_teacher") != labels_t

    def differ(self) -> Statistic:
        """Whether the two networks predict different classes for each input."""
        found: Statistic = self.per_sample("predicted_student") != self.per_sample("predicted_teacher")
        return found

    def depth(self) -> tuple[float, float]:
        """The largest size of a logit of student and teacher."""
        return float(self.per_sample("size_student").max()), float(self.per_sample("size_teacher").max())

    def coincide(self, other: "View") -> None:
        """Share what is a function of the logits with another view, if its logits are the same: one head, replayed."""
        mine, theirs = (self.logits_student, self.logits_teacher), (other.logits_student, other.logits_teacher)
        if all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True)):
            self._of_logits = other._of_logits

    @cached_property
    def lipschitz(self) -> float:
        """L of the head, nats per unit of distance."""
        if self.space == "logits":  # the head is the identity, two of whose rows are √2 apart
            return math.sqrt(2.0) * (1 + 4 * EPS)
        if self.weight is None:  # ℓ is √2-Lipschitz in the logits
            assert self.settings.head_lipschitz is not None
            return math.sqrt(2.0) * self.settings.head_lipschitz * (1 + 4 * EPS)
        return lipschitz(self.weight)

    @cached_property
    def class_lipschitz(self) -> Float64:
        """L_y of the head for each class."""
        return _read_only(class_lipschitz(self.linear))

    @cached_property
    def spectral(self) -> float:
        """√2 ‖W‖_op of the head."""
        return spectral_lipschitz(self.linear)

    @cached_property
    def shares(self) -> dict[int, float]:
        """π_y of each class that occurs."""
        return common_shares(*self.both_labels())

    @property
    def same_shares(self) -> bool:
        """Whether classes are as frequent on both sides."""
        labels_s, labels_t = self.both_labels()
        counts = [np.bincount(labels, minlength=self.classes) for labels in (labels_s, labels_t)]
        return np.array_equal(counts[0] * len(labels_t), counts[1] * len(labels_s))

    def both_labels(self) -> tuple[Int64, Int64]:
        """Labels of student and teacher."""
        assert self.labels_student is not None
        assert self.labels_teacher is not None
        return self.labels_student, self.labels_teacher

    @property
    def labels(self) -> Int64:
        """Labels of paired inputs."""
        return self.both_labels()[0]

    def lengths(self) -> Float64:
        """‖z_S − z_T‖ of each input (n), rounded up."""
        if self.streamed is not None:
            return self.streamed["length"] + self.point_error
        return self.shared("lengths", lambda: row_norms(self.student - self.teacher) + self.point_error)

    def w1(self) -> dict[int, Enclosure]:
        """W₁ of each class with the Euclidean cost."""
        return self.shared(
            "w1",
            lambda: class_wasserstein(self.student, self.teacher, *self.both_labels(), 1, max_pivots=self.settings.max_pivots),
        )

    def w2(self) -> dict[int, Enclosure]:
        """W₂ of each class with the Euclidean cost."""
        return self.shared(
            "w2",
            lambda: class_wasserstein(self.student, self.teacher, *self.both_labels(), 2, max_pivots=self.settings.max_pivots),
        )

    def w1_head_aware(self) -> dict[int, Enclosure]:
        """W₁ of each class with the vertex norm of the head, in nats."""
        # On the logits themselves: the bias cancels and the head is not applied twice.
        return self.shared(
            "w1_head_aware",
            lambda: class_wasserstein(
                self.logits_student,
                self.logits_teacher,
                *self.both_labels(),
                1,
                VertexNorm(),
                max_pivots=self.settings.max_pivots,
            ),
        )

    def class_costs(self, key: str, cost: Callable[[Float64, Float64, int], CostMatrix]) -> dict[int, Enclosure]:
        """Least transport cost of each class for any cost of (student logits, teacher logits, class)."""

        def compute() -> dict[int, Enclosure]:
            labels_s, labels_t = self.both_labels()
            result = {}
            for label in self.shares:
                a, b = self.logits_student[labels_s == label], self.logits_teacher[labels_t == label]
                uniform = np.full(len(a), 1.0 / len(a)), np.full(len(b), 1.0 / len(b))
                result[label] = optimal_cost(cost(a, b, label), *uniform, max_pivots=self.settings.max_pivots)
            return result

        return self.shared(key, compute, of_logits=True)

    @cached_property
    def change_error(self) -> float:
        """How far rounding may move a mean over paired inputs of differences Δ_c − Δ_y of changes of logits, in nats.

        A change Δ = a_S − a_T is right to a rounding of itself, the difference of two changes to that of both, however large an
        offset of all logits cancels in it. Classes that both networks mask alike do not change.
        """
        size = np.maximum(np.abs(self.per_sample("least_change")), np.abs(self.per_sample("most_change")))
        return 8 * EPS * math.fsum(size) / len(size)

    def losses(self) -> tuple[Float64, Float64]:
        """Cross-entropy of student and teacher for each sample under this view's head, in nats."""
        return self.per_sample("loss_student"), self.per_sample("loss_teacher")

    def risk_error(self, risk: float) -> float:
        """How far rounding may have moved a mean loss of one network of about this size, in nats."""
        return 8 * EPS * ((self.classes + 8) * (1 + math.log(self.classes)) + risk) + self.replay_error

    @cached_property
    def rounding(self) -> float:
        """How far rounding may have moved the measured gap, in nats: of the losses, and of Wz + b that enters them."""
        # log Σ exp(a − max a) is summed from K terms ≤ 1; max a − a_y is right to a rounding of itself, at most ℓ + ln K.
        total = 8 * (self.classes + 8) * EPS * (1 + math.log(self.classes))
        total += self.replay_error + sum(8 * EPS * float(losses.mean()) for losses in self.losses())
        if self.space == "features" and self.weight is None:  # somebody else's arithmetic, in float32 at worst
            single = float(np.finfo(np.float32).eps)
            total += 8 * single * sum(float(self.per_sample(f"size_{side}").mean()) for side in ("student", "teacher"))
        return total


def features_view(pair: Pair, settings: Settings) -> View | None:
    """The pair's features under the teacher's head; None if there is no head that fits both.

    A nonlinear head is known by its logits alone: those of the pair, if the user says that both networks share it.
    """
    head = pair.shared_head
    if pair.features_student is None or pair.features_teacher is None:
        return None
    if head is not None:
        student, teacher = pair.apply_head(pair.features_student), pair.apply_head(pair.features_teacher)
    elif settings.head_lipschitz is not None and pair.head_weight is None:
        if pair.features_student.shape[1] != pair.features_teacher.shape[1]:
            return None
        student, teacher = pair.logits_student, pair.logits_teacher
        _refuse_refuted(settings.head_lipschitz, pair)
    else:
        return None
    if student is None or teacher is None:
        return None
    error, extreme = _replay_errors(pair, {"features_student": student, "features_teacher": teacher})
    return View(
        "features",
        pair.features_student,
        pair.features_teacher,
        head,
        student,
        teacher,
        *_labels(pair),
        pair.inputs_paired,
        settings,
        bias=pair.head_bias,
        replay_error=error,
        replay_extreme=extreme,
    )


def _refuse_refuted(constant: float, pair: Pair) -> None:
    """Refuse a Lipschitz constant of a shared head that two rows of the pair refute.

    If one head of constant L made the logits of both networks, ‖a_S − a_T‖ ≤ L ‖z_S − z_T‖ for any row of the one and any of
    the other; rows of the same number are tried.

    Raises:
        InputError: logits moved farther, by more than the rounding of a network in half precision.
    """
    teacher, student = pair.logits_teacher, pair.logits_student
    assert pair.features_teacher is not None
    assert pair.features_student is not None
    if teacher is None or student is None or len(teacher) != len(student):
        return
    moved, features = row_norms(student - teacher), row_norms(pair.features_student - pair.features_teacher)
    with np.errstate(over="ignore"):
        excess = moved - constant * features - _HALF * (row_norms(student) + row_norms(teacher))
    if excess.max() > 0:
        row = int(excess.argmax())
        raise InputError(
            f"head_lipschitz is {constant:g}, but from teacher to student the logits of row {row} move by {moved[row]:.3g} and "
            f"its features by {features[row]:.3g}: no head of that constant made both; give a certified one "
            "(bounds.constants.layers.network_lipschitz), and only where both networks use this very head"
        )


def logits_view(pair: Pair, settings: Settings) -> View | None:
    """The logits of each network's own head; a student without logits of its own uses the teacher's head."""
    teacher, student = pair.logits_teacher, pair.logits_student
    if teacher is None:
        teacher = pair.apply_head(pair.features_teacher)
    if student is None:
        student = pair.apply_head(pair.features_student)
    if teacher is None or student is None:
        return None
    centred_s, centred_t = _centred(student), _centred(teacher)
    # Any constant may be subtracted from a row; only the rounding of the subtraction moves the point.
    moved = EPS * sum(float(np.sqrt((row_norms(points) ** 2).mean())) for points in (centred_s, centred_t))
    given = {"features_student": (student, pair.logits_student), "features_teacher": (teacher, pair.logits_teacher)}
    error, extreme = _replay_errors(pair, {name: made for name, (made, own) in given.items() if own is None})
    return View(
        "logits",
        centred_s,
        centred_t,
        np.eye(teacher.shape[1]),
        student,
        teacher,
        *_labels(pair),
        pair.inputs_paired,
        settings,
        moved,
        replay_error=error,
        replay_extreme=extreme,
    )


def _replay_errors(pair: Pair, made: Mapping[str, Float64]) -> tuple[float, float]:
    """How far rounding of logits Wz + b may move the mean of a loss whose gradient has an ℓ₁ norm of at most 2.

    Args:
        pair: features and head.
        made: the logits, by the name of the features that they were computed from.

    Returns:
        `replay_error` and `replay_extreme` of a view.
    """
    error = extreme = 0.0
    for name, logits in made.items():
        features = getattr(pair, name)
        if features is None or pair.head_weight is None or pair.head_bias is None:
            continue
        sums = np.abs(features) @ np.abs(pair.head_weight).T + np.abs(pair.head_bias)
        allowance = 2 * (features.shape[1] + 3) * EPS
        extreme += allowance * float(sums.max(axis=1).mean())
        # A class whose probability underflows moves no loss but its own, which is right to a rounding of itself.
        sums = np.where(logits >= logits.max(axis=1, keepdims=True) - _MASKED, sums, 0.0)
        error += allowance * float(sums.max(axis=1).mean())
    return error, extreme


def _labels(pair: Pair) -> tuple[Int64 | None, Int64 | None]:
    return (pair.labels if pair.inputs_paired else pair.labels_student), pair.labels


def _centred(logits: Float64) -> Float64:
    result: Float64 = logits - logits.mean(axis=1, keepdims=True)
    return result
