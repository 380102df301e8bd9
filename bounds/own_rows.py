"""Rows of users: what an audit refuses before it computes with one."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from kd2m_theory.bounds.rows.row import Row, Sides
from kd2m_theory.bounds.targets import SUBJECTS
from kd2m_theory.bounds.view import View
from kd2m_theory.errors import InputError
from kd2m_theory.estimators import Enclosure
from kd2m_theory.named_code import named_object


def own_rows(rows: Iterable[Row], shipped: Sequence[Row], measured: Iterable[str]) -> tuple[Row, ...]:
    """Rows of a user's own, ready to stand beside those of the package.

    Args:
        rows: of the user.
        shipped: rows of the package.
        measured: limits of the intervals of measured values.

    Raises:
        InputError: what is not a `Row`; a name that another row has; a limit of the package's (it would be paid for once and
            used for two statements); a row about the population without limits, of which no assumption is vouched for.
    """
    if isinstance(rows, Row):
        rows = (rows,)
    try:
        found = tuple(rows)
    except TypeError:
        raise InputError(f"rows is a {type(rows).__name__}; pass a list of kd2m_theory.bounds.Row") from None
    names, limits = {row.name for row in shipped}, {limit for row in shipped for limit in row.limits} | {*measured}
    seen: set[str] = set()
    for k, row in enumerate(found):
        if not isinstance(row, Row):
            raise InputError(f"rows[{k}] is a {type(row).__name__}; pass a kd2m_theory.bounds.Row")
        if row.name in names | seen:
            whose = "of this package" if row.name in names else "twice in rows"
            raise InputError(f"row {row.name} is {whose}; give yours another name")
        seen.add(row.name)
        taken = sorted(limits & {*row.limits})
        if taken:
            raise InputError(
                f"row {row.name} reads the limit {taken[0]!r}, which is a statement of this package's; name the limits after "
                f"the row, as two_limits({row.name!r}) does"
            )
        if SUBJECTS[row.target].about == "population" and not row.limits and not row.vouched_for:
            raise InputError(
                f"row {row.name} is about the population and names no limits; name each side that may be wrong by chance, such "
                f"as limits=two_limits({row.name!r}), and compute it at failure probability view.tail"
            )
    return tuple(map(_in_numbers, found))


def named_rows(targets: Iterable[str]) -> tuple[Row, ...]:
    """The rows that "module:name" names, each one row or a list of them; modules of the working folder are found too.

    Raises:
        InputError: not of that form, no such module or name, a module that fails when imported, or something else than rows.
    """
    rows: list[Row] = []
    for target in targets:
        found = named_object(target, "row", "my_bounds:ROW")
        several = tuple(found) if isinstance(found, list | tuple) else (found,)
        if not several or not all(isinstance(each, Row) for each in several):
            kinds = ", ".join(sorted({type(each).__name__ for each in several if not isinstance(each, Row)})) or "nothing"
            inside = f"a {type(found).__name__} of {kinds}" if isinstance(found, list | tuple) else f"a {kinds}"
            raise InputError(f"{target} is {inside}; name a kd2m_theory.bounds.Row, or a list of them")
        rows += several
    return tuple(rows)


def _in_numbers(row: Row) -> Row:
    """The row, refused for a sample on which it returns something else than numbers."""

    def compute(view: View) -> Sides:
        sides = row.compute(view)
        if not isinstance(sides, Sides):
            raise TypeError(f"compute returned a {type(sides).__name__}; return kd2m_theory.bounds.Sides")
        wrong = [key for key, value in sides.distances.items() if not isinstance(value, Enclosure)]
        if wrong:
            raise TypeError(f"distances[{wrong[0]!r}] is not an Enclosure; further numbers belong in details")
        details = {str(key): float(value) for key, value in sides.details.items()}
        lost = [key for key, value in details.items() if not value > -math.inf]  # a report keeps neither NaN nor −∞ of them
        if lost:
            raise ValueError(f"details[{lost[0]!r}] is {details[lost[0]]:g}; give a number, or leave it out")
        return Sides(
            lower=float(sides.lower),
            upper=float(sides.upper),
            distances={str(key): value for key, value in sides.distances.items()},
            details=details,
        )

    return replace(row, compute=compute)
