"""The form of a row before it meets a pair: what it says, what it needs, how it is computed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kd2m_theory.bounds.result import Assumption
from kd2m_theory.bounds.settings import VOUCHABLE, WHOLE_CLOUD, Settings
from kd2m_theory.bounds.targets import Target
from kd2m_theory.bounds.view import Space, View
from kd2m_theory.estimators import Enclosure
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
    """What a hypothesis is checked on: the pair, the settings, and the row's view (None when the pair has no such view)."""

    pair: Pair
    settings: Settings
    view: View | None


@dataclass(frozen=True, slots=True)
class Requirement:
    """A hypothesis and its check.

    Attributes:
        check: the hypothesis' state in a situation.
        blocking: whether there is no number without it.
    """

    check: Callable[[Situation], Assumption]
    blocking: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One inequality lower ≤ target ≤ upper.

    Attributes:
        name: row name, theorem first.
        statement: the inequality.
        source: theorem and paper.
        target: what it bounds.
        space: the view it is computed in.
        needs: its hypotheses.
        compute: the numbers, once every blocking hypothesis is met.
        event: for a row that holds with probability 1 − δ, the name of the event that may fail; rows that rest on one event
            spend its share of δ once. None for a deterministic row.
    """

    name: str
    statement: str
    source: str
    target: Target
    space: Space
    needs: tuple[Requirement, ...]
    compute: Callable[[View], Sides]
    event: str | None = None


def both_sides(
    value: float, distances: Mapping[str, Enclosure] | None = None, details: Mapping[str, float] | None = None
) -> Sides:
    """|target| ≤ value."""
    return Sides(0.0 - value, value, distances or {}, details or {})


def _same_inputs(situation: Situation) -> Assumption:
    if situation.pair.inputs_paired:
        return Assumption("same inputs", "vouched", "row i of both networks is the same input, says inputs_paired=True")
    return Assumption("same inputs", "unmet", "the pair says inputs_paired=False; run both networks over the same inputs")


def _labels(situation: Situation) -> Assumption:
    if situation.pair.labels is not None:
        return Assumption("labels", "met", f"{situation.pair.n} labels")
    return Assumption("labels", "unmet", "the pair is unlabelled; pass labels")


def _view(situation: Situation) -> Assumption:
    pair, view = situation.pair, situation.view
    if view is not None and view.space == "logits":
        return Assumption("logits of both", "met", f"{view.classes} classes")
    if view is not None and view.weight is not None:
        return Assumption("shared head", "met", f"linear, of shape {view.classes}×{view.weight.shape[1]}")
    if view is not None:
        constant = situation.settings.head_lipschitz
        return Assumption(
            "shared head", "vouched", f"both networks use one head of Lipschitz constant {constant:g}, says the user"
        )
    if pair.features_teacher is None or pair.features_student is None:
        return Assumption("shared head", "unmet", "the pair has logits only; pass features and head_weight")
    if pair.head_weight is None:
        return Assumption(
            "shared head",
            "unmet",
            "the pair has no head; pass head_weight and head_bias, or head_lipschitz if both networks share a nonlinear one",
        )
    return Assumption(
        "shared head",
        "unmet",
        f"student features have dimension {pair.features_student.shape[1]}, the head takes {pair.head_weight.shape[1]}; "
        "fit a map between them on another split (align)",
    )


def _linear(situation: Situation) -> Assumption:
    view = situation.view
    if view is not None and view.weight is None:
        return Assumption("linear head", "unmet", "the head is not linear")
    return Assumption("linear head", "met", "logits are Wz + b")


def _class_shares(situation: Situation) -> Assumption:
    pair, view = situation.pair, situation.view
    if pair.inputs_paired:
        return Assumption("same class shares", "met", "the same labels on both sides")
    if view is None or view.labels_student is None or view.labels_teacher is None:
        return Assumption("same class shares", "unmet", "unknown without labels of both sides")
    if view.same_shares:
        return Assumption("same class shares", "met", "class frequencies agree exactly")
    return Assumption("same class shares", "unmet", "class frequencies differ between the sides; sample the classes alike")


def _asked_for(situation: Situation) -> Assumption:
    """Not a hypothesis: a price."""
    n, wish = situation.pair.n, situation.settings.whole_cloud
    if wish or (wish is None and n <= WHOLE_CLOUD):
        return Assumption("asked for", "met", f"one transport problem of {n:,} samples")
    why = (
        "whole_cloud=False"
        if wish is False
        else f"{n:,} samples are more than {WHOLE_CLOUD:,}; ask for it with whole_cloud=True"
    )
    return Assumption("asked for", "unmet", f"one transport problem on the whole cloud: {why}")


def _independent(situation: Situation) -> Assumption:
    words = "the samples are independent draws, and neither network nor the settings were chosen on them"
    return Assumption("independent samples", "vouched", words)


def vouched(name: str, *, blocking: bool = False) -> Requirement:
    """An assumption that only the user can make."""

    def check(situation: Situation) -> Assumption:
        if name in situation.settings.vouched:
            return Assumption(name, "vouched", f"{VOUCHABLE[name]}, says the user")
        return Assumption(name, "unmet", f"nobody vouches for it: {VOUCHABLE[name]} (vouch={name!r})")

    return Requirement(check, blocking)


SAME_INPUTS = Requirement(_same_inputs)
LABELS = Requirement(_labels)
VIEW = Requirement(_view)
LINEAR = Requirement(_linear)
CLASS_SHARES = Requirement(_class_shares)
ASKED_FOR = Requirement(_asked_for)
INDEPENDENT = Requirement(_independent)
