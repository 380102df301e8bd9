"""The two views under which the theorems look at a pair: features under the shared head, and logits under the identity."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from typing import Literal, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.bounds.class_pairs import ClassPairs, too_many, vertex_norms
from kd2m_theory.bounds.constants.heads import (
    class_lipschitz,
    enclosing_lipschitz,
    row_norms,
    sizes_of_terms,
    spectral_lipschitz,
)
from kd2m_theory.bounds.couplings import best_of, distance_by_plans, good_plans
from kd2m_theory.bounds.settings import Settings
from kd2m_theory.bounds.statistics import Statistic, Told, group_of, of_both, of_one
from kd2m_theory.errors import InputError
from kd2m_theory.estimators import CostMatrix, Enclosure, optimal_cost, wasserstein
from kd2m_theory.estimators.distances import common_shares
from kd2m_theory.estimators.ground import EPS
from kd2m_theory.estimators.sparse_transport import UnitPlan
from kd2m_theory.logits import Logits, in_file, same_logits
from kd2m_theory.pair import Pair
from kd2m_theory.side_by_side import by_rows, row_blocks, side_by_side

# Relative rounding of logits that a network in half precision computed, some roundings of bfloat16.
_HALF = 2.0**-6
# So far below the largest logit, exp underflows to zero in float64.
_MASKED = 800.0
# Pairs of one class, over all classes: up to which two numbers of each are kept, and up to which transport is solved.
KEPT, SOLVED = 12_000_000, 500_000_000
# Multiplications K² d up to which the constants of a head are computed exactly: K = 32,000 and d = 256 fit.
_EXACT = 2**38

# Pairs of a class up to which one core looks at all of its costs, and logits from which on that is another core: threads with
# short arrays wait for one another.
_FEW, _LOGITS = 2**16, 2**19

T = TypeVar("T")
Space = Literal["features", "logits"]


def _read_only(value: T) -> T:
    """An array, or each of several, as one that cannot be written; anything else as it is."""
    if type(value) is tuple:
        return cast(T, tuple(map(_read_only, cast(tuple[object, ...], value))))
    if isinstance(value, np.ndarray):
        value = value.view()
        value.setflags(write=False)
    return value


@dataclass(frozen=True, slots=True, eq=False)
class _Shared:
    """A value that several rows read.

    Attributes:
        value: the value.
        seconds: what it took, without what it read.
        read: the other shared values that it was computed from.
    """

    value: object
    seconds: float
    read: "frozenset[_Shared]"


@dataclass(eq=False)
class View:
    """Points z of both networks and one linear head for both.

    In the features view z are features and the logits are Wz + b with the teacher's head. In the logits view W is the
    identity, the logits are those of each network's own head, and z are the logits less their mean over classes:
    cross-entropy does not see a constant added to all logits, and without it distances are smaller. Neither the identity,
    K × K, nor these points are stored before somebody asks for them.

    Attributes:
        space: "features" or "logits".
        features_student: n_S × d; None in the logits view.
        features_teacher: n_T × d; None in the logits view.
        weight: K × d; None for a head that is not linear, and for the identity.
        stored_logits_student: n_S × K, to be read some rows at a time; `logits_student` is all of it, in float64.
        stored_logits_teacher: n_T × K, likewise.
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
    features_student: Float64 | None
    features_teacher: Float64 | None
    weight: Float64 | None
    stored_logits_student: Logits
    stored_logits_teacher: Logits
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
        self._memory: dict[str, _Shared] = {}
        self._of_logits = self._of_teacher = self._memory
        self._used: set[_Shared] = set()
        self._spent = 0.0

    @property
    def units(self) -> int:
        """Number of what is drawn independently: groups, or samples of the student."""
        return self.samples[0] if self.groups is None else int(self.groups.max()) + 1

    @property
    def samples(self) -> tuple[int, int]:
        """Number of samples of student and teacher."""
        if self.streamed is not None:
            return 2 * (len(self.streamed["predicted_student"]),)
        return len(self.stored_logits_student), len(self.stored_logits_teacher)

    def averaged(self, values: Float64) -> Float64:
        """The mean of a value of each sample over each group; the values themselves where there are none."""
        if self.groups is None:
            return values
        result: Float64 = np.bincount(self.groups, weights=values) / np.bincount(self.groups)
        return result

    @property
    def classes(self) -> int:
        """Number of classes K."""
        size: int = self.stored_logits_teacher.shape[1]
        return size

    @property
    def linear(self) -> Float64:
        """Weight of a linear head (K × d); in the logits view the identity, of K × K numbers."""
        if self.space == "logits":
            return np.eye(self.classes)
        assert self.weight is not None
        return self.weight

    @cached_property
    def logits_student(self) -> Float64:
        """All logits of the student, n_S × K; a copy where they are not in memory in float64."""
        return _read_only(self.stored_logits_student[:])

    @cached_property
    def logits_teacher(self) -> Float64:
        """All logits of the teacher, n_T × K; likewise."""
        return _read_only(self.stored_logits_teacher[:])

    @cached_property
    def student(self) -> Float64:
        """All points z of the student, n_S × d."""
        return _read_only(_points(self.features_student, self.stored_logits_student))

    @cached_property
    def teacher(self) -> Float64:
        """All points z of the teacher, n_T × d."""
        return _read_only(_points(self.features_teacher, self.stored_logits_teacher))

    def points_of_class(self, label: int) -> tuple[Float64, Float64]:
        """The points z of one class, of student and teacher: without those of all other classes."""
        sides = zip(
            self.members()[label],
            (self.features_student, self.features_teacher),
            (self.stored_logits_student, self.stored_logits_teacher),
            strict=True,
        )
        student, teacher = (
            features[points] if features is not None else _centred(logits[points]) for points, features, logits in sides
        )
        return student, teacher

    @property
    def loss_bound(self) -> float:
        """B: where rows that need a bounded loss clip cross-entropy."""
        given = self.settings.loss_bound
        return 2 * math.log(self.classes) if given is None else given

    def timed(self, compute: Callable[["View"], T]) -> tuple[T, float]:
        """The result, and the seconds it needs: its own, and those of every shared distance it reads."""
        self._used, self._spent = set(), 0.0
        start = time.perf_counter()
        result = compute(self)
        own = time.perf_counter() - start - self._spent
        return result, own + sum(each.seconds for each in self._used)

    def shared(self, key: str, compute: Callable[[], T], *, of_logits: bool = False, of_teacher: bool = False) -> T:
        """A value that several rows read: computed once, its time counted for each row that reads it.

        Args:
            key: its name; one name for one value.
            compute: the value.
            of_logits: whether it is a function of logits, labels and settings; a view that coincides has it too then.
            of_teacher: whether it is a function of the teacher's logits and labels and of settings; a view with the same
                teacher has it too then.
        """
        memory = self._of_logits if of_logits else self._of_teacher if of_teacher else self._memory
        if key not in memory:
            used, spent = self._used, self._spent
            self._used, self._spent = set(), 0.0
            start = time.perf_counter()
            value = _read_only(compute())
            seconds = time.perf_counter() - start
            memory[key] = _Shared(value, seconds - self._spent, frozenset(self._used))
            self._used, self._spent = used, spent + seconds
        self._used |= {memory[key], *memory[key].read}
        return memory[key].value  # type: ignore[return-value]

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """What it holds of the samples in memory."""
        if self.streamed is not None:
            return tuple(self.streamed.values())
        logits = (each.stored for each in (self.stored_logits_student, self.stored_logits_teacher) if not in_file(each.stored))
        arrays = (self.features_student, self.features_teacher, *logits)
        return tuple(array for array in arrays if array is not None)

    def memory_of(self, of_logits: bool) -> int:
        """What tells the values that its rows share from those of another view: one number where they share them with it."""
        return id(self._of_logits if of_logits else self._memory)

    def per_sample(self, name: str) -> Statistic:
        """A statistic of each sample, by its name in `statistics`: n values, in nats where it has a unit."""
        if self.streamed is not None:
            return self.streamed[name]
        if name.endswith("_teacher"):
            return self.shared(name, lambda: of_one(name, self.stored_logits_teacher, self.labels_teacher), of_teacher=True)
        if name.endswith("_student"):
            return self.shared(name, lambda: of_one(name, self.stored_logits_student, self.labels_student), of_logits=True)
        group, told = group_of(name), Told(self.loss_bound, self.settings.temperature)

        def compute() -> tuple[Statistic, ...]:
            found = of_both(group, self.stored_logits_student, self.stored_logits_teacher, self.labels_teacher, told)
            return tuple(found[each] for each in group)

        return self.shared(", ".join(group), compute, of_logits=True)[group.index(name)]

    def of_both(self, name: str) -> tuple[Statistic, Statistic]:
        """A statistic of one network, by its name in `statistics.OF_ONE`: of each sample of the student, and of the teacher."""
        return self.per_sample(f"{name}_student"), self.per_sample(f"{name}_teacher")

    def coincide(self, other: "View") -> None:
        """Share what is a function of the logits with another view, where its logits are the same: one head, replayed.

        Logits that are the same are then stored once.
        """
        if same_logits(self.stored_logits_teacher, other.stored_logits_teacher):
            self.stored_logits_teacher, self._of_teacher = other.stored_logits_teacher, other._of_teacher
            if same_logits(self.stored_logits_student, other.stored_logits_student):
                self.stored_logits_student, self._of_logits = other.stored_logits_student, other._of_logits

    @cached_property
    def lipschitz(self) -> float:
        """L of the head, nats per unit of distance."""
        if self.space == "logits":  # the head is the identity, two of whose rows are √2 apart
            return math.sqrt(2.0) * (1 + 4 * EPS)
        if self.weight is None:  # ℓ is √2-Lipschitz in the logits
            assert self.settings.head_lipschitz is not None
            return math.sqrt(2.0) * self.settings.head_lipschitz * (1 + 4 * EPS)
        return float(self.class_lipschitz.max())

    @property
    def exact_lipschitz(self) -> bool:
        """Whether the constants of a linear head are the smallest; those of a very wide one are upper bounds on them."""
        return self.weight is None or self.weight.shape[1] * len(self.weight) ** 2 <= _EXACT

    @cached_property
    def class_lipschitz(self) -> Float64:
        """L_y of the head for each class; upper bounds on it where the head is very wide (`exact_lipschitz`)."""
        if self.space == "logits":
            return _read_only(np.full(self.classes, self.lipschitz))
        return _read_only((class_lipschitz if self.exact_lipschitz else enclosing_lipschitz)(self.linear))

    @cached_property
    def spectral(self) -> float:
        """√2 ‖W‖_op of the head."""
        return self.lipschitz if self.space == "logits" else spectral_lipschitz(self.linear)

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
        if self.features_student is None or self.features_teacher is None:
            return self.per_sample("length") + self.point_error
        sides = self.features_student, self.features_teacher
        return self.shared("lengths", lambda: by_rows(lambda a, b: row_norms(a - b), *sides) + self.point_error)

    def changes(self) -> tuple[Float64, Float64]:
        """The least and the largest change of a logit Δ = a_S − a_T of each input, n values each in nats."""
        return self.per_sample("least_change"), self.per_sample("most_change")

    def advances(self) -> tuple[Float64, Float64]:
        """The least and the largest Δ_c − Δ_Y of each input over all classes c, Y among them: n values each in nats."""
        # Rounding is monotone, so that the extremes may be taken first.
        (least, largest), own = self.changes(), self.per_sample("own_change")
        return least - own, largest - own

    def vertex_norms(self) -> Float64:
        """ν_Y(a_S − a_T) of each input, n values in nats (`vertex_norm`)."""
        least, largest = self.advances()
        return np.maximum(np.abs(least), np.abs(largest))

    def w1(self) -> dict[int, Enclosure]:
        """W₁ of each class with the Euclidean cost."""
        return self.shared("w1", lambda: self._distances(1))

    def w2(self) -> dict[int, Enclosure]:
        """W₂ of each class with the Euclidean cost."""
        return self.shared("w2", lambda: self._distances(2))

    def _distances(self, p: Literal[1, 2]) -> dict[int, Enclosure]:
        def problems() -> Iterator[tuple[int, Callable[[], Enclosure]]]:
            for label in self.shares:
                student, teacher = self.points_of_class(label)
                pairs = len(student) * len(teacher)
                if self.pairs_in_all > SOLVED and too_many(len(student), len(teacher), 1):
                    yield 0, partial(distance_by_plans, student, teacher, self.plans(label), p)
                else:
                    yield pairs, partial(wasserstein, student, teacher, p, max_pivots=self.settings.max_pivots)

        return dict(zip(self.shares, side_by_side(problems()), strict=True))

    def w1_head_aware(self) -> dict[int, Enclosure]:
        """W₁ of each class with the vertex norm of the head, in nats."""
        # On the logits themselves: the bias cancels and the head is not applied twice.
        return self.class_costs("w1_head_aware", vertex_norms)

    def members(self) -> dict[int, tuple[Int64, Int64]]:
        """Rows of the student and of the teacher in each class, increasing."""

        def compute() -> dict[int, tuple[Int64, Int64]]:
            parts = []
            for labels in self.both_labels():
                order = np.argsort(labels, kind="stable")
                ends = np.cumsum(np.bincount(labels, minlength=self.classes))
                parts.append([order[start:end] for start, end in zip((0, *ends[:-1]), ends, strict=True)])
            return {label: (parts[0][label], parts[1][label]) for label in self.shares}

        return self.shared("members", compute, of_logits=True)

    @cached_property
    def pairs_in_all(self) -> int:
        """Pairs of points of one class, over all classes."""
        return sum(len(rows) * len(columns) for rows, columns in self.members().values())

    def class_pairs(self, label: int) -> ClassPairs:
        """The logits of both networks in a class, and all of their pairs."""
        return self._class_pairs(label, self.members(), self._advances())

    def _advances(self) -> dict[int, tuple[Float64, Float64]] | None:
        """What `ClassPairs.advances` returned, of the classes whose pairs were looked at; None where it is not kept."""
        return self.shared("advances", lambda: {}, of_logits=True) if self.pairs_in_all <= KEPT else None

    def _class_pairs(
        self, label: int, members: Mapping[int, tuple[Int64, Int64]], advances: dict[int, tuple[Float64, Float64]] | None
    ) -> ClassPairs:
        """The same from what is shared: threads may look at several classes at a time."""
        rows, columns = members[label]
        pairs = ClassPairs(label, self.stored_logits_student[rows], self.stored_logits_teacher[columns])
        if advances is None or too_many(len(rows), len(columns), self.classes):
            return pairs
        if label not in advances:
            advances[label] = pairs.advances()
        return replace(pairs, known=advances[label])

    def plans(self, label: int) -> tuple[UnitPlan, ...]:
        """Plans between the points of a class that has too many pairs to look at."""

        def compute() -> tuple[UnitPlan, ...]:
            rows, columns = self.members()[label]
            student, teacher = self.stored_logits_student[rows], self.stored_logits_teacher[columns]
            losses = tuple(each[points] for each, points in zip(self.losses(), (rows, columns), strict=True))
            margins = (each - each[:, [label]] for each in (student, teacher))
            return good_plans(next(margins), next(margins), (losses[0], losses[1]), paired=self.paired)

        return self.shared(f"plans of class {label}", compute, of_logits=True)

    def class_costs(self, key: str, cost: Callable[[ClassPairs], CostMatrix]) -> dict[int, Enclosure]:
        """Least transport cost of each class; of one with too many pairs, that of the best of a few plans."""
        return self.several_class_costs(key, lambda pairs: (cost(pairs),))[0]

    def several_class_costs(
        self, key: str, costs: Callable[[ClassPairs], tuple[CostMatrix, ...]]
    ) -> tuple[dict[int, Enclosure], ...]:
        """As `class_costs`, for costs that are computed together."""

        def compute() -> tuple[dict[int, Enclosure], ...]:
            members, advances = self.members(), self._advances()
            pairs = {label: len(members[label][0]) * len(members[label][1]) for label in self.shares}

            def small(label: int) -> tuple[Enclosure, ...]:
                found = costs(self._class_pairs(label, members, advances))
                return tuple(optimal_cost(cost, max_pivots=self.settings.max_pivots) for cost in found)

            few = [label for label, count in pairs.items() if count <= _FEW and not too_many(count, 1, self.classes)]
            many = sorted(pairs.keys() - few)
            logits = {label: self.classes * sum(map(len, members[label])) for label in few}
            jobs = ((_LOGITS if logits[label] >= _LOGITS else 0, partial(small, label)) for label in few)
            found = dict(zip(few, side_by_side(jobs), strict=True))
            each = side_by_side(job for label in many for job in self._least_costs(label, costs))
            count = len(each) // max(1, len(many))
            found |= {label: tuple(each[count * k : count * (k + 1)]) for k, label in enumerate(many)}
            of_costs = zip(*(found[label] for label in self.shares), strict=True)
            return tuple(dict(zip(self.shares, which, strict=True)) for which in of_costs)

        return self.shared(key, compute, of_logits=True)

    def _least_costs(
        self, label: int, costs: Callable[[ClassPairs], tuple[CostMatrix, ...]]
    ) -> Iterator[tuple[int, Callable[[], Enclosure]]]:
        """Each problem of a class of many points: the numbers in its matrix, and what solves it."""
        pairs = self.class_pairs(label)
        n, m = len(pairs.student), len(pairs.teacher)
        if too_many(n, m, self.classes):
            plans = self.plans(label)
            along = [costs(pairs.along(plan)) for plan in plans]
            yield from ((0, partial(best_of, plans, each)) for each in zip(*along, strict=True))
        else:
            for cost in costs(pairs):
                yield n * m, partial(optimal_cost, cost, max_pivots=self.settings.max_pivots)

    @cached_property
    def change_error(self) -> float:
        """How far rounding may move a mean over paired inputs of differences Δ_c − Δ_y of changes of logits, in nats.

        A change Δ = a_S − a_T is right to a rounding of itself, the difference of two changes to that of both, however large an
        offset of all logits cancels in it. Classes that both networks mask alike do not change.
        """
        size = np.maximum(*map(np.abs, self.changes()))
        return 8 * EPS * math.fsum(size) / len(size)

    def losses(self) -> tuple[Float64, Float64]:
        """Cross-entropy of student and teacher for each sample under this view's head, in nats."""
        return self.of_both("loss")

    def log_partitions(self) -> tuple[Float64, Float64]:
        """log Σ_c exp(a_c) of student and teacher for each sample, in nats."""
        return self.of_both("partition")

    def largest_losses(self) -> tuple[Float64, Float64]:
        """Cross-entropy of student and teacher at the least likely class of each sample, in nats."""
        return self.of_both("largest_loss")

    @property
    def depth(self) -> tuple[float, float]:
        """The largest size of a logit of student and teacher, in nats."""
        student, teacher = self.of_both("size")
        return float(student.max()), float(teacher.max())

    def predicted(self) -> tuple[Int64, Int64]:
        """The most likely class (the first of equals) of each sample, of student and teacher."""
        return self.of_both("predicted")

    def wrong(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether student and teacher err on each of their samples."""
        student, teacher = (predicted != labels for predicted, labels in zip(self.predicted(), self.both_labels(), strict=True))
        return student, teacher

    def differ(self) -> NDArray[np.bool_]:
        """Whether the two networks predict different classes for each input."""
        student, teacher = self.predicted()
        result: NDArray[np.bool_] = student != teacher
        return result

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
            total += 8 * single * sum(float(sizes.mean()) for sizes in self.of_both("size"))
        return total


@dataclass(frozen=True, slots=True)
class _Replay:
    """Logits Wz + b of one network's features, and how far rounding may move them.

    Attributes:
        logits: n × K.
        error: of the mean of a loss whose gradient has an ℓ₁ norm of at most 2, in nats.
        extreme: the same of the loss at any class of each sample.
    """

    logits: Logits
    error: float
    extreme: float


class _Replays:
    """The logits that the teacher's head makes of a pair's features: once for both views."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    @cached_property
    def student(self) -> _Replay | None:
        return _replayed(self._pair, self._pair.features_student)

    @cached_property
    def teacher(self) -> _Replay | None:
        return _replayed(self._pair, self._pair.features_teacher)


def both_views(pair: Pair, settings: Settings) -> tuple[View | None, View | None]:
    """The features view and the logits view of a pair, where there are such; what both read is computed and stored once."""
    replays = _Replays(pair)
    features, logits = features_view(pair, settings, replays), logits_view(pair, settings, replays)
    if features is not None and logits is not None:
        logits.coincide(features)
    return features, logits


def features_view(pair: Pair, settings: Settings, replays: _Replays | None = None) -> View | None:
    """The pair's features under the teacher's head; None if there is no head that fits both.

    A nonlinear head is known by its logits alone: those of the pair, if the user says that both networks share it.

    Args:
        pair: the pair.
        settings: what the audit was told.
        replays: logits of the pair's features, where another view reads them too.
    """
    head = pair.shared_head
    if pair.features_student is None or pair.features_teacher is None:
        return None
    student: Logits | None
    teacher: Logits | None
    error = extreme = 0.0
    if head is not None:
        replays = replays or _Replays(pair)
        assert replays.student is not None
        assert replays.teacher is not None
        student, teacher = replays.student.logits, replays.teacher.logits
        error = replays.student.error + replays.teacher.error
        extreme = replays.student.extreme + replays.teacher.extreme
    elif settings.head_lipschitz is not None and pair.head_weight is None:
        if pair.features_student.shape[1] != pair.features_teacher.shape[1]:
            return None
        student, teacher = pair.stored_logits_student, pair.stored_logits_teacher
        _refuse_refuted(settings.head_lipschitz, pair)
    else:
        return None
    if student is None or teacher is None:
        return None
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
    teacher, student = pair.stored_logits_teacher, pair.stored_logits_student
    assert pair.features_teacher is not None
    assert pair.features_student is not None
    if teacher is None or student is None or len(teacher) != len(student):
        return
    moved = by_rows(lambda a, b: row_norms(a - b), student, teacher)
    features = row_norms(pair.features_student - pair.features_teacher)
    with np.errstate(over="ignore"):
        excess = moved - constant * features - _HALF * (by_rows(row_norms, student) + by_rows(row_norms, teacher))
    if excess.max() > 0:
        row = int(excess.argmax())
        raise InputError(
            f"head_lipschitz is {constant:g}, but from teacher to student the logits of row {row} move by {moved[row]:.3g} and "
            f"its features by {features[row]:.3g}: no head of that constant made both; give a certified one "
            "(bounds.constants.layers.network_lipschitz), and only where both networks use this very head"
        )


def logits_view(pair: Pair, settings: Settings, replays: _Replays | None = None) -> View | None:
    """The logits of each network's own head; a student without logits of its own uses the teacher's head.

    Args:
        pair: the pair.
        settings: what the audit was told.
        replays: logits of the pair's features, where another view reads them too.
    """
    replays = replays or _Replays(pair)
    teacher, student, error, extreme = pair.stored_logits_teacher, pair.stored_logits_student, 0.0, 0.0
    if student is None and (made := replays.student) is not None:
        student, error, extreme = made.logits, error + made.error, extreme + made.extreme
    if teacher is None and (made := replays.teacher) is not None:
        teacher, error, extreme = made.logits, error + made.error, extreme + made.extreme
    if teacher is None or student is None:
        return None
    view = View(
        "logits",
        None,
        None,
        None,
        student,
        teacher,
        *_labels(pair),
        pair.inputs_paired,
        settings,
        replay_error=error,
        replay_extreme=extreme,
    )
    view.point_error = centring_error(view)
    return view


def centring_error(view: View) -> float:
    """How far rounding moved a pair of points of the logits view, root mean square of student plus that of teacher.

    Any constant may be subtracted from a row; only the rounding of the subtraction moves the point.
    """
    return EPS * sum(float(np.sqrt((norms**2).mean())) for norms in view.of_both("norm"))


def _replayed(pair: Pair, features: Float64 | None) -> _Replay | None:
    """The logits that the pair's head makes of features; None where there is no head that fits them."""
    logits = pair.apply_head(features)
    if logits is None:
        return None
    assert features is not None
    assert pair.head_weight is not None
    assert pair.head_bias is not None
    # A class whose probability underflows moves no loss but its own, which is right to a rounding of itself.
    least = logits.max(axis=1, keepdims=True) - _MASKED
    extreme, error = np.zeros((2, len(logits)))
    for classes, sizes in sizes_of_terms(features, pair.head_weight, pair.head_bias):
        np.maximum(extreme, sizes.max(axis=1), out=extreme)
        np.maximum(error, np.where(logits[:, classes] >= least, sizes, 0.0).max(axis=1), out=error)
    allowance = 2 * (features.shape[1] + 3) * EPS
    return _Replay(logits=Logits(logits), error=allowance * float(error.mean()), extreme=allowance * float(extreme.mean()))


def _labels(pair: Pair) -> tuple[Int64 | None, Int64 | None]:
    return (pair.labels if pair.inputs_paired else pair.labels_student), pair.labels


def _points(features: Float64 | None, logits: Logits) -> Float64:
    if features is not None:
        return features
    points: Float64 = np.empty(logits.shape)
    for rows in row_blocks(*logits.shape):
        points[rows] = _centred(logits[rows])
    return points


def _centred(logits: Float64) -> Float64:
    result: Float64 = logits - logits.mean(axis=1, keepdims=True)
    return result
