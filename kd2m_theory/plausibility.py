"""Mistakes that an input of the right form can still have, recognised by what would hardly happen without them.

Each finding is a question to the user, not a verdict: the data do not show how they were made. It is raised where its opposite
would have probability at most e⁻¹⁴, about 10⁻⁶, by Chernoff's bound for n independent rows. That teacher and student were
exchanged cannot be seen: a student may well be better than its teacher. Probabilities in place of logits are refused by `Pair`.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.logits import AnyLogits, Logits
from kd2m_theory.pair import Pair
from kd2m_theory.side_by_side import by_rows, row_blocks
from kd2m_theory.words import number

# Minus the logarithm of the probability of a false alarm.
_EVIDENCE = 14.0
# What is less surprising than e⁻³, or 1 in 20, is not a sign of anything.
_NOTHING = 3.0
# Other labels explain the teacher's predictions if it then is right on so many more of the rows, and twice as often.
_BETTER = 0.25
# Part of the way from chance to perfect agreement that networks which have anything to do with each other go at least.
_RELATED = 0.2
# Total variation up to which two networks predict each class about equally often.
_ALIKE = 0.2
# Rows, and share of repeated ones, from which they are worth a word; the order of an audit's samples asks for the same share.
_ROWS, _REPEATED = 20, 0.1
# Logarithms of probabilities that were raised to a floor: the floor is at most e⁻³, and rows sum to 1 up to what it added.
_FLOORED, _ONE = -3.0, 0.1
# Logits of one network, and those of another that is the same or has another temperature, differ by rounding of float32.
_ROUNDED = 1e-5
# Probabilities less their least have a sum of at most 1, and of nearly 1 in so many rows where a network is certain.
_NEARLY_ONE, _CERTAIN = 0.9, 0.3
# Classes beyond which no assignment of all of them is searched for.
_MOST_CLASSES = 1000


@dataclass(frozen=True, slots=True)
class Finding:
    """A question about an input.

    Attributes:
        key: which one, of `KINDS`.
        numbers: what it rests on, by name: shares of the rows in [0, 1] and whole numbers.

    Example:
        >>> print(Finding("constant logits", {"student": 1.0, "rows": 200.0}).sentence)
        The student has the same logits in all 200 rows: does its output depend on its input, and are its weights loaded?
    """

    key: str
    numbers: Mapping[str, float]

    @property
    def sentence(self) -> str:
        """What was found, and what to look at."""
        _, words = KINDS[self.key]
        return words(self.numbers)


def findings(pair: Pair) -> tuple[Finding, ...]:
    """What about a pair looks like a mistake; usually nothing.

    Example:
        >>> labels = np.arange(60) % 3
        >>> student = 3.0 * np.eye(4)[labels] - np.eye(4)[3]
        >>> late = Pair(logits_teacher=9.0 * np.eye(4)[labels], logits_student=student, labels=labels + 1)
        >>> [found.key for found in findings(late)]
        ['shifted labels', 'repeated rows']
    """
    teacher, student = pair.stored_logits_teacher, pair.stored_logits_student
    teacher = _made(pair, pair.features_teacher) if teacher is None else teacher
    student = _made(pair, pair.features_student) if student is None else student
    return (
        *_about_classes(pair, teacher, student),
        *_about_rows(pair),
        *_about_numbers(pair, teacher, student),
        *_about_floors(pair, teacher, student),
    )


def _made(pair: Pair, features: Float64 | None) -> Logits | None:
    """The logits that the teacher's head makes of features."""
    made = pair.apply_head(features)
    return None if made is None else Logits(made)


def _about_classes(pair: Pair, teacher: Logits | None, student: Logits | None) -> Iterator[Finding]:
    """Labels, columns and order of the rows: what the classes that are predicted show."""
    scale = None if teacher is None or student is None or not pair.inputs_paired else _scale(teacher, student)
    if scale is not None and teacher is not None and scale > 0:
        yield from _about_labels(pair, teacher, None)
        rows = float(len(teacher))
        yield (
            Finding("same network", {"rows": rows}) if scale == 1 else Finding("scaled logits", {"rows": rows, "scale": scale})
        )
        return
    order = _other_order(pair, teacher, student)
    found = [*_about_labels(pair, teacher, student, order is not None)]
    if pair.labels is None and pair.inputs_paired and teacher is not None and student is not None:
        named = _renamed(student.argmax(axis=1), teacher.argmax(axis=1), teacher.shape[1])
        if named is not None:
            found.append(_permuted_finding(*named, order=order is not None))
    yield from found
    # Where other columns explain it, the order of the rows is the second question of that finding.
    if order is not None and not any(each.key == "permuted classes" for each in found):
        yield order


def _scale(teacher: Logits, student: Logits) -> float | None:
    """The number by which the teacher's logits are multiplied to give the student's, a number added to each row aside.

    1 if that is all that they differ by, rounding of float32 included; None if there is no such number.
    """
    if teacher.shape != student.shape:
        return None

    def below(logits: Float64) -> Float64:
        """How far each logit is below the largest of its row, as a number ≤ 0."""
        result: Float64 = logits - logits.max(axis=1, keepdims=True)
        return result

    largest = [float(by_rows(lambda part: -below(part).min(axis=1), each).max()) for each in (teacher, student)]
    if not all(largest):
        return None if any(largest) else 1.0
    scale = largest[1] / largest[0]
    if scale == 0 or not np.isfinite(scale):
        return None
    for part in row_blocks(*teacher.shape):  # two networks part ways in the first rows
        if (np.abs(below(student[part]) - scale * below(teacher[part])) > _ROUNDED * largest[1]).any():
            return None
    return 1.0 if abs(scale - 1) <= _ROUNDED else scale


def _about_labels(pair: Pair, teacher: Logits | None, student: Logits | None, order: bool = False) -> Iterator[Finding]:
    if pair.labels is None or teacher is None:
        return
    labels_student = pair.labels if pair.inputs_paired else pair.labels_student
    guesses, classes = teacher.argmax(axis=1), teacher.shape[1]
    guesses_student = None if student is None or labels_student is None else student.argmax(axis=1)
    right = _Agreement.of(guesses, pair.labels)
    best = _best_names(guesses, pair.labels, classes)
    late = _late(guesses, pair.labels, pair.groups)
    for shift in (-1, 1) if classes > 2 else ():  # of two classes, a shift leaves one for both
        other = _Agreement.of(guesses, pair.labels + shift)
        # A shift is a permutation, too, but for the class that it leaves without a column.
        nearly_best = best is None or other.share >= _Agreement.of(guesses, best[pair.labels]).share - _BETTER
        # Labels that the student predicts are not shifted: the teacher's columns are.
        if guesses_student is not None and labels_student is not None:
            apart = (guesses_student == labels_student).mean() - (guesses_student == labels_student + shift).mean()
            nearly_best = nearly_best and bool(apart < _BETTER)
        if late is not None and late.numbers["at_shifted"] > other.share:
            continue
        if nearly_best and _explains(other, right, math.log(2)):
            yield Finding("shifted labels", {"shift": float(shift), "at_label": right.share, "at_shifted": other.share})
            return
    if late is not None:
        yield late
        return
    named = _renamed(guesses, pair.labels, classes)
    own = None
    if guesses_student is not None and labels_student is not None:
        own = _renamed(guesses_student, labels_student, classes)
    if (first := named or own) is not None:
        yield _permuted_finding(*first, teacher=named is not None, student=own is not None, order=order)
    guessing = named is None and right.unrelated()
    if guessing:
        yield Finding("teacher guesses", {"accuracy": right.share, "chance": right.chance})
    elif own is None and not order and guesses_student is not None and labels_student is not None:
        found = _Agreement.of(guesses_student, labels_student)
        if found.unrelated() and student is not None and not _all_same(student):
            yield Finding("student guesses", {"accuracy": found.share, "chance": found.chance})


def _late(guesses: Int64, labels: Int64, groups: Int64 | None) -> Finding | None:
    """Whether the label of the next row of a group, or of the row before, explains the predictions far better than its own."""
    near = np.ones(len(labels) - 1, dtype=bool) if groups is None else groups[:-1] == groups[1:]
    if not near.any():
        return None
    for step, rows, others in ((1.0, slice(None, -1), slice(1, None)), (-1.0, slice(1, None), slice(None, -1))):
        right, other = (_Agreement.of(guesses[rows][near], labels[each][near]) for each in (rows, others))
        if _explains(other, right, math.log(2)):
            return Finding("labels of other rows", {"step": step, "at_label": right.share, "at_shifted": other.share})
    return None


def _permuted_finding(
    at_label: float, at_permuted: float, *, order: bool, teacher: bool = False, student: bool = False
) -> Finding:
    flags = {"teacher": float(teacher), "student": float(student), "order": float(order)}
    return Finding("permuted classes", {"at_label": at_label, "at_permuted": at_permuted, **flags})


def _about_numbers(pair: Pair, teacher: Logits | None, student: Logits | None) -> Iterator[Finding]:
    """Logits that do not depend on the input, or that look as probabilities do."""
    known = pair.head_weight is not None  # then the teacher's are outputs of a linear map
    for is_student, logits in ((0.0, teacher), (1.0, student)):
        if logits is None or len(logits) < _ROWS:
            continue
        if _all_same(logits):
            yield Finding("constant logits", {"student": is_student, "rows": float(len(logits))})
        elif (is_student or not known) and (one := _like_probabilities(logits)) is not None:
            yield Finding("like probabilities", {"student": is_student, "one_each": float(one), "rows": float(len(logits))})


def _all_same(logits: Logits) -> bool:
    first = logits[0]
    return bool(by_rows(lambda part: (part == first).all(axis=1), logits).all())


def _like_probabilities(logits: Logits) -> bool | None:
    """Whether each number looks like a probability of its own (True), or each row like probabilities less a number (False).

    The logarithm of a softmax that was taken twice is the latter: ln p_i = q_i − ln Σ exp q_j with Σ q = 1. None if neither.
    """
    sums = by_rows(lambda part: (part - part.min(axis=1, keepdims=True)).sum(axis=1), logits)
    if sums.max() <= 1 + _ROUNDED and sums.max() >= 1 - _ONE**2 and (sums >= _NEARLY_ONE).mean() >= _CERTAIN:
        return False
    least, most = logits.min(axis=1).min(), logits.max(axis=1).max()
    inside = 0 <= least <= _ONE and 1 - _ONE <= most <= 1
    return True if inside and by_rows(lambda part: (part != np.floor(part)).any(axis=1), logits).any() else None


def _about_floors(pair: Pair, teacher: Logits | None, student: Logits | None) -> Iterator[Finding]:
    labels_student = pair.labels if pair.inputs_paired else pair.labels_student
    for is_student, logits, labels in ((0.0, teacher, pair.labels), (1.0, student, labels_student)):
        if logits is None or labels is None or not _has_floor(logits):
            continue
        losses = -logits[np.arange(len(labels)), labels]
        most = -float(logits.min(axis=1).min())
        hits = float((losses == most).sum())
        if hits:
            numbers = {"hits": hits, "rows": float(len(labels)), "nats": most, "mean": float(losses.mean())}
            yield Finding("floored losses", {"student": is_student, **numbers})


def _has_floor(logits: Logits) -> bool:
    """Whether these are logarithms of probabilities, the least of which stands for zero in several different rows."""
    lowest = logits.min(axis=1)
    least = float(lowest.min())
    if least > _FLOORED or logits.max(axis=1).max() > 0:
        return False
    if (np.abs(by_rows(lambda part: np.exp(part).sum(axis=1), logits) - 1) > _ONE).any():
        return False
    rows = np.flatnonzero(lowest == least)
    first = logits[rows[0]]
    return any(bool((logits[rows[part]] != first).any()) for part in row_blocks(len(rows), logits.shape[1]))


def _other_order(pair: Pair, teacher: Logits | None, student: Logits | None) -> Finding | None:
    if not pair.inputs_paired or teacher is None or student is None:
        return None
    first, second = teacher.argmax(axis=1), student.argmax(axis=1)
    counts = [np.bincount(each, minlength=teacher.shape[1]) / len(each) for each in (first, second)]
    apart = float(np.abs(counts[0] - counts[1]).sum()) / 2
    agreement = _Agreement.of(first, second)
    if apart > _ALIKE or not agreement.unrelated():
        return None
    return Finding("other order", {"agreement": agreement.share, "chance": agreement.chance, "apart": apart})


def _about_rows(pair: Pair) -> Iterator[Finding]:
    """Repeated inputs. A model of few different outputs, such as a tree, repeats them for different inputs, but two models
    seldom do so on just the same ones: the outputs of one are repeated only together with those of the other. Two models that
    are certain of a class repeat its outputs together, too, and say nothing about the inputs.
    """
    certain = all(each is not None and _has_floor(each) for each in (pair.stored_logits_teacher, pair.stored_logits_student))
    if not pair.inputs_paired or certain:
        return
    teacher = _fingerprints([pair.features_teacher, pair.stored_logits_teacher])
    student = _fingerprints([pair.features_student, pair.stored_logits_student])
    rows, different = len(teacher), len(set(zip(teacher, student, strict=True)))
    repeats = rows - different
    if rows >= _ROWS and repeats >= _REPEATED * rows and different == max(len(set(teacher)), len(set(student))):
        yield Finding("repeated rows", {"repeats": float(repeats), "rows": float(rows)})


@dataclass(frozen=True, slots=True)
class _Agreement:
    """How often two sequences of classes agree.

    Attributes:
        n: their length.
        share: of the rows in which they agree.
        chance: the same if one of them were put into random order.
    """

    n: int
    share: float
    chance: float

    @classmethod
    def of(cls, first: Int64, second: Int64) -> "_Agreement":
        n = len(first)
        counts: dict[int, int] = dict(zip(*(each.tolist() for each in np.unique(first, return_counts=True)), strict=True))
        others = zip(*(each.tolist() for each in np.unique(second, return_counts=True)), strict=True)
        chance = sum(counts.get(each, 0) * count for each, count in others) / n**2
        return cls(n, float((first == second).mean()), chance)

    def surprise(self, expected: float) -> float:
        """Minus the logarithm of Chernoff's bound for a share at least as far from the expected one."""
        return self.n * _divergence(self.share, expected)

    def unrelated(self) -> bool:
        """Whether they agree as two unrelated sequences would, and so many rows would have shown a relation."""
        related = self.chance + _RELATED * (1 - self.chance)
        above = self.share > self.chance and self.surprise(self.chance) > _NOTHING
        return not above and self.share < related and self.surprise(related) >= _EVIDENCE


def _divergence(p: float, q: float) -> float:
    """Kullback–Leibler divergence of two coins, in nats."""

    def part(a: float, b: float) -> float:
        return 0.0 if a <= 0 else math.inf if b <= 0 else a * math.log(a / b)

    return max(0.0, part(p, q) + part(1 - p, 1 - q))


def _explains(other: _Agreement, right: _Agreement, tried: float) -> bool:
    """Whether other labels explain the predictions far better; `tried` is the logarithm of how many were tried."""
    better = other.share >= right.share + _BETTER and other.share >= 2 * right.share
    return better and other.share > other.chance and other.surprise(other.chance) >= _EVIDENCE + tried


def _best_names(guesses: Int64, wanted: Int64, classes: int) -> Int64 | None:
    """The column that fits each class best, all different; its own where another fits no better."""
    if classes > _MOST_CLASSES:
        return None
    from scipy.optimize import linear_sum_assignment

    together = np.eye(classes) * (0.5 / classes)
    np.add.at(together, (wanted, guesses), 1.0)
    rows, columns = linear_sum_assignment(together, maximize=True)
    names = np.empty(classes, dtype=np.int64)
    names[rows] = columns
    return names


def _renamed(guesses: Int64, wanted: Int64, classes: int) -> tuple[float, float] | None:
    """The share of guesses that are as wanted, and that share if the columns of some classes had each other's names.

    None if no exchange explains the guesses far better. The classes that are exchanged are looked at by themselves, all that
    the best names exchange or one cycle of them: two columns in the wrong order are few of many.
    """
    names = _best_names(guesses, wanted, classes)
    if names is None:
        return None
    moved = names != np.arange(classes)
    believed = moved if _exchanged(guesses, wanted, names, moved) else np.zeros(classes, dtype=bool)
    if not believed.any():
        for cycle in _cycles(names):
            if _exchanged(guesses, wanted, names, cycle):
                believed |= cycle
    if not believed.any():
        return None
    better = np.where(believed, names, np.arange(classes))
    return float((guesses == wanted).mean()), float((guesses == better[wanted]).mean())


def _exchanged(guesses: Int64, wanted: Int64, names: Int64, among: NDArray[np.bool_]) -> bool:
    """Whether these names explain the rows of these classes far better than the classes' own."""
    inside = among[wanted] & among[guesses]
    if not inside.any():
        return False
    right, other = (_Agreement.of(guesses[inside], each[inside]) for each in (wanted, names[wanted]))
    classes, count = len(names), int(among.sum())
    tried = math.lgamma(classes + 1) - math.lgamma(classes - count + 1) + math.log(classes)
    return _explains(other, right, tried)


def _cycles(names: Int64) -> Iterator[NDArray[np.bool_]]:
    """The sets of classes that exchange their columns among themselves."""
    seen = names == np.arange(len(names))
    for start in range(len(names)):
        if seen[start]:
            continue
        cycle, at = np.zeros(len(names), dtype=bool), start
        while not cycle[at]:
            cycle[at], at = True, int(names[at])
        seen |= cycle
        yield cycle


def _fingerprints(arrays: list[AnyLogits | None]) -> list[int]:
    """A number of 64 bits for each row, equal for equal rows and for others with probability about 2⁻⁶⁴."""
    given = [each for each in arrays if each is not None]
    sums = np.zeros(len(given[0]), dtype=np.uint64)
    rng = np.random.default_rng(0)
    for array in given:
        factors = rng.integers(2**63, size=array.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        for part in row_blocks(*array.shape):
            bits = np.ascontiguousarray(array[part] + 0.0).view(np.uint64)  # one zero
            mixed = (bits ^ (bits >> np.uint64(32))) * factors
            sums[part] += (mixed ^ (mixed >> np.uint64(29))).sum(axis=1, dtype=np.uint64)
    found: list[int] = sums.tolist()
    return found


def _share(value: float) -> str:
    return f"{number(100 * value, 3)} %"


def _shifted(numbers: Mapping[str, float]) -> str:
    less = numbers["shift"] < 0
    return (
        f"The teacher predicts the label {'less' if less else 'plus'} 1 on {_share(numbers['at_shifted'])} of the rows, and "
        f"the label on {_share(numbers['at_label'])}: are the labels shifted by one? Classes are numbered from 0"
        + ("; labels 1 to K need class_names=range(1, K + 1)." if less else ".")
    )


def _late_words(numbers: Mapping[str, float]) -> str:
    return (
        f"The teacher predicts the label of the {'next' if numbers['step'] > 0 else 'previous'} row on "
        f"{_share(numbers['at_shifted'])} of the rows, and that of the row itself on {_share(numbers['at_label'])}: are labels "
        "and logits one row apart? A language model's logits at position t predict token t + 1."
    )


def _permuted(numbers: Mapping[str, float]) -> str:
    first, both = "teacher" if numbers["teacher"] else "student", numbers["teacher"] and numbers["student"]
    shares = f"on {_share(numbers['at_label'])} of the rows, and would {{}}on {_share(numbers['at_permuted'])}"
    if not (numbers["teacher"] or numbers["student"]):
        said = (
            f"Student and teacher agree {shares.format('')} if the columns of one of them were in another order: do both "
            "number the classes alike?"
        )
    elif both:
        said = (
            f"The teacher is right {shares.format('be ')} if its columns were in another order; the student's, too, would fit "
            "the labels better in another order: do labels and columns number the classes alike?"
        )
    else:
        said = (
            f"The {first} is right {shares.format('be ')} if its columns were in another order: do its columns number the "
            "classes as the labels do?"
        )
    said += " Column k of both networks and label k have to be one class."
    return said + (" If the columns are right, is row i of both networks the same input?" if numbers["order"] else "")


def _guesses(numbers: Mapping[str, float]) -> str:
    return (
        f"The teacher is right on {_share(numbers['accuracy'])} of the rows, no more often than by chance "
        f"({_share(numbers['chance'])}): are the labels shifted, permuted, or in the order of another file?"
    )


def _order(numbers: Mapping[str, float]) -> str:
    return (
        f"Student and teacher agree on {_share(numbers['agreement'])} of the rows, no more often than by chance "
        f"({_share(numbers['chance'])}), though they predict each class about equally often: is row i of both the same input? "
        "If not, bring the rows of both into one order. If it is, do both number the classes alike?"
    )


def _repeated(numbers: Mapping[str, float]) -> str:
    return (
        f"{numbers['repeats']:,.0f} of {numbers['rows']:,.0f} rows repeat another one in every number. Repeated inputs are not "
        "independent samples, and intervals for the population are then too narrow: leave them out."
    )


def _same(numbers: Mapping[str, float]) -> str:
    return (
        f"Student and teacher have the same logits in all {numbers['rows']:,.0f} rows, rounding and a number added to a row "
        "aside: is one network in both places?"
    )


def _scaled(numbers: Mapping[str, float]) -> str:
    return (
        f"In all {numbers['rows']:,.0f} rows the student's logits are {number(numbers['scale'], 4)} times its teacher's: is "
        "one network in both places, or is one of them divided by a temperature?"
    )


def _student_guesses(numbers: Mapping[str, float]) -> str:
    return (
        f"The student is right on {_share(numbers['accuracy'])} of the rows, no more often than by chance "
        f"({_share(numbers['chance'])}): are its trained weights loaded, and are its inputs prepared as in training?"
    )


def _constant(numbers: Mapping[str, float]) -> str:
    return (
        f"The {_who(numbers)} has the same logits in all {numbers['rows']:,.0f} rows: does its output depend on its input, and "
        "are its weights loaded?"
    )


def _probable(numbers: Mapping[str, float]) -> str:
    found = (
        "are all between 0 and 1, as the outputs of a sigmoid are"
        if numbers["one_each"]
        else "are as close together in each row as probabilities are"
    )
    return (
        f"The {_who(numbers)}'s logits {found}: are they probabilities, or was a softmax taken twice? Logits are what "
        "enters the softmax; its output is passed as probabilities."
    )


def _who(numbers: Mapping[str, float]) -> str:
    return "student" if numbers["student"] else "teacher"


def _floored(numbers: Mapping[str, float]) -> str:
    added = numbers["nats"] * numbers["hits"] / max(1.0, numbers["rows"])
    return (
        f"The {_who(numbers)} gives the true class of {numbers['hits']:,.0f} of {numbers['rows']:,.0f} rows the least "
        f"probability that there is, which counts {number(numbers['nats'], 3)} nats each by the floor that was chosen: "
        f"{number(added, 3)} of its mean cross-entropy of {number(numbers['mean'], 3)} nats. Another floor gives another "
        "cross-entropy; the errors "
        "stay the same."
    )


# What each finding is computed from, and its words.
KINDS: Mapping[str, tuple[tuple[str, ...], Callable[[Mapping[str, float]], str]]] = {
    "shifted labels": (("shift", "at_label", "at_shifted"), _shifted),
    "permuted classes": (("at_label", "at_permuted", "teacher", "student", "order"), _permuted),
    "teacher guesses": (("accuracy", "chance"), _guesses),
    "other order": (("agreement", "chance", "apart"), _order),
    "repeated rows": (("repeats", "rows"), _repeated),
    "same network": (("rows",), _same),
    "labels of other rows": (("step", "at_label", "at_shifted"), _late_words),
    "scaled logits": (("rows", "scale"), _scaled),
    "student guesses": (("accuracy", "chance"), _student_guesses),
    "constant logits": (("student", "rows"), _constant),
    "like probabilities": (("student", "one_each", "rows"), _probable),
    "floored losses": (("student", "hits", "rows", "nats", "mean"), _floored),
}

# With one of these no number about the labels, or about both networks, is to be believed before the question is answered.
DOUBTS = frozenset({"shifted labels", "labels of other rows", "permuted classes", "teacher guesses", "other order"})
