"""Hypotheses that several theorems share, each with the instance that breaks a form without it.

Where a theorem has forms on instances of several kinds, `on` is the kind that the hypothesis is about and `of` names the forms;
`more` is what the theorem adds to the common words.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from kd2m_theory.theory.examples import norm_not_raised, own_head, permuted_labels, shares_differ, steep_loss, width_left_out
from kd2m_theory.theory.instance import cross_entropy
from kd2m_theory.theory.kernel_instance import TOLERANCE, KernelInstance
from kd2m_theory.theory.statement import Counterexample, Hypothesis

Kind = TypeVar("Kind")
Make = Callable[[], Any]


def only_on(kind: type[Kind], check: Callable[[Kind], bool]) -> Callable[[Any], bool]:
    """The check where an instance is of that kind; forms on others do not need it."""
    return lambda x: not isinstance(x, kind) or check(x)


def shared_linear_head(form: str, *, of: str = "", more: str = "", on: type[Any] = object, make: Make = own_head) -> Hypothesis:
    """One linear head for both networks."""
    return Hypothesis(
        "shared linear head",
        f"{of}both networks' logits are Wz + b with one W and b{more}",
        only_on(on, lambda x: x.shared_head),
        Counterexample("equal features, and the student's own head is wrong", form, make),
    )


def same_class_shares(form: str, *, more: str = "", on: type[Any] = object, make: Make = shares_differ) -> Hypothesis:
    """One set of class frequencies."""
    return Hypothesis(
        "same class shares",
        f"both samples have the same class frequencies π_y{more}",
        only_on(on, lambda x: x.same_shares),
        Counterexample("equal class-conditionals, but the student has more of the hard class", form, make),
    )


def same_inputs(form: str, *, more: str = "", on: type[Any] = object, make: Make = permuted_labels) -> Hypothesis:
    """Rows that belong together."""
    return Hypothesis(
        "same inputs",
        f"row i of both networks is the same input, so it has the same label; the proof uses only the latter{more}",
        only_on(on, lambda x: x.same_labels),
        Counterexample("the teacher's rows in another order: equal features, other labels", form, make),
    )


def lipschitz_loss(form: str, *, of: str = "", on: type[Any] = object, make: Make = steep_loss) -> Hypothesis:
    """A loss that is 1-Lipschitz in the vertex norm."""
    return Hypothesis(
        "1-Lipschitz loss",
        f"{of}the loss changes by at most ν_y of the change of logits, as cross-entropy does",
        only_on(on, lambda x: x.loss is cross_entropy),
        too_steep(form, make),
    )


def too_steep(form: str, make: Make = steep_loss) -> Counterexample:
    """Any hypothesis that holds cross-entropy to its slope fails so."""
    return Counterexample("cross-entropy at temperature ½ is twice as steep", form, make)


def norm_of_loss(form: str, of: str, more: str = "") -> Hypothesis:
    """B is what the theorem says it is."""
    return Hypothesis(
        "norm of the loss",
        f"{of}the loss is in the RKHS and B is at least its norm{more}",
        only_on(KernelInstance, lambda x: bool(x.norm >= x.exact_norm * (1 - TOLERANCE))),
        Counterexample("ten times the witness's loss, and B not raised", form, norm_not_raised),
    )


def lipschitz_features(form: str, of: str, more: str = "") -> Hypothesis:
    """The factor between distances in the RKHS and distances of features."""
    return Hypothesis(
        "Lipschitz constant of the feature map",
        f"{of}the constant of φ is in the bound, 1/σ for the RBF kernel{more}",
        only_on(KernelInstance, lambda x: x.lipschitz >= (1 - TOLERANCE) / x.sigma),
        Counterexample("a width of 0.1 and the constant left out", form, width_left_out),
    )
