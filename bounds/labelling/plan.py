"""A label plan: which inputs of a file to label, in which order, and what their labels say. Its file is also its log."""

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np

from kd2m_theory.arrays import Float64, Int64, class_labels
from kd2m_theory.bounds.clipping import refuse_bound_of_the_sample
from kd2m_theory.bounds.labelling.drawn import Drawn
from kd2m_theory.bounds.labelling.estimate import MORE, PARTS, LabelEstimate, estimate
from kd2m_theory.bounds.labelling.pool import SUMS, End, Pool, Target, anchor, digest, left_after, pool_of, view_for_plans
from kd2m_theory.bounds.view import View
from kd2m_theory.checks import one_of, whole
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.drawing import drawing_order
from kd2m_theory.estimators.interval_inputs import check_chosen_delta, check_delta, one_side
from kd2m_theory.files import LARGEST, json_bytes, read_json, write_atomically
from kd2m_theory.pair import Pair, check_pair
from kd2m_theory.version import __version__
from kd2m_theory.words import confidence

Rows = TypeVar("Rows", bound=Drawn)
# Arrays of a plan with one number per drawn row.
_OF_ROWS = ("answers", "base_up", "base_down", "rises", "falls", "weights", "ratios_up", "ratios_down")
FORMAT, FORMAT_VERSION = "kd2m-label-plan", 1
NOTICE = (
    "Label the inputs in this order and stop whenever you like. Drawing another plan for the same inputs after a label was "
    "seen voids the level of both. The digest shows that a file was changed; it cannot show that a plan was thrown away."
)


@dataclass(frozen=True, eq=False, repr=False)
class LabelPlan(Drawn):
    """Inputs to label in drawing order, and all that their labels need to become intervals; made by `label_plan`.

    The plan no longer needs the pair. Its file keeps how the order was drawn: digests of the logits and of the weights, the
    seed, the order, and each set of labels that was estimated from. A plan that was changed after it was made is refused; one
    that was drawn again until it pleased, and of which only the last is shown, cannot be recognised.

    Attributes:
        target: "error" or "gap".
        delta: failure probability of each interval.
        budget: labels that were asked for.
        samples: N, inputs of the file.
        needed: labels that make the file's answer exact: the number of inputs at which a label can matter.
        order: positions in the pair in drawing order: the budget, and up to 50 more for later.
        seed: of the drawing, from the system's entropy, in hexadecimal.
        labels: those that were recorded, in drawing order.
        stops: for each time that an estimate was recorded, the number of labels and the intervals.
    """

    labels: Int64 = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    stops: tuple[Mapping[str, Any], ...] = ()

    @cached_property
    def _places(self) -> dict[int, int]:
        return {int(index): place for place, index in enumerate(self.order)}

    def __str__(self) -> str:
        what = "error rates" if self.target == "error" else "clipped cross-entropies"
        say = [f"Label {len(self.indices):,} of {self.samples:,} inputs, in the order of this plan; stop whenever you like."]
        if self.exact:
            say.append(
                f"They are all at which a label can matter, so the answer for this file's difference of {what} will be exact."
            )
        else:
            say.append(
                f"An exact answer for this file's difference of {what} would need {self.needed:,} labels; "
                f"these give an interval at {confidence(1 - self.delta)}."
            )
        if len(self.order) > len(self.indices):
            say.append(f"{len(self.order) - len(self.indices)} more are drawn, should you want to go on.")
        if len(self.labels):
            say.append(f"{len(self.labels)} labels are recorded.")
        say.append("Do not draw again after a label was seen: that voids the level.")
        return "\n".join(say)

    def __repr__(self) -> str:
        return f"LabelPlan({self.target}, {len(self.indices)} of {self.samples} inputs, {len(self.labels)} labels recorded)"

    def estimate(self, labels: Sequence[int] | Mapping[int, int] | Any) -> LabelEstimate:
        """What labels say about student less teacher, in this file and in the population.

        Any number of labels will do, if they are those of the first inputs in drawing order: one may look at each estimate
        and decide whether to go on.

        Args:
            labels: true classes 0 … K − 1 in drawing order, or a mapping from positions in the pair to classes.

        Raises:
            InputError: labels that are not classes, more than were drawn, positions that are not the first ones of the plan,
                or a label that differs from the one recorded.
        """
        return estimate(self, self._in_order(labels))

    def recorded(self, labels: Sequence[int] | Mapping[int, int] | Any) -> "LabelPlan":
        """The plan with these labels, and what was estimated from them, in its log.

        Args:
            labels: as `estimate`.

        Raises:
            InputError: as `estimate`.
        """
        known = self._in_order(labels)
        found = estimate(self, known)
        stop = {
            "labels": found.labels,
            "file": [found.file.lower, found.file.upper],
            "population": [found.population.lower, found.population.upper],
        }
        return replace(self, labels=max(self.labels, known, key=len), stops=(*self.stops, stop))

    def save(self, path: str | Path) -> None:
        """Write the plan as JSON, with a digest over the whole.

        Raises:
            InputError: the folder does not exist, or the path is one; or the plan is larger than a file that is read.
        """
        content = {"format": FORMAT, "version": FORMAT_VERSION, "written by": __version__, "notice": NOTICE}
        content |= {each.name: _plain(getattr(self, each.name)) for each in fields(self)}
        data = json_bytes(content | {"digest": _digest(content)}, indent=0)
        if len(data) > LARGEST:
            raise InputError(
                f"the plan of {len(self.order):,} inputs and {self.classes:,} classes has {len(data) >> 20:,} MiB, more than "
                f"{LARGEST >> 20}; plan for fewer labels"
            )
        write_atomically(path, data)

    @classmethod
    def load(cls, path: str | Path) -> "LabelPlan":
        """Read a plan that `save` wrote.

        Raises:
            InputError: the file is not a plan, is of another version, or was changed after it was made.
        """
        path = Path(path)
        content = read_json(path, f"{path} is not a label plan")
        if content.get("format") != FORMAT:
            raise InputError(f"{path} is not a label plan; write one with kd2m label plan")
        if content.get("version") != FORMAT_VERSION:
            version = content.get("version")
            raise InputError(
                f"{path} has version {version!r} of the format; this kd2m-theory reads {FORMAT_VERSION}: upgrade it"
            )
        if content.pop("digest", None) != _digest(content):
            raise InputError(f"{path} was changed after it was made; a plan that was changed guarantees nothing")
        try:
            restored = {each.name: _restored(each.name, content[each.name]) for each in fields(cls)}
            restored["changes"] = restored["changes"].reshape(len(restored["order"]), restored["classes"])  # also of no row
            plan = cls(**restored)
            plan._check()
            return plan
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"{path} is not a label plan ({type(error).__name__}: {error})") from None

    def _check(self) -> None:
        """Refuse parts that do not fit together.

        Raises:
            ValueError: naming them.
        """
        rows = len(self.order)
        one_of(self.target, get_args(Target), "target")
        one_of(self.end, get_args(End), "end")
        check_delta(self.delta)
        for name, least in (("budget", 1), ("samples", 1), ("classes", 2), ("needed", 0)):
            whole(getattr(self, name), name, least)
        for name in _OF_ROWS:
            if getattr(self, name).shape != (rows,):
                raise ValueError(f"{name} is not as long as the order")
        if set(self.left) != set(SUMS) or any(sums.shape != (rows + 1,) for sums in self.left.values()):
            raise ValueError("left is not as long as the order")
        given = np.concatenate((self.labels, self.answers))
        if len(self.labels) > rows or ((given < 0) | (given >= self.classes)).any():
            raise ValueError("labels or answers are not classes")
        numbers = (self.changes, *(getattr(self, name) for name in _OF_ROWS))
        scales = (self.range_up, self.range_down, self.rounding, *(() if self.loss_bound is None else (self.loss_bound,)))
        ends = () if self.anchor is None else self.anchor
        if not all(np.isfinite(each).all() for each in (*numbers, *self.left.values(), np.array([*scales, *ends]))):
            raise ValueError("a number is not finite")
        if (self.anchor is None) != (self.target == "error") or (self.loss_bound is None) != (self.target == "error"):
            raise ValueError("anchor and loss_bound belong to the target gap alone")
        if (self.anchor is not None and len(ends) != 2) or not (self.weights > 0).all():
            raise ValueError("anchor or weights are out of range")
        outside = (self.order < 0) | (self.order >= self.samples)
        if (
            outside.any()
            or len(np.unique(self.order)) < rows
            or not len(self.labels) <= self.samples
            or self.needed > self.samples
        ):
            raise ValueError("order, labels and needed are not of this many samples")
        if self.rounding < 0 or min(self.range_up, self.range_down, *scales[3:]) <= 0:
            raise ValueError("rounding, ranges or loss_bound are out of range")
        if any((self.left[name] < 0).any() for name in ("weights", "rises", "falls")):
            raise ValueError("a sum of what is left is negative")

    def _in_order(self, labels: Any) -> Int64:
        if isinstance(labels, Mapping):
            labels = self._from_positions(labels)
        if isinstance(labels, str | bytes) or not hasattr(labels, "__len__") or np.ndim(labels) == 0:
            raise InputError(f"labels is {labels!r}; give labels in the plan's order, or a mapping from positions to labels")
        if not len(labels):
            labels = np.zeros(0, dtype=np.int64)
        found = class_labels(labels, len(labels), "labels")
        if len(found) > len(self.order):
            raise InputError(f"there are {len(found)} labels, and the plan drew {len(self.order)} inputs; give at most so many")
        refuse_other_classes(found, self.order, self.classes)
        both = min(len(found), len(self.labels))
        other = np.flatnonzero(found[:both] != self.labels[:both])
        if len(other):
            place = other[0]
            raise InputError(
                f"the label of input {self.order[place]} is {found[place]}, and {self.labels[place]} is recorded; a "
                "label that changes after an estimate voids the level"
            )
        return found

    def _from_positions(self, labels: Mapping[Any, Any]) -> list[Any]:
        unknown = [index for index in labels if index not in self._places]
        if unknown:
            raise InputError(f"input {unknown[0]!r} has a label and is not in the plan; label only the inputs of plan.order")
        first = [int(index) for index in self.order[: len(labels)]]
        missing = [index for index in first if index not in labels]
        if missing:
            raise InputError(
                f"input {missing[0]} has no label, and inputs that were drawn after it have one; labels left out may have been "
                "left out for what they are. Label in drawing order, without gaps"
            )
        return [labels[index] for index in first]


def label_plan(
    pair: Pair,
    budget: int = 100,
    target: Target = "gap",
    delta: float = 0.05,
    *,
    end: End = "both",
    loss_bound: float | None = None,
) -> LabelPlan:
    """Which inputs of a pair to label, to learn most about how much worse the student is than its teacher.

    For errors only inputs matter at which the networks disagree; all of them together give the file's answer exactly. For
    cross-entropy an input is drawn with a chance proportional to how far its label can move the difference. Labels that
    the pair has are not looked at.

    Args:
        pair: both networks on the same inputs; labels are not needed.
        budget: how many labels to plan for.
        target: "gap" for the difference of cross-entropies, clipped at `loss_bound`, or "error" for that of error rates.
        delta: failure probability of each interval.
        end: "both", or "upper" to spend all labels and all of δ on how much worse the student can be.
        loss_bound: B in nats, chosen before the file was seen; 2 ln K if None.

    Raises:
        InputError: inputs that are not paired, logits that are missing, an argument out of range, or a bound that is the
            file's own largest loss.

    Source:
        Waudby-Smith & Ramdas, "Confidence sequences for sampling without replacement", NeurIPS 2020; Orabona & Jun, "Tight
        concentrations and confidence sequences from the regret of universal portfolio", IEEE Trans. Inf. Theory 70 (2024).

    Example:
        >>> logits = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0], [0.0, 3.0]])
        >>> plan = label_plan(Pair(logits_teacher=logits, logits_student=logits[::-1]), budget=10, target="error")
        >>> plan.exact, sorted(plan.indices.tolist())
        (True, [0, 1, 2, 3])
        >>> plan.estimate([0] * 4).file
        Confidence(0, probability, guaranteed at 100 %)
    """
    return drawn_plan(
        pair,
        whole(budget, "budget", 1),
        one_of(target, get_args(Target), "target"),  # type: ignore[arg-type]
        check_chosen_delta(delta),
        one_of(end, get_args(End), "end"),  # type: ignore[arg-type]
        loss_bound,
        seed=None,
    )


def drawn_plan(
    pair: Pair, budget: int, target: Target, delta: float, end: End, loss_bound: float | None, seed: str | None
) -> LabelPlan:
    """`label_plan` with checked arguments, and a seed for trials of the method; a seed that is chosen guarantees nothing."""
    view, pool = view_and_pool(pair, target, loss_bound)
    weights = pool.weights(end)
    # Everything that can be known without labels is fixed; only now comes the seed.
    seed = secrets.token_hex(16) if seed is None else seed
    order = drawing_order(weights, np.random.default_rng(int(seed, 16)))
    return in_order(
        LabelPlan, view, pool, weights, order, kept=budget + MORE, budget=budget, target=target, delta=delta, end=end, seed=seed
    )


def view_and_pool(pair: Pair, target: Target, loss_bound: float | None) -> tuple[View, Pool]:
    """What the logits of a pair say; labels that it has are not looked at.

    Raises:
        InputError: a pair or a bound from whose labels nothing would follow; see `label_plan`.
    """
    if check_pair(pair).groups is not None:
        raise InputError(
            "the pair has groups, and what labels say about the population counts independent samples; leave groups out if "
            "only this file matters, and read `.file`"
        )
    view = view_for_plans(pair, loss_bound)
    if loss_bound is not None and target == "error":
        raise InputError(f"loss_bound is {loss_bound!r}, and errors are not clipped; leave it out")
    unlabelled = replace(view, labels_student=None, labels_teacher=None)
    refuse_bound_of_the_sample(loss_bound, (unlabelled,))
    return view, pool_of(view, target)


def in_order(
    kind: type[Rows],
    view: View,
    pool: Pool,
    weights: Float64,
    order: Int64,
    *,
    kept: int,
    budget: int,
    target: Target,
    delta: float,
    end: End,
    seed: str,
) -> Rows:
    """The rows of a file in an order in which they were drawn.

    Args:
        kind: what to make of them.
        view: the logits.
        pool: what they say for the target.
        weights: N weights of the drawing.
        order: all rows with a weight above 0, in drawing order.
        kept: how many of them to keep.
        budget: draws that stakes are made for.
        target: "gap" or "error".
        delta: failure probability of each interval.
        end: "both" or "upper".
        seed: of the drawing, in hexadecimal.
    """
    rows = order[:kept]
    left, ratios_up, ratios_down = left_after(pool, weights, order, len(rows))
    tail = delta if end == "upper" else one_side(delta)
    return kind(
        target=target,
        end=end,
        delta=delta,
        budget=budget,
        samples=len(weights),
        classes=view.classes,
        loss_bound=pool.loss_bound,
        needed=int(np.count_nonzero((pool.rises > 0) | (pool.falls > 0))),  # for one end, some are never drawn
        order=rows,
        seed=seed,
        pool=digest(view.stored_logits_teacher, view.stored_logits_student),
        drawn_by=digest(weights),
        changes=pool.changes[rows],
        answers=view.stored_logits_teacher.argmax(axis=1)[rows],
        base_up=pool.base_up[rows],
        base_down=pool.base_down[rows],
        rises=pool.rises[rows],
        falls=pool.falls[rows],
        weights=weights[rows],
        ratios_up=ratios_up,
        ratios_down=ratios_down,
        left=left,
        range_up=pool.range_up,
        range_down=pool.range_down,
        rounding=pool.rounding,
        anchor=None if pool.loss_bound is None else anchor(view, pool.range_up, tail / PARTS),
    )


def refuse_other_classes(labels: Int64, positions: Int64, classes: int) -> None:
    """Refuse labels outside 0 … classes − 1.

    Raises:
        InputError: naming the first such label and the position of its input.
    """
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(outside):
        place = outside[0]
        raise InputError(
            f"the label of input {positions[place]} is {labels[place]}; give a whole number from 0 to {classes - 1}"
        )


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


_WHOLE = ("order", "labels", "answers")


def _restored(name: str, value: Any) -> Any:
    """A field as it was before `_plain`; an error of Python's where it cannot be that."""
    if name == "left":
        return {each: np.array(sums, dtype=np.float64) for each, sums in value.items()}
    if name in ("anchor", "stops"):
        return value if value is None else tuple(value)
    if name not in (*_WHOLE, *_OF_ROWS, "changes"):
        return value
    if not isinstance(value, list):
        raise TypeError(f"{name} is not a list")
    return np.array(value, dtype=np.int64 if name in _WHOLE else np.float64)


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
