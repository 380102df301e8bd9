"""What a plan keeps of a file: the rows that were drawn, and sums over the others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.bounds.labelling.pool import End, Target
from kd2m_theory.estimators.interval_inputs import one_side


@dataclass(frozen=True, eq=False, repr=False)
class Drawn:
    """Rows of a file in drawing order, with all that their labels need to become intervals.

    Attributes:
        target: "error" or "gap".
        end: "both", or "upper" if all of δ is the upper end's.
        delta: failure probability of each interval.
        budget: labels that were asked for.
        samples: N, inputs of the file.
        classes: K.
        loss_bound: B in nats at which cross-entropy is clipped; None for errors.
        needed: labels that make the file's answer exact: the number of inputs at which a label can matter.
        order: positions in the pair in drawing order: the budget, and up to 50 more for later.
        seed: of the drawing, from the system's entropy, in hexadecimal.
        pool: SHA-256 of the logits of both networks.
        drawn_by: SHA-256 of the weights.
        changes: differences of losses of the drawn rows at each class.
        answers: the teacher's answers at the drawn rows.
        base_up: of the drawn rows, as in `Pool`.
        base_down: of the drawn rows, as in `Pool`.
        rises: of the drawn rows, as in `Pool`.
        falls: of the drawn rows, as in `Pool`.
        weights: of the drawn rows.
        ratios_up: largest rise/weight among the rows not drawn before each draw.
        ratios_down: largest fall/weight among them.
        left: sums over the rows not drawn after each number of draws.
        range_up: largest rise that any input can have.
        range_down: largest fall that any input can have.
        rounding: how far rounding may have moved the gap, in nats.
        anchor: limits of the population's gap if the teacher were always right; None for errors.
    """

    # Why the drawn rows say something of the others, and whether that holds at all numbers of labels together.
    ASSUMPTION: ClassVar[str] = "inputs labelled in the order that the plan drew"
    ANYTIME: ClassVar[bool] = True

    target: Target
    end: End
    delta: float
    budget: int
    samples: int
    classes: int
    loss_bound: float | None
    needed: int
    order: Int64
    seed: str
    pool: str
    drawn_by: str
    changes: Float64
    answers: Int64
    base_up: Float64
    base_down: Float64
    rises: Float64
    falls: Float64
    weights: Float64
    ratios_up: Float64
    ratios_down: Float64
    left: Mapping[str, Float64]
    range_up: float
    range_down: float
    rounding: float
    anchor: tuple[float, float] | None

    @property
    def indices(self) -> Int64:
        """Positions in the pair to label, in this order; at most the budget."""
        return self.order[: self.budget]

    @property
    def exact(self) -> bool:
        """Whether the labels that can matter fit in the budget: then the file's answer will be exact."""
        return self.needed <= len(self.indices)

    @property
    def tails(self) -> tuple[float, float]:
        """Failure probability of the lower and of the upper end of an interval."""
        return (0.0, self.delta) if self.end == "upper" else (one_side(self.delta), one_side(self.delta))
