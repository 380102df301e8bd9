"""The ladder of a student distilled on the digits: every bound on its gap, beside the measured gap."""

from kd2m_theory.errors import InputError
from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.reporting.ladder import TITLES, draw
from kd2m_theory.validation.training.demo_table import REPORTS, Report

# What the picture shows of a row.
_SHOWN = (
    "name",
    "target",
    "lower",
    "upper",
    "measured",
    "vacuous_from",
    "status",
    "why",
    "guaranteed",
    "holds",
    "ratio",
)


def table(report: Report) -> Table:
    """The measured values of a report, and what the picture shows of its rows about gaps.

    Raises:
        InputError: the report's rows lack something that is shown.
    """
    try:
        rows = [{name: row[name] for name in _SHOWN} for row in report["rows"] if row["target"] in TITLES]
    except (KeyError, TypeError) as error:
        raise InputError(
            f"the rows of the report are not those of an audit ({error}); write it again with `kd2m demo`"
        ) from None
    return {"measured": report["measured"], "rows": rows}


def caption(table: Table) -> str:
    """How to read it, and the tightest row."""
    gap = table["measured"].get("gap")
    known = "" if gap is None else f" The measured gap is {gap['value']:.3g} nats."
    vacuous = sum(row["status"] == "vacuous" for row in table["rows"])
    return (
        f"Every row of an audit that bounds a gap, {len(table['rows'])} in all, {vacuous} of them vacuous; a line ends at "
        "the bound, in brackets bound / gap. The orange line is the measured gap, the orange band its confidence "
        f"interval; the grey area is no better than uniform guessing.{known}"
    )


FIGURE = PaperFigure(
    name="ladder",
    sentence="every bound on the gap of a student distilled on the digits, beside the measured gap",
    source="ours",
    table=table,
    draw=draw,
    caption=caption,
    reads=(REPORTS["cw2"],),
)
