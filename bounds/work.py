"""What rows cost, counted from sizes: operations and memory, before anything is computed, and seconds at a measured rate.

Counted work depends on the arrays' sizes and on how often each class occurs, never on a clock. It orders the rows of an audit
and makes its estimate; no number of an audit depends on it.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

from kd2m_theory.bounds.class_pairs import too_many
from kd2m_theory.bounds.settings import WHOLE_CLOUD
from kd2m_theory.bounds.view import KEPT, SOLVED, View
from kd2m_theory.estimators.between_clouds import STORED

# Bytes of a number in float64.
_NUMBER = 8
# Fitted to the processor seconds of audits of 2,000 to 1,000,000 samples, 10 to 1,000 classes. Steps of a call, of a transport
# problem, of each number that a row about logits reads, of each logit of a pair of points, and of each pair that a solver of
# transport looks at: an assignment is cheaper than transport between clouds of two sizes.
_CALL, _PROBLEM, _PASS, _LOGIT = 2e5, 1e5, 2.0, 2.0
_ASSIGNED, _TRANSPORTED = 20.0, 45.0
# Pairs of points of a class that the rows of two ends try for each point, and steps for each; and steps for each logit of the
# pairs, about one for each point, whose maximum they search.
_TRIED, _TRY, _SEARCH = 64, 600.0, 40.0
# Plans between the points of a class that has too many pairs to look at.
_PLANS = 3
# Pairs of points that transport on tiles holds for each point; steps and products for each pair that it looks at.
_HELD, _TILE_STEPS, _TILE_PRODUCTS = 400, 8.0, 1.0
# Products for the roots of a covariance, in powers of its side.
_ROOTS = 40.0
# Numbers of a block of logits of both networks.
_BLOCK = 2**21


@dataclass(frozen=True, slots=True)
class Size:
    """The sizes that the work of a row follows from.

    Attributes:
        student: samples of the student.
        teacher: samples of the teacher.
        classes: classes K.
        dimension: dimension of the points of the view.
        pairs: numbers of student and teacher samples of a class, and of how many classes; empty without labels.
        head: whether there is a linear head whose constants are to be found.

    Example:
        >>> Size(student=4, teacher=4, classes=2, dimension=3, pairs=((1, 1, 1), (3, 3, 1)), head=True).largest
        9
    """

    student: int
    teacher: int
    classes: int
    dimension: int
    pairs: tuple[tuple[int, int, int], ...]
    head: bool

    @property
    def logits(self) -> int:
        """Numbers in the logits of both networks."""
        return (self.student + self.teacher) * self.classes

    @property
    def points(self) -> int:
        """Numbers in the points of both networks."""
        return (self.student + self.teacher) * self.dimension

    @property
    def matched(self) -> int:
        """Pairs of points of one class, of all classes together."""
        return sum(n * m * times for n, m, times in self.pairs)

    @property
    def largest(self) -> int:
        """Pairs of points in the class that has most."""
        return max((n * m for n, m, _ in self.pairs), default=0)


@dataclass(frozen=True, slots=True)
class Work:
    """Operations and memory.

    Attributes:
        steps: operations on single numbers, of about the cost of an exponential.
        products: multiplications and additions in products of matrices.
        memory: bytes held at once, besides the samples.

    Example:
        >>> Work(steps=2.0) + Work(steps=1.0, products=5.0, memory=8.0)
        Work(steps=3.0, products=5.0, memory=8.0)
    """

    steps: float = 0.0
    products: float = 0.0
    memory: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        """One after the other: memory is that of the larger."""
        return Work(self.steps + other.steps, self.products + other.products, max(self.memory, other.memory))

    def __mul__(self, times: float) -> "Work":
        """So many times, one after another."""
        return Work(self.steps * times, self.products * times, self.memory)

    @property
    def together(self) -> float:
        """One number for the order of the rows: steps, and products at a tenth of one."""
        return self.steps + self.products / 10

    def seconds(self, rates: "Rates") -> float:
        """Time that it takes."""
        return self.steps / rates.steps + self.products / rates.products


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast a machine is.

    Attributes:
        steps: operations on single numbers in arrays in a second, measured on e^x.
        products: multiplications and additions in products of matrices in a second.

    Example:
        >>> Work(steps=1e8, products=2e9).seconds(Rates(steps=1e8, products=1e9))
        3.0
    """

    steps: float
    products: float


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a row's work: what several rows read is paid for by the first of them.

    Attributes:
        name: what it is known by among the rows of a view (see `View.shared`); empty if it is the row's alone.
        work: what it takes.
        of_logits: whether it is a function of the logits, so that a view with the same logits has it too.

    Example:
        >>> Part("w1", Work(steps=1.0)).of_logits
        False
    """

    name: str
    work: Work
    of_logits: bool = False


Working = Callable[[Size], tuple[Part, ...]]


def passes(count: float) -> Working:
    """A row that reads the logits of both networks so many times."""

    def working(size: Size) -> tuple[Part, ...]:
        held = 4 * _NUMBER * min(size.logits, _BLOCK)
        return (Part("", Work(steps=_CALL + count * _PASS * size.logits, memory=held)),)

    return working


# What a row takes that says nothing of it.
one_pass = passes(1)


def together(*workings: Working) -> Working:
    """A row that does all of these."""
    return lambda size: tuple(part for working in workings for part in working(size))


def head(size: Size) -> tuple[Part, ...]:
    """The Lipschitz constants of a linear head, from its rows and their products with one another."""
    if not size.head:
        return ()
    return (Part("head", Work(_CALL, size.classes**2 * float(size.dimension), 2 * _NUMBER * size.classes * size.dimension)),)


def _solved(n: int, m: int) -> Work:
    """A solver of transport on stored costs."""
    return Work(steps=_PROBLEM + n * m * (_ASSIGNED if n == m else _TRANSPORTED))


def transport(n: int, m: int, dimension: int) -> Work:
    """Transport of n to m points of a dimension, with costs that are stored, or on tiles."""
    if n * m <= STORED:
        return _solved(n, m) + Work(products=float(n * m * dimension), memory=_NUMBER * (3 * n * m + dimension * (n + m)))
    held = _NUMBER * (_HELD + 2.0 * dimension) * (n + m)
    return Work(steps=_TILE_STEPS * n * m, products=_TILE_PRODUCTS * n * m * dimension, memory=held)


def _sum(works: Iterable[Work]) -> Work:
    return sum(works, Work())


def classwise_distances(name: str) -> Working:
    """Distances of the two clouds of each class.

    Args:
        name: what they are known by.
    """

    def working(size: Size) -> tuple[Part, ...]:
        works = []
        for n, m, times in size.pairs:
            if too_many(n, m, 1) and size.matched > SOLVED:  # along a few plans
                points = float(size.dimension * (n + m))
                works.append(Work(steps=_PLANS * _LOGIT * points, memory=4 * _NUMBER * points) * times)
            else:
                works.append(transport(n, m, size.dimension) * times)
        return (Part(name, _sum(works)),)

    return working


def class_costs(name: str, problems: int = 1, *, numbers: float = _LOGIT, held: int = 5) -> Working:
    """Transport in each class with costs of one's own (see `View.several_class_costs`), from the extremes of changes of logits.

    Args:
        name: what the problems are known by; empty if they are the row's alone.
        problems: of each class.
        numbers: steps for each logit of each pair of points.
        held: arrays over pairs that are held at once.
    """

    def working(size: Size) -> tuple[Part, ...]:
        changes, others = [], []
        for n, m, times in size.pairs:
            logits = float(size.classes * (n + m))
            if too_many(n, m, size.classes):  # along a few plans
                others.append(Work(steps=_PLANS * numbers * logits, memory=4 * _NUMBER * logits) * times)
                continue
            changes.append(Work(steps=numbers * size.classes * n * m) * times)
            others.append((_solved(n, m) * problems + Work(_PASS * logits, memory=held * _NUMBER * n * m)) * times)
        return (
            Part("advances" if size.matched <= KEPT else "", _sum(changes), of_logits=True),
            Part(name, _sum(others), of_logits=True),
        )

    return working


def two_ends(small: int, older: str) -> Working:
    """What slopes and curvatures at both ends say about a number of pairs of each class.

    Args:
        small: pairs of points in the largest class up to which older rows' problems are solved too.
        older: what these are known by.
    """

    def working(size: Size) -> tuple[Part, ...]:
        works = []
        for n, m, times in size.pairs:
            tried, searched = min(n * m, _TRIED * (n + m)), (n + m) // 2
            products, memory = 4.0 * size.classes * n * m, _NUMBER * (8.0 * n * m + 30.0 * tried)
            if too_many(n, m, size.classes):
                tried, products, memory = _PLANS * (n + m) // 2, 0.0, 30.0 * _NUMBER * _PLANS * (n + m)
                searched = tried
            steps = _PROBLEM + _TRY * tried + _SEARCH * size.classes * searched
            works.append(Work(steps, products, memory) * times)
        ends = Part("two_ends", _sum(works), of_logits=True)
        both = size.largest <= small and any(n * m > _TRIED * (n + m) for n, m, _ in size.pairs)
        return (ends, *(class_costs(older, 4, held=6)(size) if both else ()))

    return working


def whole_cloud(problems: int, plan: str = "", numbers: float = 1.0) -> Working:
    """Transport of all samples at once.

    Args:
        problems: how many a row solves.
        plan: what the one plan is known by that rows share above the size up to which each solves its own.
        numbers: steps for each logit of each pair of points.
    """

    def working(size: Size) -> tuple[Part, ...]:
        n, m = size.student, size.teacher
        held = _NUMBER * (5.0 * n * m + 2 * size.logits)
        costs = Work(numbers * n * m * size.classes, float(n * m * size.dimension), held)
        shared = plan if max(n, m) > WHOLE_CLOUD else ""
        return (Part(shared, costs + _sum([_solved(n, m)] * (1 if shared else problems))),)

    return working


def moments(name: str = "") -> Working:
    """Means, covariances and roots of them in each class.

    Args:
        name: what they are known by.
    """

    def working(size: Size) -> tuple[Part, ...]:
        works = []
        for n, m, times in size.pairs:
            side = float(min(n, m, size.dimension))
            products = (n + m) * side * size.dimension + _ROOTS * side**3
            works.append(Work(_PROBLEM, products, 8 * _NUMBER * side * size.dimension) * times)
        return (Part(name, _sum(works) + Work(steps=_PASS * size.points, memory=2 * _NUMBER * size.points)),)

    return working


def second_moments(dimension: Callable[[Size], int]) -> Working:
    """Covariances in each class of points of a dimension."""

    def working(size: Size) -> tuple[Part, ...]:
        wide = dimension(size)
        products = sum(float(n + m) * min(n + m, wide) * wide * times for n, m, times in size.pairs)
        numbers = (size.student + size.teacher) * wide
        return (Part("", Work(_CALL + _PASS * numbers, products, _NUMBER * (4.0 * numbers + 4.0 * wide**2))),)

    return working


@dataclass(frozen=True, slots=True, kw_only=True)
class RowEstimate:
    """What a row is expected to take, in the order in which rows run.

    Attributes:
        name: of the row.
        seconds: what it adds: parts that rows before it compute are free.
        memory: bytes that it holds at once, besides the samples.

    Example:
        >>> RowEstimate(name="T5", seconds=1.5, memory=8e6).seconds
        1.5
    """

    name: str
    seconds: float
    memory: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What an audit is expected to take: right to a factor of about three.

    Attributes:
        rows: those that have a number, in the order in which they run.
        samples: bytes of the arrays of the samples, those made of them included.

    Example:
        >>> row = RowEstimate(name="T5", seconds=1.5, memory=8e6)
        >>> found = Estimate(rows=(row,), samples=2e6)
        >>> found.seconds, found.memory
        (1.5, 10000000.0)
    """

    rows: tuple[RowEstimate, ...]
    samples: float

    @property
    def seconds(self) -> float:
        """Time of all rows together."""
        return sum(row.seconds for row in self.rows)

    @property
    def memory(self) -> float:
        """Bytes held at once: the samples, and what the largest row needs."""
        return self.samples + max((row.memory for row in self.rows), default=0.0)


def size_of(view: View) -> Size:
    """The sizes of a view."""
    pairs: Counter[tuple[int, int]] = Counter()
    if view.labels_student is not None and view.labels_teacher is not None:
        counts = (np.bincount(labels, minlength=view.classes).tolist() for labels in view.both_labels())
        pairs = Counter((n, m) for n, m in zip(*counts, strict=True) if n and m)
    return Size(
        student=view.samples[0],
        teacher=view.samples[1],
        classes=view.classes,
        dimension=view.classes if view.features_student is None else view.features_student.shape[1],
        pairs=tuple((n, m, times) for (n, m), times in pairs.items()),
        head=view.space == "features" and view.weight is not None,
    )


@cache
def measured_rates() -> Rates:
    """The rates of this machine, measured once in less than a tenth of a second."""
    numbers = np.linspace(-1.0, 0.0, 2**18)
    square = numbers.reshape(2**9, 2**9)
    return Rates(
        steps=numbers.size / _fastest(lambda: np.exp(numbers)),
        products=2**27 / _fastest(lambda: square @ square),
    )


def _fastest(compute: Callable[[], object]) -> float:
    """Least seconds of three calls."""
    found = []
    for _ in range(3):
        start = time.perf_counter()
        compute()
        found.append(time.perf_counter() - start)
    return max(min(found), 1e-9)
