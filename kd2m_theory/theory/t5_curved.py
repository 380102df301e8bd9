"""T5.curved: enclosure from both sides by curvature."""

from collections.abc import Callable

import torch
from torch import Tensor

from kd2m_theory.theory.examples import HEAD, SATURATED, far_wrong, tenth_temperature
from kd2m_theory.theory.hypotheses import same_class_shares, shared_linear_head
from kd2m_theory.theory.instance import Instance, cross_entropy, instance
from kd2m_theory.theory.statement import Counterexample, Form, Hypothesis, Mutant, Sides, Step, Theorem, Witness
from kd2m_theory.theory.t5_convex import THEOREM as SLOPES
from kd2m_theory.theory.t5_convex import at_student, at_teacher, change, enclosure

# The largest range at which e^r is used.
_FAR = 10.0


def _curvature(x: Instance, points: Tensor, y: int, moved: Tensor) -> Tensor:
    """⟨Δ, ∇²ℓ_y Δ⟩ at logits of points (k) for their changes (k × l × K): k × l."""
    label = torch.tensor([y])
    gradient = torch.func.grad(lambda logits: x.loss(logits[None], label)[0])
    hessian = torch.func.vmap(torch.func.jacrev(gradient))
    return torch.einsum("klc,kcd,kld->kl", moved, hessian(points @ x.weight.T + x.bias), moved)


def bend_at_teacher(x: Instance, y: int, mine: Tensor, theirs: Tensor) -> Tensor:
    """φ''(0) of every pair of one class."""
    return _curvature(x, x.teacher[theirs], y, change(x, y, mine, theirs).transpose(0, 1)).T


def bend_at_student(x: Instance, y: int, mine: Tensor, theirs: Tensor) -> Tensor:
    """φ''(1) of every pair of one class."""
    return _curvature(x, x.student[mine], y, change(x, y, mine, theirs))


def growth(reach: Tensor) -> Tensor:
    """g(r) = (e^r − 1 − r)/r², and h(r) = g(−r); ½ at zero. Infinite beyond r = 10.

    There e^r would turn the rounding of a curvature into more than the ninth digit, and T5 is the tighter bound anyway.
    """
    small, far = reach.abs() < 1e-3, reach > _FAR
    safe = torch.where(small | far, torch.ones_like(reach), reach)
    series = 0.5 + reach / 6 + reach**2 / 24 + reach**3 / 120
    value = torch.where(small, series, (torch.expm1(safe) - safe) / safe**2)
    return torch.where(far, torch.full_like(reach, torch.inf), value)


def reach_of(x: Instance, y: int, mine: Tensor, theirs: Tensor) -> Tensor:
    """r = max_c Δ_c − min_c Δ_c of every pair."""
    moved = change(x, y, mine, theirs)
    return moved.amax(2) - moved.amin(2)


def _bounded(rate: Tensor, bend: Tensor) -> Tensor:
    """Their product; infinite where the rate is, also for no bend at all."""
    finite = torch.isfinite(rate)
    return torch.where(finite, torch.where(finite, rate, torch.zeros_like(rate)) * bend, rate)


def sides(x: Instance, grows: Callable[[Tensor], Tensor] = growth, decays: Callable[[Tensor], Tensor] | None = None) -> Sides:
    """Each pair with the better of both ends, transported class by class; g and h as given."""
    falls = decays or (lambda reach: growth(-reach))

    def lower(x: Instance, y: int, mine: Tensor, theirs: Tensor) -> Tensor:
        pairs, reach = (x, y, mine, theirs), reach_of(x, y, mine, theirs)
        first = at_teacher(*pairs) + _bounded(falls(reach), bend_at_teacher(*pairs))
        return torch.maximum(first, at_student(*pairs) - _bounded(grows(reach), bend_at_student(*pairs)))

    def upper(x: Instance, y: int, mine: Tensor, theirs: Tensor) -> Tensor:
        pairs, reach = (x, y, mine, theirs), reach_of(x, y, mine, theirs)
        first = at_teacher(*pairs) + _bounded(grows(reach), bend_at_teacher(*pairs))
        return torch.minimum(first, at_student(*pairs) - _bounded(falls(reach), bend_at_student(*pairs)))

    return enclosure(x, (lower,), (upper,))


def _sudden() -> Instance:
    return instance([[-0.5]], [[0.5]], [0], HEAD, loss=tenth_temperature)


def _taylor(x: Instance) -> Sides:
    return sides(x, lambda reach: torch.full_like(reach, 0.5))


def _exchanged(x: Instance) -> Sides:
    return sides(x, lambda reach: growth(-reach), lambda reach: growth(reach.clamp(max=_FAR)))


def _no_decay(x: Instance) -> Sides:
    return sides(x, growth, lambda reach: torch.full_like(reach, 0.5))


def _bends_ahead() -> Instance:
    """From a flat end into the bend: the curvature grows on the way."""
    return instance([[0.0]], [[3.0]], [0], HEAD)


THEOREM = Theorem(
    name="T5.curved",
    title="enclosure from both sides by curvature",
    plain="Cross-entropy's curvature along a segment grows or decays at most exponentially, with the range of the change of "
    "logits as its rate: slope and curvature at either end enclose the change of the loss, and hence the gap.",
    latex=r"\varphi'(0)+h(r)\varphi''(0) \le \varphi(1)-\varphi(0) \le \varphi'(0)+g(r)\varphi''(0),\quad "
    r"\varphi'(1)-g(r)\varphi''(1) \le \varphi(1)-\varphi(0) \le \varphi'(1)-h(r)\varphi''(1)",
    hypotheses=(
        shared_linear_head("T5.curved"),
        same_class_shares("T5.curved", detail="So couplings can keep labels."),
        Hypothesis(
            name="self-concordant loss",
            check=lambda x: x.loss is cross_entropy,
            counterexample=Counterexample(
                words="cross-entropy at temperature 1/10 bends ten times as suddenly", form="T5.curved", make=_sudden
            ),
        ),
    ),
    direction="two-sided",
    source="generalised self-concordance of log-sum-exp (Bach 2010 for the logistic loss), on couplings",
    proof="The third derivative of log-sum-exp is at most the spread of Δ times the second, so the curvature at one end "
    "bounds the curvature on the whole segment.",
    steps=(
        Step(
            "Along Δ the derivatives of log-sum-exp are cumulants of Δ_c under the softmax p. The loss of a label differs "
            "from it by a linear function.",
            r"\varphi''=\mathrm{Var}_p(\Delta), \qquad \varphi'''=E_p(\Delta-E_p\Delta)^3",
        ),
        Step(
            "No value is further than r from the mean.",
            r"|\varphi'''| \le E_p|\Delta-E_p\Delta|^3 \le r\,\varphi'', \qquad r=\max\Delta-\min\Delta",
        ),
        Step(
            "Hence ln φ'' has slope at most r, which bounds the curvature from the teacher's end.",
            r"\varphi''(0)\,e^{-rt} \le \varphi''(t) \le \varphi''(0)\,e^{rt}",
        ),
        Step(
            "The same holds from the student's end.",
            r"\varphi''(1)\,e^{-r(1-t)} \le \varphi''(t) \le \varphi''(1)\,e^{r(1-t)}",
        ),
        Step(
            "Put both into Taylor's formula with its remainder as an integral.",
            r"\varphi(1)-\varphi(0)=\varphi'(0)+\int_0^1(1-t)\,\varphi''(t)\,dt=\varphi'(1)-\int_0^1 t\,\varphi''(t)\,dt",
        ),
        Step(
            "The integrals of the bounds are g and h.",
            r"\int_0^1(1-t)\,e^{rt}\,dt=\frac{e^r-1-r}{r^2}=g(r), \qquad h(r)=g(-r)",
        ),
    ),
    forms=(
        Form(
            name="T5.curved",
            constant="g and h of the range of Δ over classes",
            sides=sides,
            witness=Witness(words=SATURATED, make=far_wrong),
            start=SLOPES.forms[0].start,
            free=SLOPES.forms[0].free,
        ),
    ),
    mutants=(
        Mutant(name="½ for g: Taylor's second order without remainder", form="T5.curved", sides=_taylor, killer=_bends_ahead),
        Mutant(name="g and h exchanged", form="T5.curved", sides=_exchanged, killer=_bends_ahead),
        Mutant(name="½ for h: no decay", form="T5.curved", sides=_no_decay),
    ),
)
