"""The two students of the demonstration and their teacher: every difference with its interval."""

from kd2m_theory.errors import InputError
from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.reporting.comparison_picture import draw
from kd2m_theory.validation.training.demo_table import COMPARISON, Report

# What the picture shows of an interval.
_SHOWN = ("value", "lower", "upper")


def table(comparison: Report) -> Table:
    """What the picture shows of a comparison: its differences, and what is decided; and what was measured of each network.

    Raises:
        InputError: the comparison lacks something that is shown.
    """
    try:
        differences = [
            {"first": each["first"], "second": each["second"]}
            | {measure: {end: each[measure][end] for end in _SHOWN} for measure in ("errors", "cross_entropy")}
            for each in comparison["differences"]
        ]
        networks = [dict(each) for each in comparison["networks"]]
        return {"networks": networks, "differences": differences, "surely_better": comparison["surely_better"]}
    except (KeyError, TypeError) as error:
        raise InputError(f"this is not a comparison of students ({error}); write it again with `kd2m demo`") from None


def caption(table: Table) -> str:
    """How to read it, and what is decided."""
    count = sum(map(len, table["surely_better"].values()))
    return (
        "Every difference of two networks on the population, first less second: the dot is that of the samples, the line the "
        "interval, and all intervals hold together. Green where Holm's method decides the sign, grey where it does not: "
        f"{count} of {2 * len(table['differences'])} are decided."
    )


FIGURE = PaperFigure(
    name="students",
    sentence="the two students of the demonstration and their teacher: every difference with its interval",
    source="ours",
    table=table,
    draw=draw,
    caption=caption,
    reads=(COMPARISON,),
)
