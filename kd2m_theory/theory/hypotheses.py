"""Hypotheses that several theorems share, each with the instance that breaks a form without it.

`forms` names the forms that need the hypothesis, and `detail` is what the theorem adds to the common sentence. Where these
forms have instances of several kinds, `on` is the kind that can fail to meet it.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from kd2m_theory.theory.examples import norm_not_raised, own_head, permuted_labels, shares_differ, steep_loss, width_left_out
from kd2m_theory.theory.instance import cross_entropy
from kd2m_theory.theory.kernel_instance import TOLERANCE
from kd2m_theory.theory.statement import Counterexample, Hypothesis

Kind = TypeVar("Kind")
Make = Callable[[], Any]
_LINEAR = "Here it is linear: logits are Wz + b with one W and b."


def only_on(kind: type[Kind], check: Callable[[Kind], bool]) -> Callable[[Any], bool]:
    """The check where an instance is of that kind; on others the hypothesis holds by their construction."""
    return lambda x: not isinstance(x, kind) or check(x)


def shared_linear_head(
    form: str, *, forms: tuple[str, ...] = (), detail: str = _LINEAR, on: type[Any] = object, make: Make = own_head
) -> Hypothesis:
    """One head for both networks, which is linear in the catalogue."""
    return Hypothesis(
        name="shared head",
        check=only_on(on, lambda x: x.shared_head),
        counterexample=Counterexample(words="equal features, and the student's own head is wrong", form=form, make=make),
        forms=forms,
        detail=detail,
    )


def same_class_shares(
    form: str, *, forms: tuple[str, ...] = (), detail: str = "", on: type[Any] = object, make: Make = shares_differ
) -> Hypothesis:
    """One set of class frequencies."""
    return Hypothesis(
        name="same class shares",
        check=only_on(on, lambda x: x.same_shares),
        counterexample=Counterexample(
            words="equal class-conditionals, but the student has more of the hard class", form=form, make=make
        ),
        forms=forms,
        detail=detail,
    )


def same_inputs(
    form: str, *, forms: tuple[str, ...] = (), detail: str = "", on: type[Any] = object, make: Make = permuted_labels
) -> Hypothesis:
    """Rows that belong together."""
    return Hypothesis(
        name="same inputs",
        check=only_on(on, lambda x: x.same_labels),
        counterexample=Counterexample(
            words="the teacher's rows in another order: equal features, other labels", form=form, make=make
        ),
        forms=forms,
        detail=f"The proof uses the label only. {detail}".rstrip(),
    )


def lipschitz_loss(form: str, *, forms: tuple[str, ...] = (), on: type[Any] = object, make: Make = steep_loss) -> Hypothesis:
    """A loss that is 1-Lipschitz in the vertex norm."""
    return Hypothesis(
        name="1-Lipschitz loss",
        check=only_on(on, lambda x: x.loss is cross_entropy),
        counterexample=too_steep(form, make),
        forms=forms,
    )


def too_steep(form: str, make: Make = steep_loss) -> Counterexample:
    """Any hypothesis that holds cross-entropy to its slope fails so."""
    return Counterexample(words="cross-entropy at temperature ½ is twice as steep", form=form, make=make)


def norm_of_loss(form: str, *, forms: tuple[str, ...], detail: str = "") -> Hypothesis:
    """B is what the theorem says it is."""
    return Hypothesis(
        name="norm of the loss",
        check=lambda x: bool(x.norm >= x.exact_norm * (1 - TOLERANCE)),
        counterexample=Counterexample(words="ten times the witness's loss, and B not raised", form=form, make=norm_not_raised),
        forms=forms,
        detail=detail,
    )


def lipschitz_features(form: str, *, detail: str = "") -> Hypothesis:
    """The factor between distances in the RKHS and distances of features, in one form."""
    return Hypothesis(
        name="Lipschitz constant of the feature map",
        check=lambda x: x.lipschitz >= (1 - TOLERANCE) / x.sigma,
        counterexample=Counterexample(words="a width of 0.1 and the constant left out", form=form, make=width_left_out),
        forms=(form,),
        detail=detail,
    )
