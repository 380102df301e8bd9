"""`kd2m report`: show an audit that was stored as JSON."""

from pathlib import Path
from typing import Annotated

import typer

from kd2m_theory.commands.audit_outputs import All, Figure, MaxErrorGap, MaxGap, Outputs, Page, Samples


def report(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An audit as JSON, from kd2m audit --json.", show_default=False)],
    page: Page = None,
    figure: Figure = None,
    samples: Samples = None,
    every_row: All = False,
    max_error_gap: MaxErrorGap = None,
    max_gap: MaxGap = None,
) -> None:
    """Print a stored audit as `kd2m audit` did, and write its page or its picture. Verdict and violations are computed again.

    Exit status: 0 if every guaranteed bound holds and every tolerance is met, 1 if a bound is violated, 2 if the file is not an
    audit or contradicts itself, 3 if a tolerance is not met, 4 if the audit cannot decide whether it is.
    """
    from kd2m_theory.files import check_distinct
    from kd2m_theory.reporting.report import AuditReport

    outputs = Outputs(
        page=page,
        figure=figure,
        samples=samples,
        json=None,
        every_row=every_row,
        max_error_gap=max_error_gap,
        max_gap=max_gap,
    )
    check_distinct(FILE=file, report=page, figure=figure, samples=samples)
    outputs.check()
    outputs.finish(AuditReport.from_json(file), None)
