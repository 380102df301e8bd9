"""The form of a row before it meets a pair: what it says, what it needs, how it is computed."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, get_args

import numpy as np

from kd2m_theory.assumptions import INPUTS, hypothesis, sentence
from kd2m_theory.bounds.known import SINGLE, WORDS, Known, Of, Quantity
from kd2m_theory.bounds.result import Assumption, State
from kd2m_theory.bounds.settings import VOUCHABLE, WHOLE_CLOUD, Settings
from kd2m_theory.bounds.stream import StreamedPair
from kd2m_theory.bounds.targets import SUBJECTS, Target
from kd2m_theory.bounds.view import Space, View
from kd2m_theory.bounds.work import Working, one_pass
from kd2m_theory.checks import one_of
from kd2m_theory.errors import InputError
from kd2m_theory.estimators import Enclosure
from kd2m_theory.estimators.ground import EPS
from kd2m_theory.pair import Pair


@dataclass(frozen=True, slots=True)
class Sides:
    """The numbers of a row: lower ≤ target ≤ upper, and what they were made of."""

    lower: float
    upper: float
    distances: Mapping[str, Enclosure] = field(default_factory=dict)
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Situation:
    """What an assumption is checked on: the pair, the settings, and the row's view (None when the pair has no such view)."""

    pair: Pair | StreamedPair
    settings: Settings
    view: View | None


Found = tuple[State, str]  # how an assumption stands, and the evidence


@dataclass(frozen=True, slots=True)
class Requirement:
    """A hypothesis of a row, or an input that it computes with, and its check.

    Attributes:
        name: its key in `kd2m_theory.assumptions`.
        find: how it stands in a situation: its state ("met", "vouched" or "unmet") and the evidence; None where the row does
            not need it in that situation.
        blocking: whether there is no number without it.
        of_values: whether how it stands may depend on the values of the samples, and not only on what a pair has and what an
            audit is told. What is spent of δ must not depend on it.

    Raises:
        InputError: no assumption has that key.
    """

    name: str
    find: Callable[[Situation], Found | None]
    blocking: bool = True
    of_values: bool = False

    def __post_init__(self) -> None:
        sentence(self.name)

    def check(self, situation: Situation) -> Assumption | None:
        """The assumption as it stands in a situation; None where it is not needed."""
        found = self.find(situation)
        return None if found is None else Assumption(self.name, *found)


@dataclass(frozen=True, slots=True)
class Row:
    """One inequality lower ≤ target ≤ upper.

    Every hypothesis of the forms that it rests on is one of its `needs` or `structural`, and nothing else is.

    Attributes:
        name: row name, theorem first.
        sentence: what it means, in one sentence for people who do not read formulas.
        statement: the inequality in a line of plain text.
        latex: the inequality.
        source: theorem and paper.
        target: what it bounds.
        space: the view it is computed in.
        inputs: what it is computed from; no hypothesis.
        needs: its hypotheses that are checked on the data or vouched for.
        structural: its hypotheses that are true whatever the pair is, by key, and why.
        compute: the numbers, once every blocking input and hypothesis is met.
        limits: for a row about the population, the limits that it reads, by name: each is a statement on one side that may be
            wrong by chance, with probability at most its share of δ. A limit that several rows read is paid for once. Empty
            for a deterministic row.
        forms: forms of the catalogue that it rests on; the one of its own name (without "logits") if empty.
        never_beats: a row that needs nothing more and whose upper bound is never larger, on any pair; None if there is none.
        told: the argument of an audit that it uses and has no number without; None if it uses none. A row about the population
            reads one more limit where that is an evaluation of the teacher.
        streams: whether it is computed from `View.per_sample` and labels alone, and so has a number for a `PairStream`.
        work: what `compute` takes, counted from sizes alone (see `bounds.work`); one pass over the logits if nothing is said.
            It decides when the row runs and what an estimate says of it, and no number.

    Raises:
        InputError: a field of another type than it says, an unknown target or space; a key that no hypothesis has; an input
            among the hypotheses, or the reverse.
        ValueError: a hypothesis that is both checked and structural.
    """

    name: str
    sentence: str
    statement: str
    latex: str
    source: str
    target: Target
    space: Space
    inputs: tuple[Requirement, ...]
    needs: tuple[Requirement, ...]
    structural: Mapping[str, str]
    compute: Callable[[View], Sides]
    limits: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()
    never_beats: str | None = None
    told: Quantity | None = None
    streams: bool = False
    work: Working = one_pass

    def __post_init__(self) -> None:
        _check_form(self)
        keys = [need.name for need in self.needs]
        for key in (*keys, *self.structural):
            hypothesis(key)
        for requirement in self.inputs:
            if requirement.name not in INPUTS:
                raise InputError(f"{requirement.name!r} is a hypothesis, not an input of row {self.name}; list it in needs")
        twice = {*keys} & {*self.structural}
        if twice or len({*keys}) < len(keys):
            raise ValueError(f"row {self.name} names a hypothesis twice: {', '.join(sorted(twice or keys))}")

    @property
    def rests_on(self) -> tuple[str, ...]:
        """Names of the forms of the catalogue whose hypotheses are the row's."""
        return self.forms or (self.name.replace(".logits", ""),)

    @property
    def vouched_for(self) -> bool:
        """Whether it has a number only if the user vouches for something, or says what is known of the teacher."""
        return self.told is not None or any(need.name in VOUCHABLE for need in self.needs)

    def reads(self, evaluated: Collection[str]) -> tuple[str, ...]:
        """Names of the limits that it reads if these quantities of the teacher come from evaluations of it."""
        if self.told is None or self.told not in evaluated or not self.limits:
            return self.limits
        return (*self.limits, f"{WORDS[self.told]} of the teacher's evaluation, upper")

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """All that is looked at on a pair: inputs, then hypotheses."""
        return (*self.inputs, *self.needs)


def _check_form(row: Row) -> None:
    """Refuse fields that are not of their type; a row may come from a user."""
    words = {key: getattr(row, key) for key in ("name", "sentence", "statement", "source")}
    for key, value in words.items():
        if not isinstance(value, str) or not value.strip() or "\n" in value:
            raise InputError(f"{key} of a row is {value!r}; give it in one line of text")
    one_of(row.target, tuple(SUBJECTS), f"target of row {row.name}")
    one_of(row.space, get_args(Space), f"space of row {row.name}")
    for key, kind in (("inputs", Requirement), ("needs", Requirement), ("limits", str), ("forms", str)):
        parts = getattr(row, key)
        if not isinstance(parts, tuple) or not all(isinstance(part, kind) for part in parts):
            raise InputError(f"{key} of row {row.name} is {parts!r}; give a tuple of {kind.__name__}")
    if not isinstance(row.structural, Mapping):
        raise InputError(f"structural of row {row.name} is {row.structural!r}; give reasons by hypothesis, or {{}}")
    if not callable(row.compute):
        raise InputError(f"compute of row {row.name} is {row.compute!r}; give a function of the view that returns Sides")
    if not callable(row.work):
        raise InputError(f"work of row {row.name} is {row.work!r}; give a function of the sizes that returns its parts")


def two_limits(name: str) -> tuple[str, str]:
    """Names of the limits of an interval, which has two."""
    return f"{name}, lower", f"{name}, upper"


def both_sides(
    value: float, distances: Mapping[str, Enclosure] | None = None, details: Mapping[str, float] | None = None
) -> Sides:
    """|target| ≤ value."""
    return Sides(0.0 - value, value, distances or {}, details or {})


def worded(template: str, space: Space) -> str:
    """A sentence about features under the teacher's head, or about logits of own heads.

    Args:
        template: with the words that differ in braces: {points}, {heads}, and {prefix} or {infix} in names of rows.
        space: the view.

    Example:
        >>> worded("Mean distance of the {points}.", "logits")
        'Mean distance of the logits.'
    """
    if space == "logits":
        return template.format(points="logits", heads="each network with its own head", prefix="logits.", infix=".logits")
    return template.format(points="features", heads="both under the teacher's head", prefix="", infix="")


class Common(NamedTuple):
    """What rows of one space share.

    Attributes:
        target: the gap of cross-entropy that they bound.
        inputs: what they are computed from.
        needs: hypotheses on the heads.
        structural: hypotheses on the heads that hold by construction.
    """

    target: Target
    inputs: tuple[Requirement, ...]
    needs: tuple[Requirement, ...]
    structural: Mapping[str, str]


def common(space: Space) -> Common:
    """The gap through one shared head and that hypothesis, or the gap of own heads, for which points are logits."""
    if space == "features":
        return Common("gap_shared_head", (), (SHARED_HEAD,), {})
    return Common("gap", (LOGITS,), (), OWN_HEADS)


def _clause(key: str) -> str:
    words = sentence(key).removesuffix(".")
    return words[0].lower() + words[1:]


def _same_inputs(situation: Situation) -> Found:
    if situation.pair.inputs_paired:
        return "vouched", "row i of both networks is the same input, says inputs_paired=True"
    return "unmet", "the pair says inputs_paired=False; run both networks over the same inputs"


def _labels(situation: Situation) -> Found:
    if situation.pair.labels is not None:
        return "met", f"{situation.pair.n} labels"
    return "unmet", "the pair is unlabelled; pass labels"


def _view(situation: Situation) -> Found:
    pair, view = situation.pair, situation.view
    if view is not None and view.space == "logits":
        return "met", f"{view.classes} classes"
    if view is not None and view.weight is not None:
        bounds = "" if view.exact_lipschitz else "; at this size its Lipschitz constants are replaced by upper bounds on them"
        return "met", f"linear, of shape {view.classes}×{view.weight.shape[1]}{bounds}"
    if view is not None:
        constant = situation.settings.head_lipschitz
        return "vouched", f"both networks use one head of Lipschitz constant {constant:g}, says the user"
    if pair.features_teacher is None or pair.features_student is None:
        return "unmet", "the pair has logits only; pass features and head_weight"
    if pair.head_weight is None:
        return (
            "unmet",
            "the pair has no head; pass head_weight and head_bias, or head_lipschitz if both networks share a nonlinear one",
        )
    return (
        "unmet",
        f"student features have dimension {pair.features_student.shape[1]}, the head takes {pair.head_weight.shape[1]}; "
        "fit a map between them on another split (align)",
    )


def _linear(situation: Situation) -> Found:
    view = situation.view
    if view is None:
        return "unmet", "there is no head that fits the features of both networks"
    if view.space == "features" and view.weight is None:
        return "unmet", "the head is not linear"
    return "met", "logits are Wz + b"


def _no_groups(situation: Situation) -> Found | None:
    if situation.pair.groups is None:
        return None
    return "unmet", "samples of one group are not independent, and this row has no form for means of groups"


def _class_shares(situation: Situation) -> Found:
    pair, view = situation.pair, situation.view
    if pair.inputs_paired and pair.labels is not None:
        return "met", "the same labels on both sides"
    if view is None or view.labels_student is None or view.labels_teacher is None:
        return "unmet", "unknown without labels of both sides"
    if view.same_shares:
        return "met", "class frequencies agree exactly"
    return "unmet", "class frequencies differ between the sides; sample the classes alike"


def _whole_cloud(situation: Situation) -> Found:
    n, wish = situation.pair.n, situation.settings.whole_cloud
    if wish or (wish is None and n <= WHOLE_CLOUD):
        return "met", f"one transport problem of {n:,} samples"
    why = (
        "whole_cloud=False"
        if wish is False
        else f"{n:,} samples are more than {WHOLE_CLOUD:,}; ask for it with whole_cloud=True"
    )
    return "unmet", f"one transport problem on the whole cloud: {why}"


def _range_fixed(situation: Situation) -> Found:
    bound = situation.settings.loss_bound
    if bound is None:
        return "met", "losses are clipped at 2 ln K, which depends on the number of classes alone"
    return "vouched", f"losses are clipped at loss_bound={bound:g}, chosen before the sample was seen, says the user"


def _stated(quantity: Quantity, about: Of) -> Requirement:
    """What was said of the teacher, on these inputs or in the population."""
    words, call = f"the teacher's {WORDS[quantity]}", f"{quantity}=…"

    def find(situation: Situation) -> Found:
        value = getattr(situation.settings, quantity)
        if value is None:
            if about == "sample":
                return "unmet", f"nobody says what {words} on these inputs is; pass a number that it is at most ({call})"
            return "unmet", f"nobody says what {words} in the population is; pass a labelled evaluation of the teacher ({call})"
        if not isinstance(value, Known):
            if about == "sample":
                return "unmet", f"an evaluation on other inputs says nothing about these: {words} here may be another"
            return "met", f"{words} is at most what its evaluation on {value.n:,} labelled inputs says, at its share of δ"
        if value.about != about:
            here, there = ("on these inputs", "the population") if about == "sample" else ("in the population", "these inputs")
            return "unmet", f"what {words} is {here} does not follow from what was said of {there} ({quantity}={value})"
        if about == "population" and quantity == "teacher_error" and value.classes is not None:
            return "unmet", f"of the population one number is used for {words}, not one for each class ({quantity}={value})"
        view = situation.view
        if about == "sample" and view is not None and view.labels_teacher is not None:
            return _compared(value, quantity, view)
        where = "on these inputs" if about == "sample" else "in the population"
        return "vouched", f"{words} {where} is as stated ({quantity}={value}), says the user"

    return Requirement(_TEACHER[quantity], find, of_values=about == "sample")


# A share of inputs may have been computed as one less another.
ERROR_SLACK = 4 * EPS
_TEACHER: Mapping[Quantity, str] = {"teacher_risk": "teacher risk known", "teacher_error": "teacher error known"}


def _compared(known: Known, quantity: Quantity, view: View) -> Found:
    """What was stated beside what the labels say, up to the rounding of both."""
    assert view.labels_teacher is not None
    losses = view.losses()[1] if quantity == "teacher_risk" else view.wrong()[1].astype(np.float64)
    room = SINGLE if quantity == "teacher_risk" else 0.0
    for rows, interval in known.cells(view.predicted()[1], room):
        if interval is not None:
            found = math.fsum(losses[rows]) / len(rows)
            slack = view.risk_error(found) if quantity == "teacher_risk" else ERROR_SLACK
            if not interval[0] - slack <= found <= interval[1] + slack:
                where = "on these inputs" if known.classes is None else "where it predicts one of the classes named"
                words = f"the labels say that the teacher's {WORDS[quantity]} {where} is {found:.8g}"
                return "unmet", f"{words}, and it was stated to be {interval[1]:.8g} at most and {interval[0]:.8g} at least"
    return "met", f"the labels agree with what was stated ({quantity}={known})"


def _by_design(key: str) -> Requirement:
    """A hypothesis on how sample and networks came about, which whoever reads a row about the population makes."""

    def find(situation: Situation) -> Found:
        if key == "independent samples" and situation.pair.groups is not None:
            return "vouched", "the data cannot show that the groups are independent draws; samples of one group need not be"
        aligned = key == "networks fixed before the sample" and "aligned" in situation.pair.provenance
        more = "; the affine map was fitted on other samples, by their values (align)" if aligned else ""
        return "vouched", f"the data cannot show that {_clause(key)}{more}"

    return Requirement(key, find)


def vouched(key: str) -> Requirement:
    """A hypothesis that only the user can make, one of `settings.VOUCHABLE`; without it there is no number."""

    def find(situation: Situation) -> Found | None:
        if key in situation.settings.vouched:
            return "vouched", f"{_clause(key)}, says the user"
        return "unmet", f"nobody vouches for it: {_clause(key)} (vouch={key!r})"

    return Requirement(key, find)


FEATURES = Requirement("features", _view)
LOGITS = Requirement("logits", _view)
LABELS = Requirement("labels", _labels)
LINEAR = Requirement("linear head", _linear)
WHOLE_CLOUD_ASKED = Requirement("whole cloud", _whole_cloud)

NO_GROUPS = Requirement("no groups", _no_groups)

SHARED_HEAD = Requirement("shared head", _view)
SAME_INPUTS = Requirement("same inputs", _same_inputs)
CLASS_SHARES = Requirement("same class shares", _class_shares, of_values=True)
RANGE_FIXED = Requirement("range fixed before the sample", _range_fixed)


def _random_order(situation: Situation) -> Found | None:
    """Not needed where the interval is a symmetric function of the samples."""
    if situation.view is not None and not situation.view.like_chance:
        return None
    words = "samples are taken in the order of SHA-256 of their content; exact if that acts as a random function on them"
    return "met", words


TEACHER_RISK, TEACHER_ERROR = _stated("teacher_risk", "sample"), _stated("teacher_error", "sample")
POPULATION_TEACHER_RISK = _stated("teacher_risk", "population")
POPULATION_TEACHER_ERROR = _stated("teacher_error", "population")
RANDOM_ORDER = Requirement("random order", _random_order)
# What every interval about the population relies on, of a row or of a measured value: how sample and networks came about.
BY_DESIGN = ("independent samples", "same population", "networks fixed before the sample", "sample size fixed before")
SAMPLED = tuple(_by_design(key) for key in BY_DESIGN)

OWN_HEADS = {"shared head": "points are logits, and the head of both is the identity"}
CROSS_ENTROPY = "the loss is cross-entropy"
CLIPPED = {"bounded loss": "cross-entropy is clipped at B, and its change lies in [−B, B]"}
ERRORS = {"0–1 loss": "the row bounds an error rate"}
COUNTED = {"0–1 values": "what is counted occurs or does not"}
SHARES = {
    "bounded loss": "what is counted is 0 or 1, and its share of a group lies between",
    "range fixed before the sample": "the range of a share is [0, 1]",
}
