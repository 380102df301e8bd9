"""`kd2m report`: show an audit or a comparison that was stored as JSON."""

from pathlib import Path
from typing import Annotated

import typer

from kd2m_theory.commands.audit_outputs import All, Figure, MaxErrorGap, MaxGap, Outputs, Page, Samples
from kd2m_theory.commands.comparison_outputs import ComparisonOutputs
from kd2m_theory.words import listed


def report(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="An audit or a comparison as JSON, from --json.", show_default=False)
    ],
    page: Page = None,
    figure: Figure = None,
    samples: Samples = None,
    every_row: All = False,
    max_error_gap: MaxErrorGap = None,
    max_gap: MaxGap = None,
) -> None:
    """Print a stored audit or comparison again, and write its page or its picture. Verdicts are computed again.

    Of a comparison there are only --report, --figure and --all.

    Exit status: 0 if every guaranteed bound holds and every tolerance is met, 1 if a bound is violated, 2 if the file is
    neither an audit nor a comparison or contradicts itself, 3 if a tolerance is not met, 4 if the audit cannot decide that.
    """
    from kd2m_theory.errors import InputError
    from kd2m_theory.files import check_distinct, read_json
    from kd2m_theory.reporting.comparison import StudentComparison
    from kd2m_theory.reporting.comparison_stored import SCHEMA
    from kd2m_theory.reporting.report import AuditReport
    from kd2m_theory.shards import names_pair

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
    if names_pair(file):
        raise InputError(f"{file} is a pair, or predictions; audit it first: kd2m audit {file} --json report.json")
    if read_json(file, f"{file} is neither an audit nor a comparison").get("schema") != SCHEMA:
        outputs.finish(AuditReport.from_json(file), None)
        return
    of_audits = {"--samples": samples, "--max-error-gap": max_error_gap, "--max-gap": max_gap}
    asked = [option for option, value in of_audits.items() if value is not None]
    if asked:
        raise InputError(f"{file} is a comparison of students; {listed(asked)} {'is' if len(asked) == 1 else 'are'} for audits")
    outputs_of_it = ComparisonOutputs(page=page, figure=figure, json=None, every_difference=every_row)
    outputs_of_it.finish(StudentComparison.from_json(file), None)
