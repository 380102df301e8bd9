"""The ladder of a student distilled on the digits: every bound on its gap, beside the measured gap."""

from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.reporting.ladder import TITLES, draw


def table() -> Table:
    """The demonstration's audit of the student distilled with CW₂: half a minute of training.

    Raises:
        MissingDependencyError: scikit-learn, which has the images, is not installed.
    """
    from kd2m_theory.validation.training import demo

    report = demo.run(seed=0, device="cpu", watch=demo.unwatched).reports["cw2"].to_dict()
    rows = [row for row in report["rows"] if row["target"] in TITLES]
    return {"measured": report["measured"], "rows": [{name: row[name] for name in row if name != "seconds"} for row in rows]}


FIGURE = PaperFigure(
    name="ladder",
    sentence="every bound on the gap of a student distilled on the digits, beside the measured gap",
    source="ours",
    table=table,
    draw=draw,
)
