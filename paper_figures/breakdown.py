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
    found = report.get("breakdown") or {}
    try:
        return {"breakdown": {name: found[name] for name in _SHOWN}}
    except (KeyError, TypeError):
        raise InputError(
            "the report has no breakdown, which audits of earlier versions do not have; write it again with `kd2m audit --json`"
        ) from None


def caption(table: Table) -> str:
    """How to read it, and the class that contributes most."""
    found = table["breakdown"]
    most = found["classes"][0]
    name = found["names"].get(str(most["label"]), f"class {most['label']}")
    return (
        "Panel a: what each class contributes to the gap of cross-entropy (orange: the student is worse, green: better); "
        f"most, {most['gap']:.3g} nats, is {name}. Panel b: samples that the teacher gets right and the student does not, by "
        "true and predicted class. Panel c: accuracy against confidence in bins of equally many samples: on the dashed line a "
        "network is calibrated, below it over-confident."
    )


FIGURE = PaperFigure(
    name="breakdown",
    sentence="where the gap of a student distilled on the digits comes from: classes, confusions, reliability",
    source="ours",
    table=table,
    draw=draw,
    caption=caption,
    reads=(REPORTS["alone"],),
)
