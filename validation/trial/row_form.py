"""A row of an audit as a form that the falsifier can climb: what the row says is computed by the audit itself."""

from collections.abc import Callable

import torch

from kd2m_theory.bounds import ROWS, BoundResult, Ladder, Row
from kd2m_theory.bounds.targets import SUBJECTS
from kd2m_theory.errors import InputError
from kd2m_theory.theory.examples import MOVES, own_head
from kd2m_theory.theory.instance import Instance, random_instance
from kd2m_theory.theory.statement import Form, Sides, Witness
from kd2m_theory.validation.trial.agreement import pair_of

# Failure probability; rows about the sample spend none.
_DELTA = 0.05


def form_of(row: Row) -> tuple[Form, Callable[[Instance], bool]]:
    """A form without gradient, and whether the row promises something on an instance.

    The sides are those of the audit, wider by the rounding of what it measures.

    Args:
        row: about the sample, of the package or one's own.

    Raises:
        InputError: the row is about the population or about labels drawn for the inputs: no sample can refute it.
    """
    about = SUBJECTS[row.target].about
    if about != "sample":
        raise InputError(
            f"row {row.name} is about {'the population' if about == 'population' else 'the mean over drawn labels'}, which no "
            "sample can refute; count how often it misses on samples of a population that is known"
        )
    last: list[tuple[Instance, BoundResult]] = []

    def result(x: Instance) -> BoundResult:
        if not last or last[0][0] is not x:  # asked for twice: whether it is allowed, and what its ratio is
            own = () if row in ROWS else (row,)
            last[:] = [(x, Ladder(pair_of(x), _DELTA, [row.name], rows=own).evaluate()[0])]
        return last[0][1]

    def promises(x: Instance) -> bool:
        found = result(x)
        return found.guaranteed and found.measured is not None

    def sides(x: Instance) -> Sides:
        found = result(x)
        assert found.measured is not None
        gap, upper, lower = found.measured, found.upper + found.rounding, found.lower - found.rounding
        return Sides(*(torch.tensor(value, dtype=torch.float64) for value in (gap, upper, lower)))

    heads = row.space == "logits"

    def start(generator: torch.Generator) -> Instance:
        return random_instance(generator, own_head=heads)

    form = Form(
        name=row.name,
        constant="that of the row",
        sides=sides,
        witness=Witness("none is known", own_head, reaches=0.0, reason="a row says nothing about where it is attained"),
        start=start,
        free=(*MOVES, "own") if heads else MOVES,
        latex=row.latex or row.statement,
    )
    return form, promises
