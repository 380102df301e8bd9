"""T5.sharp: how much of the gap slope and curvature at both ends determine."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kd2m_theory.theory.examples import HEAD, tenth_temperature
from kd2m_theory.theory.hypotheses import same_class_shares, shared_linear_head
from kd2m_theory.theory.instance import Instance, cross_entropy, instance
from kd2m_theory.theory.statement import Counterexample, Form, Hypothesis, Mutant, Sides, Step, Theorem, Witness
from kd2m_theory.theory.t5_convex import THEOREM as SLOPES
from kd2m_theory.theory.t5_convex import at_student, at_teacher, change, enclosure

_LEAST = 1e-290


@dataclass(frozen=True)
class Ends:
    """What is known of the segments of all pairs of one class (k × l): index 0 is where the rise begins, 1 where it ends.

    Attributes:
        low_0: P₀ = μ₀ − min Δ.
        high_0: Q₀ = max Δ − μ₀.
        low_1: P₁.
        high_1: Q₁.
        curvature_0: κ₀, the variance of Δ.
        curvature_1: κ₁.
        rise: s = μ₁ − μ₀.
    """

    low_0: Tensor
    high_0: Tensor
    low_1: Tensor
    high_1: Tensor
    curvature_0: Tensor
    curvature_1: Tensor
    rise: Tensor

    @property
    def mirrored(self) -> "Ends":
        """The same segments read from the other end, with −Δ for Δ: the mean rises by as much again."""
        return Ends(
            low_0=self.high_1,
            high_0=self.low_1,
            low_1=self.high_0,
            high_1=self.low_0,
            curvature_0=self.curvature_1,
            curvature_1=self.curvature_0,
            rise=self.rise,
        )


def ends(x: Instance, y: int, mine: Tensor, theirs: Tensor) -> Ends:
    """Moments of Δ under the softmax at both ends."""
    moved = change(x, y, mine, theirs)
    least, most = moved.amin(2, keepdim=True), moved.amax(2, keepdim=True)
    known = []
    for points, along in ((x.teacher[theirs], 0), (x.student[mine], 1)):
        law = torch.softmax(points @ x.weight.T + x.bias, 1).unsqueeze(along)
        # From the likeliest class, near which a small variance has its digits.
        top = moved.gather(2, law.argmax(2, keepdim=True).expand(*moved.shape[:2], 1))
        mean = (law * (moved - top)).sum(2, keepdim=True)
        variance = (law * (moved - top - mean) ** 2).sum(2)
        low, high = (law * (moved - least)).sum(2), (law * (most - moved)).sum(2)
        known.append((low.clamp(min=_LEAST), high.clamp(min=_LEAST), variance.clamp(min=_LEAST)))
    (low_0, high_0, curvature_0), (low_1, high_1, curvature_1) = known
    return Ends(
        low_0=low_0,
        high_0=high_0,
        low_1=low_1,
        high_1=high_1,
        curvature_0=curvature_0,
        curvature_1=curvature_1,
        rise=(at_student(x, y, mine, theirs) - at_teacher(x, y, mine, theirs)).clamp(min=0.0),
    )


def largest_by_slopes(known: Ends) -> Tensor:
    """The largest ∫(μ − μ₀)dt for κ ≤ PQ: s − (aP₁ − bQ₁)/r."""
    a, b = (known.low_1 / known.low_0).log(), (known.high_0 / known.high_1).log()
    area = known.rise - (a * known.low_1 - b * known.high_1) / (known.low_0 + known.high_0)
    return _within(area, known.rise)


def largest_by_curvatures(known: Ends) -> Tensor:
    """X: the largest ∫(μ − μ₀)dt for κ/P − P ≤ dκ/dμ ≤ Q − κ/Q; the curve with ∫dμ/κ = 1 is found by bisection."""
    with torch.no_grad():
        left = (known.curvature_0 / known.low_0).log()  # C2 meets the start
        right = (known.rise + known.curvature_1 / known.low_1).log()  # and the end
        for _ in range(100):
            middle = (left + right) / 2
            late = _curve(known, middle.exp())[0] > 1
            left, right = torch.where(late, middle, left), torch.where(late, right, middle)
    time, area = _curve(known, right.exp())
    return torch.minimum(_within(area + (1 - time).clamp(min=0.0) * known.rise, known.rise), largest_by_slopes(known))


def _within(area: Tensor, rise: Tensor) -> Tensor:
    """The area, where it is a number between 0 and s; s elsewhere."""
    fine = torch.isfinite(area)
    return torch.where(fine, torch.where(fine, area, torch.zeros_like(area)).clamp(min=0.0), rise).minimum(rise)


def _curve(known: Ends, beta: Tensor) -> tuple[Tensor, Tensor]:
    """∫dx/κ* and ∫x dx/κ* over [0, s] for κ* = max(min(C1, C2), C3), x = μ − μ₀."""
    p, q, s = known.low_0, known.high_1 + known.rise, known.rise
    u, v = known.curvature_0 / known.high_0, known.curvature_1 / known.high_1 - s
    # C1 = (q − x)(x + u), C2 = (p + x)(β − x), C3 = (q − x)(x + v); their crossings are where linear functions vanish.
    first = torch.nan_to_num((p * beta - q * u) / (q + p - u - beta), nan=0.0, posinf=0.0, neginf=0.0)
    second = torch.nan_to_num((p * beta - q * v) / (q + p - v - beta), nan=0.0, posinf=0.0, neginf=0.0)
    first = torch.where(q + p - u - beta > 0, first, s).clamp(min=0.0).minimum(s)
    second = torch.where(q + p - v - beta > 0, second, s).maximum(first).minimum(s)
    zero = torch.zeros_like(s)
    pieces = (
        _piece(q, u, zero, first),
        _piece(beta, p, first, second),
        _piece(q, v, second, s),
    )
    return sum((piece[0] for piece in pieces), zero), sum((piece[1] for piece in pieces), zero)


def _piece(top: Tensor, root: Tensor, start: Tensor, stop: Tensor) -> tuple[Tensor, Tensor]:
    """∫dx/κ and ∫x dx/κ from start to stop for κ = (top − x)(x + root); 0 where there is nothing between."""
    some = stop > start
    start, stop = torch.where(some, start, torch.zeros_like(start)), torch.where(some, stop, torch.zeros_like(stop))
    rising = torch.where(some, ((stop + root) / (start + root)).log(), torch.zeros_like(start))
    falling = torch.where(some, ((top - start) / (top - stop)).log(), torch.zeros_like(start))
    return (rising + falling) / (top + root), (top * falling - root * rising) / (top + root)


def sides(x: Instance, largest: Callable[[Ends], Tensor]) -> Sides:
    """φ'(0) + X ≥ φ(1) − φ(0) ≥ φ'(1) − X of the mirrored ends, transported class by class."""

    def lower(x: Instance, y: int, mine: Tensor, theirs: Tensor) -> Tensor:
        return at_student(x, y, mine, theirs) - largest(ends(x, y, mine, theirs).mirrored)

    def upper(x: Instance, y: int, mine: Tensor, theirs: Tensor) -> Tensor:
        return at_teacher(x, y, mine, theirs) + largest(ends(x, y, mine, theirs))

    return enclosure(x, (lower,), (upper,))


def _envelope(x: Instance) -> Sides:
    return sides(x, largest_by_slopes)


def _sharp(x: Instance) -> Sides:
    return sides(x, largest_by_curvatures)


def _two_classes() -> Instance:
    """One point of two classes, which turns from right to wrong."""
    return instance([[-1.5]], [[0.8]], [0], HEAD)


def _three_classes(student: float, teacher: float, *bias: float) -> Callable[[], Instance]:
    """One point, where the logits are (−z, 0, 2z) plus a bias."""
    return lambda: instance([[student]], [[teacher]], [0], ((-1.0,), (0.0,), (2.0,)), bias=bias)


def _sudden() -> Instance:
    return instance([[0.2]], [[0.5]], [0], HEAD, loss=tenth_temperature)


def _exchanged_logarithms(x: Instance) -> Sides:
    def largest(known: Ends) -> Tensor:
        a, b = (known.low_1 / known.low_0).log(), (known.high_0 / known.high_1).log()
        return _within(known.rise - (b * known.low_1 - a * known.high_1) / (known.low_0 + known.high_0), known.rise)

    return sides(x, largest)


def _twice(x: Instance) -> Sides:
    def largest(known: Ends) -> Tensor:
        return _within(2 * largest_by_slopes(known) - known.rise, known.rise)

    return sides(x, largest)


def _curvatures_exchanged(x: Instance) -> Sides:
    def largest(known: Ends) -> Tensor:
        return largest_by_curvatures(replace(known, curvature_0=known.curvature_1, curvature_1=known.curvature_0))

    return sides(x, largest)


def _smaller_start(x: Instance) -> Sides:
    """Half the curvature at the start: the curve begins to rise later than it may."""

    def largest(known: Ends) -> Tensor:
        return largest_by_curvatures(replace(known, curvature_0=known.curvature_0 / 2))

    return sides(x, largest)


def _not_mirrored(x: Instance) -> Sides:
    def lower(x: Instance, y: int, mine: Tensor, theirs: Tensor) -> Tensor:
        return at_student(x, y, mine, theirs) - largest_by_curvatures(ends(x, y, mine, theirs))

    def upper(x: Instance, y: int, mine: Tensor, theirs: Tensor) -> Tensor:
        return at_teacher(x, y, mine, theirs) + largest_by_curvatures(ends(x, y, mine, theirs))

    return enclosure(x, (lower,), (upper,))


_TWO = "two classes: every law on two values has the largest variance and the extremal third moment"

THEOREM = Theorem(
    name="T5.sharp",
    title="enclosure from both sides by all that slope and curvature at both ends determine",
    plain="Along a segment the mean of Δ rises at a rate that is its variance, and variances of laws on [min Δ, max Δ] cannot "
    "rise or fall faster than those of laws on two values: the earliest and the latest rise that slope and curvature at both "
    "ends allow enclose the change of cross-entropy, and hence the gap.",
    latex=r"\varphi'(1)-X(Q_1,P_0,\kappa_1,\kappa_0,s) \le \varphi(1)-\varphi(0) \le "
    r"\varphi'(0)+X(P_0,Q_1,\kappa_0,\kappa_1,s)",
    hypotheses=(
        shared_linear_head("T5.sharp"),
        same_class_shares("T5.sharp", detail="So couplings can keep labels."),
        Hypothesis(
            name="log-sum-exp loss",
            check=lambda x: x.loss is cross_entropy,
            counterexample=Counterexample(
                words="cross-entropy at temperature 1/10 is ten times as steep as the moments of Δ say",
                form="T5.sharp",
                make=_sudden,
            ),
        ),
    ),
    direction="two-sided",
    source="Bhatia and Davis 2000 (κ ≤ PQ, for the slopes); the range of a third central moment, on couplings",
    proof="Laws on two values have the largest variance and the extremal third moment, so they give the earliest and the "
    "latest rise of the slope that both ends allow.",
    steps=(
        Step(
            "Let μ and κ be the mean and the variance of Δ under the softmax at a_T + tΔ.",
            r"\varphi'=\mu-\Delta_y, \qquad \mu'=\kappa, \qquad P=\mu-\min\Delta, \quad Q=\max\Delta-\mu, \quad r=P+Q",
        ),
        Step(
            "A product of nonnegative factors bounds the variance, so ln(P/Q) rises at a rate of at most r.",
            r"E[(\Delta-\min\Delta)(\max\Delta-\Delta)] \ge 0 \quad\Rightarrow\quad \kappa \le PQ",
        ),
        Step(
            "The area under μ is largest if μ rises at once, as the mean of a law on the two values min Δ and max Δ does, "
            "and then stays at μ₁: T5.envelope.",
            r"X=s-\frac{aP_1-bQ_1}{r}, \qquad a=\ln\frac{P_1}{P_0}, \quad b=\ln\frac{Q_0}{Q_1}",
        ),
        Step(
            "The derivative of κ in μ is the third central moment over κ. Two more nonnegative means bound it, and laws on "
            "two values attain both ends.",
            r"E[(\Delta-\min\Delta)(\Delta-\mu-\kappa/P)^2] \ge 0 \quad\Rightarrow\quad \frac\kappa P-P \le "
            r"\frac{d\kappa}{d\mu} \le Q-\frac\kappa Q",
        ),
        Step(
            "Let κ* rise as steeply as is allowed from κ₀ (C1), then fall as steeply from some height (C2), then rise as "
            "steeply into κ₁ (C3). An admissible κ is below κ* on C1 and above it on C3. On C2 it crosses κ* at most once, "
            "from below, where the mean has risen by x_c.",
            r"(x-x_c)\Bigl(\frac1\kappa-\frac1{\kappa^*}\Bigr) \le 0",
        ),
        Step(
            "Integrate this over the rise. Since the time ∫dμ/κ is 1, the best C2 is the one with ∫dμ/κ* = 1: T5.sharp.",
            r"\int x\,\frac{d\mu}{\kappa} \le \int x\,\frac{d\mu}{\kappa^*}+x_c\Bigl(1-\int\frac{d\mu}{\kappa^*}\Bigr)",
        ),
        Step(
            "The lower side is the same with the ends exchanged. An admissible κ satisfies what T5, T5.envelope and "
            "T5.curved require, so these are never better."
        ),
    ),
    forms=(
        Form(
            name="T5.sharp",
            constant="X, a sum of logarithms of P, Q, κ and the root of ∫dμ/κ* = 1",
            sides=_sharp,
            witness=Witness(words=_TWO, make=_two_classes),
            start=SLOPES.forms[0].start,
            free=SLOPES.forms[0].free,
        ),
        Form(
            name="T5.envelope",
            constant="1/r, with a = ln(P₁/P₀) and b = ln(Q₀/Q₁)",
            sides=_envelope,
            witness=Witness(words=_TWO, make=_two_classes),
            start=SLOPES.forms[0].start,
            free=SLOPES.forms[0].free,
        ),
    ),
    mutants=(
        Mutant(
            name="the two curvatures exchanged",
            form="T5.sharp",
            sides=_curvatures_exchanged,
            killer=_three_classes(-2.0, 0.5, 0.0, 0.0, 2.0),
        ),
        Mutant(
            name="half the curvature at the start",
            form="T5.sharp",
            sides=_smaller_start,
            killer=_three_classes(-2.0, 1.0, 2.0, 0.0, 0.0),
        ),
        Mutant(
            name="the lower side without exchange of the ends",
            form="T5.sharp",
            sides=_not_mirrored,
            killer=_three_classes(0.5, -2.0, 2.0, 0.0, 0.0),
        ),
        Mutant(name="a and b exchanged", form="T5.envelope", sides=_exchanged_logarithms),
        Mutant(name="2/r for 1/r", form="T5.envelope", sides=_twice),
    ),
)
