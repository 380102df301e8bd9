"""`kd2m report`: show an audit that was stored as JSON."""

from pathlib import Path
from typing import Annotated

import typer

from kd2m_theory.commands.audit_outputs import check_outputs, finish


def report(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An audit as JSON, from kd2m audit --json.", show_default=False)],
    page: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write the report as one web page (.html).")
    ] = None,
    figure: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the ladder (.png, .svg, .pdf).")] = None,
    samples: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the samples that carry most of the gap (.csv).")
    ] = None,
) -> None:
    """Print a stored audit as `kd2m audit` did, and write its page or its picture. Verdict and violations are computed again.

    Exit status: 0 if every guaranteed bound holds, 1 if one is violated, 2 if the file is not an audit or contradicts itself.
    """
    from kd2m_theory.files import check_distinct
    from kd2m_theory.reporting.report import AuditReport

    check_distinct(FILE=file, report=page, figure=figure, samples=samples)
    check_outputs(figure, page, samples)
    finish(AuditReport.from_json(file), figure, page, None, samples)
