"""An optimiser that looks for an instance on which an inequality of the catalogue fails.

From many random starts it climbs log(gap / bound): Adam on the tensors that a form frees, at rates over four decades, in turn
with relabelled points and with random moves that need no gradient (some forms count, and are piecewise constant). Every
instance that it keeps meets the theorem's checked hypotheses.

A ratio above 1 counts only beyond rounding. Let s be the size of the numbers involved: the largest entry or logit, plus
Σ |x ∂gap/∂x| + Σ |x ∂bound/∂x| over all free numbers x, which is how far a relative change of every input moves both sides.
Both bounds are moved outwards by 10⁻¹⁴ s max(1, s/|gap|), the rounding of a square root of a difference of numbers of size s²,
before a violation is believed.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from kd2m_theory.bounds import Row
from kd2m_theory.errors import InputError
from kd2m_theory.theory.instance import Instance
from kd2m_theory.theory.statement import Form, Formula, Hypothesis, Mutant, Sides, Theorem
from kd2m_theory.validation.torch_threads import torch_threads
from kd2m_theory.validation.trial.row_form import form_of

TOLERANCE = 1e-9
_ROUNDING = 1e-14
_LARGEST = 1e6  # beyond it nothing new happens but rounding
_DRAWS, _ROUNDS, _ASCENT, _WANDER, _RELABEL = 8, 6, 40, 30, 8
_BETAS = 0.9, 0.99


@dataclass(frozen=True)
class Finding:
    """The worst instance found for a form.

    Attributes:
        form: its name.
        ratio: how much of the bound the worst instance uses; above 1 the form is refuted.
        instance: that instance; None if no start met the hypotheses.
        starts: random starts.
        steps: evaluations of both sides.
    """

    form: str
    ratio: float
    instance: Any
    starts: int
    steps: int

    @property
    def violated(self) -> bool:
        """Whether the inequality fails there, by more than rounding."""
        return self.ratio > 1 + TOLERANCE


class Budget:
    """Evaluations left: a number of steps (then a search is deterministic in its seed), or seconds."""

    def __init__(self, seconds: float | None = None, steps: int | None = None) -> None:
        for name, value in (("seconds", seconds), ("steps", steps)):
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{name} is {value!r}; give a positive number")
        if (seconds is None) == (steps is None):
            raise InputError("give a search either seconds or steps")
        self.spent = 0
        self._steps = steps
        self._end = None if seconds is None else time.perf_counter() + seconds

    @property
    def left(self) -> bool:
        """Whether another evaluation may be made."""
        return self.spent < self._steps if self._steps is not None else time.perf_counter() < (self._end or 0.0)


def falsify(
    form: Form | Row,
    seconds: float | None = None,
    seed: int = 0,
    *,
    steps: int | None = None,
    hypotheses: Sequence[Hypothesis] = (),
) -> Finding:
    """Look for an instance that violates a form.

    A bare `falsify(form)` is refused: a search needs a budget, `seconds` or `steps`, and not both.

    Args:
        form: with a random start; or a row about the sample, of the package or of one's own, which the audit itself computes
            on each instance (without gradient: moves alone are tried).
        seconds: of wall-clock time.
        seed: of starts and moves.
        steps: evaluations of both sides; the search is then a function of the seed.
        hypotheses: those that the form needs (`Theorem.needed_by`), so that what is found meets them.

    Returns:
        The worst instance found. The search ends with its budget, or as soon as the form is refuted.

    Raises:
        InputError: neither seconds nor steps, or both; one that is not positive and finite; a form in which chance takes
            part; a row that is not about the sample, or that bounds nothing on any instance that was tried.
    """
    budget = Budget(seconds, steps)
    if isinstance(form, Form):
        return _Search(form, form.sides, _checks(hypotheses), budget, seed).run()
    of_row, promises = form_of(form)
    finding = _Search(of_row, of_row.sides, [promises, *_checks(hypotheses)], budget, seed).run()
    if finding.instance is None:
        raise InputError(
            f"row {form.name} was applicable and without an unmet assumption on none of {finding.starts} instances, so it has "
            "not been tried; give more steps, or audit a pair that it is for and read row.why"
        )
    return finding


def escape(
    mutant: Mutant, theorem: Theorem, seconds: float | None = None, seed: int = 0, *, steps: int | None = None
) -> Finding:
    """The same search on the sides of a mutant: a violation kills it."""
    hypotheses = theorem.needed_by(mutant.form)
    return _Search(theorem.form(mutant.form), mutant.sides, _checks(hypotheses), Budget(seconds, steps), seed).run()


def _checks(hypotheses: Sequence[Hypothesis]) -> list[Callable[[Any], bool]]:
    return [hypothesis.check for hypothesis in hypotheses if hypothesis.check is not None]


def ratio_beyond_rounding(formula: Formula, instance: Any, free: Sequence[str] = ()) -> float:
    """The ratio of both sides; if granting rounding takes it from above 1 to below, what is left. NaN is a violation."""
    whole = formula(instance)
    ratio = float(whole.ratio)
    if ratio <= 1 + TOLERANCE:
        return ratio
    slack = _rounding(formula, instance, free)
    lower = -whole.upper if whole.lower is None else whole.lower
    granted = float(Sides(whole.gap, whole.upper + slack, lower - slack).ratio)
    if math.isnan(granted):
        return math.inf
    return ratio if granted > 1 + TOLERANCE else granted


def pasted(instance: Any) -> str:
    """An instance as Python that makes it again, all digits kept."""
    names = [type(instance)] + [value for value in map(partial(getattr, instance), _names(instance)) if callable(value)]
    imports = [f"from {name.__module__} import {name.__qualname__}" for name in names]
    return "\n".join(["import torch", *imports, _written(instance)])


def _names(instance: Any) -> tuple[str, ...]:
    return tuple(item.name for item in fields(instance)) if is_dataclass(instance) else ()


def _written(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"torch.tensor({value.tolist()}, dtype={value.dtype})"
    if isinstance(value, tuple):
        return f"({', '.join(map(_written, value))}{',' if len(value) == 1 else ''})"
    if is_dataclass(value) and not isinstance(value, type):
        parts = (f"    {name}={_written(getattr(value, name))},\n" for name in _names(value))
        return f"{type(value).__name__}(\n{''.join(parts)})"
    return value.__qualname__ if callable(value) else repr(value)


def _leaves(value: Any) -> list[Tensor]:
    """The float tensors in an attribute: itself, or those of a tuple of tensors."""
    parts = value if isinstance(value, tuple) else (value,)
    return [part for part in parts if isinstance(part, Tensor) and part.is_floating_point()]


def _free_leaves(instance: Any, free: Sequence[str]) -> list[Tensor]:
    return [leaf for name in free for leaf in _leaves(getattr(instance, name))]


def _rebuilt(instance: Any, free: Sequence[str], leaves: Sequence[Tensor]) -> Any:
    """The instance with other free tensors."""
    supply: Iterator[Tensor] = iter(leaves)
    changes: dict[str, Any] = {}
    for name in free:
        value = getattr(instance, name)
        if isinstance(value, tuple):
            changes[name] = tuple(next(supply) if _leaves(part) else part for part in value)
        elif _leaves(value):
            changes[name] = next(supply)
    return replace(instance, **changes)


def _rounding(formula: Formula, instance: Any, free: Sequence[str]) -> float:
    """How far rounding may have moved a side (see the module's head)."""
    names = tuple(free) or _names(instance)
    leaves = [leaf.detach().clone().requires_grad_() for leaf in _free_leaves(instance, names)]
    whole = formula(_rebuilt(instance, names, leaves)) if leaves else formula(instance)
    values = leaves + ([instance.logits_student, instance.logits_teacher] if isinstance(instance, Instance) else [])
    size = max((float(value.detach().abs().max()) for value in values if value.numel()), default=0.0)
    for side in (whole.gap, whole.upper, whole.lower):
        if side is not None and side.requires_grad:
            found = torch.autograd.grad(side, leaves, retain_graph=True, allow_unused=True)
            moves = [(g * x).detach() for g, x in zip(found, leaves, strict=True) if g is not None]
            size += sum(float(move.abs().nan_to_num().sum()) for move in moves)
    gap = abs(float(whole.gap.detach()))
    return _ROUNDING * size * max(1.0, size / gap if gap > 0 else 1.0)


class _Search:
    """One search: what is climbed, what is allowed, what was found."""

    def __init__(
        self, form: Form, formula: Formula, checks: Sequence[Callable[[Any], bool]], budget: Budget, seed: int
    ) -> None:
        if form.start is None:
            raise InputError(f"{form.name} speaks of chance or has no random start; only its witness can be evaluated")
        self.name, self.start, self.free, self.formula, self.budget = form.name, form.start, form.free, formula, budget
        self.checks = checks
        self.generator = torch.Generator().manual_seed(seed)
        self.best: tuple[float, Any] = (-math.inf, None)

    @torch_threads(1)
    def run(self) -> Finding:
        """Search until the budget is spent or the form is refuted."""
        starts = 0
        while self.budget.left and not self.best[0] > 1 + TOLERANCE:
            starts += 1
            # A relabelled or moved point is kept only if it is better, so a search starts from the best of a few draws.
            drawn = [x for x in (self.start(self.generator) for _ in range(_DRAWS)) if self._allowed(x)]
            rated = [(self._rate(x), x) for x in drawn if self.budget.left]
            if not rated:
                self.budget.spent += 1
                continue
            here = max(rated, key=lambda pair: pair[0])
            for _ in range(_ROUNDS):
                before = here[0]
                here = self._relabel(self._wander(self._ascend(here)))
                if not self.budget.left or here[0] < before + 1e-4 * max(before, 0.0) + 1e-12:
                    break
        return Finding(
            form=self.name, ratio=max(self.best[0], 0.0), instance=self.best[1], starts=starts, steps=self.budget.spent
        )

    def _allowed(self, instance: Any) -> bool:
        return all(check(instance) for check in self.checks)

    def _rate(self, instance: Any) -> float:
        """The ratio, and a note of it if it is a record."""
        self.budget.spent += 1
        ratio = ratio_beyond_rounding(self.formula, instance, self.free)
        if ratio > self.best[0]:
            self.best = ratio, instance
        return ratio

    def _uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.generator))

    def _choice(self, count: int) -> int:
        return int(torch.randint(0, count, (), generator=self.generator))

    def _normal(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator, dtype=like.dtype)

    def _ascend(self, here: tuple[float, Any]) -> tuple[float, Any]:
        """Adam on the log ratio, each tensor's steps in units of its own size."""
        ratio, instance = here
        leaves = [leaf.detach().clone().requires_grad_() for leaf in _free_leaves(instance, self.free)]
        scales = [max(float(leaf.detach().square().mean().sqrt()), 1e-3) if leaf.numel() else 1.0 for leaf in leaves]
        first, second = [torch.zeros_like(leaf) for leaf in leaves], [torch.zeros_like(leaf) for leaf in leaves]
        rate = 10.0 ** self._uniform(-3.0, 0.0)
        best = here
        for step in range(1, _ASCENT + 1):
            if not self.budget.left or not leaves:
                break
            self.budget.spent += 1
            value = self.formula(_rebuilt(instance, self.free, leaves)).ratio
            now = float(value.detach())
            if now > best[0]:
                moved = _rebuilt(instance, self.free, [leaf.detach().clone() for leaf in leaves])
                if not self._allowed(moved):
                    break
                # Above 1 the plain ratio is not to be trusted.
                best = (self._rate(moved) if now > 1 else now), moved
                if best[0] > self.best[0]:
                    self.best = best
            if not (0 < now < math.inf) or now > 1 + TOLERANCE or not value.requires_grad:
                break
            slopes = torch.autograd.grad(value.log(), leaves, allow_unused=True)
            known = [torch.zeros_like(x) if g is None else g for g, x in zip(slopes, leaves, strict=True)]
            if not all(bool(g.isfinite().all()) for g in known) or all(not bool(g.any()) for g in known):
                break
            with torch.no_grad():
                for i, slope in enumerate(known):
                    slope = slope * scales[i]
                    first[i] = _BETAS[0] * first[i] + (1 - _BETAS[0]) * slope
                    second[i] = _BETAS[1] * second[i] + (1 - _BETAS[1]) * slope**2
                    mean, square = first[i] / (1 - _BETAS[0] ** step), second[i] / (1 - _BETAS[1] ** step)
                    leaves[i] += rate * scales[i] * mean / (square.sqrt() + 1e-12)
                    leaves[i].clamp_(-_LARGEST, _LARGEST)
        return best if best[0] > ratio else here

    def _climb(self, here: tuple[float, Any], tries: int, propose: Callable[[Any], Any]) -> tuple[float, Any]:
        """Keep what is better."""
        for _ in range(tries):
            if not self.budget.left:
                break
            moved = propose(here[1])
            if moved is None or not self._allowed(moved):
                self.budget.spent += 1
                continue
            ratio = self._rate(moved)
            if ratio >= here[0]:  # equals too: a plateau is crossed by drifting on it
                here = ratio, moved
        return here

    def _wander(self, here: tuple[float, Any]) -> tuple[float, Any]:
        return self._climb(here, _WANDER, self._moved) if self.free else here

    def _moved(self, instance: Any) -> Any:
        """Noise on everything, on one row or one number; one tensor scaled; or a row copied from another tensor."""
        leaves = [leaf.detach().clone() for leaf in _free_leaves(instance, self.free)]
        chosen = self._choice(len(leaves))
        leaf, size, kind = leaves[chosen], 10.0 ** self._uniform(-3.0, 0.5), self._choice(5)
        if not leaf.numel():
            return None
        flat = leaf.view(len(leaf), -1) if leaf.ndim else leaf.view(1, 1)
        row = self._choice(len(flat))
        if kind == 0:
            for other in leaves:
                other += size * max(float(other.square().mean().sqrt()), 1e-3) * self._normal(other)
        elif kind == 1:
            flat[row] += size * max(float(leaf.square().mean().sqrt()), 1e-3) * self._normal(flat[row])
        elif kind == 2:
            flat[row, self._choice(flat.shape[1])] += size * self._uniform(-1.0, 1.0)
        elif kind == 3:
            leaf *= math.exp(size * self._uniform(-1.0, 1.0))
        else:
            peers = [x for x in leaves if x.ndim == leaf.ndim and x.ndim and x.shape[1:] == leaf.shape[1:] and len(x)]
            if not peers:
                return None
            peer = peers[self._choice(len(peers))]
            leaf[row] = peer[self._choice(len(peer))].clone()
        if any(float(x.abs().max()) > _LARGEST for x in leaves if x.numel()):
            return None
        return _rebuilt(instance, self.free, leaves)

    def _relabel(self, here: tuple[float, Any]) -> tuple[float, Any]:
        return self._climb(here, _RELABEL, self._relabelled) if isinstance(here[1], Instance) else here

    def _relabelled(self, instance: Instance) -> Instance:
        """One row's class changed on both sides; where the sides have labels of their own, on one of them, or two swapped."""
        student, teacher = instance.labels_student.clone(), instance.labels_teacher.clone()
        label = self._choice(len(instance.bias))
        if instance.same_labels:
            row = self._choice(len(student))
            student[row] = teacher[row] = label
            return replace(instance, labels_student=student, labels_teacher=teacher)
        side = (student, teacher)[self._choice(2)]
        row, other = self._choice(len(side)), self._choice(len(side))
        if self._choice(2):
            side[row] = label
        else:
            side[[row, other]] = side[[other, row]]
        return replace(instance, labels_student=student, labels_teacher=teacher)
