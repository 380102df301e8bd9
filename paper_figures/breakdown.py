"""Where the gap of a student distilled on the digits comes from: classes, confusions, and reliability of both networks."""

from kd2m_theory.errors import InputError
from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.reporting.breakdown_picture import draw
from kd2m_theory.validation.training.demo_table import REPORTS, Report

# What the picture shows of a breakdown.
_SHOWN = ("by", "names", "classes", "other_classes", "confusions", "reliability")


def table(report: Report) -> Table:
    """What the picture shows of the breakdown of a report.

    Raises:
        InputError: the report has none, or another form.
    """
    found = report.get("breakdown")
    try:
        return {"breakdown": {name: found[name] for name in _SHOWN}}
    except (KeyError, TypeError):
        raise InputError(
            "the report has no breakdown, which audits of earlier versions do not have; write it again with `kd2m audit --json`"
        ) from None


FIGURE = PaperFigure(
    name="breakdown",
    sentence="where the gap of a student distilled on the digits comes from: classes, confusions, reliability",
    source="ours",
    table=table,
    draw=draw,
    reads=(REPORTS["alone"],),
)
