"""What a theorem is: a statement with forms that can be computed, hypotheses that can be dropped, and mutants that must die."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from kd2m_theory.assumptions import About, hypothesis
from kd2m_theory.errors import InputError


@dataclass(frozen=True, slots=True)
class Sides:
    """One evaluation of an inequality lower ≤ gap ≤ upper. Scalars; a probability of failure and δ for the F theorems.

    Attributes:
        gap: what is bounded.
        upper: upper bound on it.
        lower: lower bound on it; −upper if None.
    """

    gap: Tensor
    upper: Tensor
    lower: Tensor | None = None

    @property
    def ratio(self) -> Tensor:
        """How much of the bound is used up, on the side where it is most: above 1 the inequality is violated.

        For a gap above zero the larger of gap / upper and lower / gap, mirrored below zero; 0 where the gap is zero and
        lies within; inf where a bound has the wrong sign.
        """
        gap, upper = self.gap, self.upper
        lower = -upper if self.lower is None else self.lower
        if gap < 0:
            gap, upper, lower = -gap, -lower, -upper
        infinite = gap * 0 + torch.inf
        if upper < gap <= 0 or (gap > 0 >= upper) or (gap == 0 < lower):
            return infinite
        if gap == 0:
            return gap * 0
        return torch.maximum(gap / upper, lower / gap)


Formula = Callable[[Any], Sides]


@dataclass(frozen=True, slots=True)
class Witness:
    """An instance on which a form is (nearly) attained.

    Attributes:
        words: why it is.
        make: the instance.
        reaches: ratio that it reaches at least.
        reason: where that is less than 0.99: why no instance is known to do better.
    """

    words: str
    make: Callable[[], Any]
    reaches: float = 0.99
    reason: str = ""

    def __post_init__(self) -> None:
        if self.reaches < 0.99 and not self.reason:
            raise ValueError(f"a witness of only {self.reaches} needs a reason")


@dataclass(frozen=True, slots=True)
class Counterexample:
    """An instance without one hypothesis, on which the inequality fails.

    Attributes:
        words: what goes wrong.
        form: name of the form that fails.
        make: the instance.
    """

    words: str
    form: str
    make: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """Something that a theorem needs.

    Attributes:
        name: its key in `kd2m_theory.assumptions`, which has the sentence; rows of an audit use the same keys.
        check: whether an instance of a form that needs it meets it; None where only the user can vouch for it.
        counterexample: what happens without it.
        forms: names of the forms that need it; all forms of the theorem if empty.
        detail: what the theorem adds to the common sentence, as a sentence of its own.

    Raises:
        InputError: no hypothesis has that key.
    """

    name: str
    check: Callable[[Any], bool] | None
    counterexample: Counterexample
    forms: tuple[str, ...] = ()
    detail: str = ""

    def __post_init__(self) -> None:
        hypothesis(self.name)

    @property
    def statement(self) -> str:
        """What it says: the common sentence, and what the theorem adds."""
        return f"{hypothesis(self.name)} {self.detail}".rstrip()

    @property
    def kind(self) -> Literal["checked", "vouched for by the user"]:
        """Who says that it is met."""
        return "vouched for by the user" if self.check is None else "checked"


@dataclass(frozen=True, slots=True)
class Form:
    """One inequality of a theorem, from its definition.

    Attributes:
        name: name of the row of an audit that computes it, where there is one.
        constant: its constant in words.
        sides: both sides on an instance, differentiable in torch where the mathematics is.
        witness: where it is sharp.
        start: a random instance for the falsifier from a seeded generator; None where chance is in the statement itself.
        free: attributes of an instance that the falsifier moves.
        latex: the inequality, of a form that no row of an audit computes; else empty, for the row has it.
        about: what the inequality is about where it is not true of every sample: "labels" (the mean over labels drawn given the
            inputs) or "population". Forms that hold with probability 1 − δ are about the population, all of them.
    """

    name: str
    constant: str
    sides: Formula
    witness: Witness
    start: Callable[[torch.Generator], Any] | None = None
    free: tuple[str, ...] = ()
    latex: str = ""
    about: About = "sample"

    @property
    def row(self) -> bool:
        """Whether an audit has a row of this name."""
        return not self.latex


@dataclass(frozen=True, slots=True)
class Mutant:
    """A form made wrong on purpose.

    Attributes:
        name: what was done to it.
        form: name of the form.
        sides: the wrong sides.
        killer: an instance on which the wrong sides are violated, where no witness shows it.
    """

    name: str
    form: str
    sides: Formula
    killer: Callable[[], Any] | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a proof.

    Attributes:
        words: what is done, and why it is allowed.
        latex: the formula that it arrives at; empty where the words are enough.
    """

    words: str
    latex: str = ""


@dataclass(frozen=True, slots=True)
class Theorem:
    """A statement of the catalogue.

    Attributes:
        name: "T2".
        title: a few words.
        plain: the statement as a sentence.
        latex: the statement.
        hypotheses: all that it needs, each with what happens without it.
        direction: which sides it bounds.
        source: where it comes from; theorem numbers where they could be checked.
        proof: the idea of the proof, in a sentence or two; of a false statement, where the usual proof fails.
        forms: the inequalities, tightest first.
        mutants: wrong versions beyond the ones that every theorem gets (constant × 0.9, each hypothesis dropped).
        verdict: "proved", or "false as stated": then the hypotheses are what the statement would need.
        level: "deterministic", or "with probability 1 − δ".
        steps: the proof as mathematics, in order; may be empty where the idea is all of it.
        scale_mutants: whether constant × 0.9 must die on every form; not where the probability of failure stays far below δ.
    """

    name: str
    title: str
    plain: str
    latex: str
    hypotheses: tuple[Hypothesis, ...]
    direction: Literal["two-sided", "upper", "lower"]
    source: str
    proof: str
    forms: tuple[Form, ...]
    mutants: tuple[Mutant, ...] = field(default=())
    verdict: Literal["proved", "false as stated"] = "proved"
    level: Literal["deterministic", "with probability 1 − δ"] = "deterministic"
    steps: tuple[Step, ...] = ()
    scale_mutants: bool = True

    def __post_init__(self) -> None:
        names = [form.name for form in self.forms]
        if len(set(names)) < len(names):
            raise ValueError(f"{self.name} has two forms of one name")
        needed = (name for h in self.hypotheses for name in h.forms)
        for name in (*(m.form for m in self.mutants), *(h.counterexample.form for h in self.hypotheses), *needed):
            if name not in names:
                raise ValueError(f"{self.name} has no form {name}")
        keys = [h.name for h in self.hypotheses]
        if len(set(keys)) < len(keys):
            raise ValueError(f"{self.name} names a hypothesis twice")
        for h in self.hypotheses:
            if h.forms and h.counterexample.form not in h.forms:
                raise ValueError(f"{self.name}: {h.counterexample.form} does not need {h.name!r}, and is its counterexample")

    def form(self, name: str) -> Form:
        """The form of that name.

        Raises:
            InputError: there is none.
        """
        for form in self.forms:
            if form.name == name:
                return form
        raise InputError(f"{self.name} has no form {name!r}; forms are {', '.join(form.name for form in self.forms)}")

    def needed_by(self, form: str) -> tuple[Hypothesis, ...]:
        """The hypotheses of the form of that name."""
        return tuple(h for h in self.hypotheses if not h.forms or form in h.forms)

    def about(self, form: str) -> About:
        """What the form of that name is about.

        Raises:
            InputError: there is no such form.
        """
        return self.form(form).about if self.level == "deterministic" else "population"

    def all_mutants(self) -> tuple[Mutant, ...]:
        """The general mutants of every form, and the theorem's own."""
        if not self.scale_mutants:
            return self.mutants
        return (
            *(Mutant(name="constant × 0.9", form=form.name, sides=scaled(form.sides, 0.9)) for form in self.forms),
            *self.mutants,
        )


def scaled(sides: Formula, factor: float) -> Formula:
    """The formula with both bounds multiplied by a factor."""

    def formula(instance: Any) -> Sides:
        whole = sides(instance)
        return Sides(whole.gap, factor * whole.upper, None if whole.lower is None else factor * whole.lower)

    return formula
