"""What a proved identity is, and the two ways to prove one: by sympy, and by covering a region with intervals.

A prover splits its statement into steps and decides each of them from the definitions. What it cannot decide it reports as not
proved, so a wrong constant fails; it never means that the negation was proved.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sympy as sp
from mpmath import iv

Expr = Any  # a sympy expression: sympy has no types
Interval = Any  # an interval of mpmath.iv


@dataclass(frozen=True, slots=True)
class Proof:
    """The outcome of one attempt: how it was tried, whether it succeeded, and what exactly was decided."""

    how: Literal["symbolic", "interval"]
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Identity:
    """A statement, where it comes from, and the function that tries to prove it."""

    name: str
    plain: str
    latex: str
    source: str
    prove: Callable[[], Proof]


@dataclass(frozen=True, slots=True)
class Cover:
    """How many boxes were examined, and one that could not be decided (None: the whole region is certified)."""

    boxes: int
    stuck: tuple[tuple[float, float], ...] | None

    @property
    def certified(self) -> bool:
        """Whether every box of the region was decided."""
        return self.stuck is None


def symbolic(summary: str, steps: Iterable[tuple[str, bool]]) -> Proof:
    """A proof by steps that sympy decides: it stands only if there are steps and each of them holds."""
    decided = list(steps)
    open_steps = [what for what, holds in decided if holds is not True]
    if open_steps or not decided:
        return Proof("symbolic", False, "not proved: " + ("; ".join(open_steps) or "no step was given"))
    return Proof("symbolic", True, f"{summary}: " + "; ".join(what for what, _ in decided))


def interval(summary: str, covers: Sequence[Cover]) -> Proof:
    """A proof by covering: it stands only if every region was covered within its budget."""
    boxes = sum(cover.boxes for cover in covers)
    for cover in covers:
        if cover.stuck is not None:
            return Proof("interval", False, f"not proved: undecided after {boxes:,} boxes, for example on {cover.stuck}")
    if not covers:
        return Proof("interval", False, "not proved: no region was given")
    return Proof("interval", True, f"mpmath iv (53 bits, rounded outwards): {summary}, {boxes:,} boxes examined")


def vanishes(expression: Expr) -> bool:
    """Whether sympy reduces an expression, or every entry of a matrix, to 0 under the assumptions of its symbols.

    >>> x = sp.Symbol("x", positive=True)
    >>> vanishes(sp.log(x**2) - 2 * sp.log(x)), vanishes(sp.log(x**2) - sp.log(x))
    (True, False)
    """
    if isinstance(expression, sp.MatrixBase):
        return all(vanishes(entry) for entry in expression)
    expression = sp.sympify(expression)
    if expression.is_commutative and expression.is_rational_function():
        return bool(sp.expand(sp.numer(sp.together(expression))) == 0)  # decides it
    if _refuted(expression):
        return False
    return any(bool(way(expression) == 0) for way in (sp.expand, _expanded_logarithms, sp.simplify))


def nonnegative(expression: Expr) -> bool:
    """Whether sympy derives expression ≥ 0 from the assumptions of its symbols; False means only that it could not.

    >>> u = sp.Symbol("u", positive=True)
    >>> nonnegative(u + 1 / u - 2), nonnegative(u + 1 / u - 2.1)
    (True, False)
    """
    expression = sp.sympify(expression)
    return any(bool(way(expression).is_nonnegative) for way in (sp.expand, sp.factor, sp.simplify))


def _refuted(expression: Expr) -> bool:
    """Whether one point where the assumptions hold gives a value that is not 0: it spares sympy a vain search."""
    if not expression.is_commutative:
        return False
    names = sorted(expression.free_symbols, key=str)
    n = len(names)  # values in (0, 1), unevenly spaced
    point = {s: 3 if s.is_integer else sp.Rational(3 * i * i + i + 2, 3 * n * n + n + 5) for i, s in enumerate(names)}
    value = expression.subs(point).evalf(30)
    return bool(value.is_number and value.is_finite and abs(value) > 1e-10)


def _expanded_logarithms(expression: Expr) -> Expr:
    return sp.simplify(sp.expand(sp.expand_log(expression)))


def certify_positive(
    function: Callable[..., Interval],
    box: Sequence[tuple[float, float]],
    *,
    gradient: Callable[..., Sequence[Interval]] | None = None,
    outside: Callable[..., bool] | None = None,
    budget: int = 20_000,
) -> Cover:
    """Bisect a box until intervals show function > 0 on every part of it, or the budget of boxes is spent.

    With a gradient, the mean-value form f(middle) + Σ ∂f(box)·(box − middle) is tried beside the plain evaluation. Parts on
    which `outside` answers True are left out: it is given intervals and must answer True only where no point of them counts.

    >>> certify_positive(lambda x: 1 - x * x, [(-0.5, 0.9)]).certified
    True
    >>> certify_positive(lambda x: 1 - x * x, [(-0.5, 1.0)], budget=200).certified
    False
    """
    waiting, boxes = [tuple(box)], 0
    while waiting:
        part = waiting.pop()
        sides = [iv.mpf([low, high]) for low, high in part]
        if outside is not None and outside(*sides):
            continue
        if boxes >= budget:
            return Cover(boxes, part)
        boxes += 1
        if (function(*sides) > 0) is True:
            continue
        if gradient is not None:
            middles = [iv.mpf((low + high) / 2) for low, high in part]
            slopes = gradient(*sides)
            drift = sum((g * (side - middle) for g, side, middle in zip(slopes, sides, middles, strict=True)), iv.mpf(0))
            if (function(*middles) + drift > 0) is True:
                continue
        widths = [high - low for low, high in part]
        i = widths.index(max(widths))
        low, high = part[i]
        cut = (low + high) / 2
        if not low < cut < high:
            return Cover(boxes, part)
        waiting += [(*part[:i], half, *part[i + 1 :]) for half in ((cut, high), (low, cut))]
    return Cover(boxes, None)
