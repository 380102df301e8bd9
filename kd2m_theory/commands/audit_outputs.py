"""What `kd2m audit` and `kd2m report` share: the files that they write of an audit, what they print, and their exit status."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from kd2m_theory.terminal import console

if TYPE_CHECKING:
    from kd2m_theory.reporting.report import AuditReport


def check_outputs(figure: Path | None, report: Path | None, samples: Path | None) -> None:
    """Refuse, before any work is done, files that could not be written.

    Raises:
        InputError: an unknown ending, a folder, or a folder that does not exist.
    """
    from kd2m_theory.reporting.report import check_figure, check_page, check_samples

    if figure is not None:
        check_figure(figure)
    if report is not None:
        check_page(report)
    if samples is not None:
        check_samples(samples)


def finish(found: "AuditReport", figure: Path | None, report: Path | None, command: str | None, samples: Path | None) -> None:
    """Write the files, print the audit, and end with status 1 if a bound is violated.

    Args:
        found: the audit.
        figure: where its picture goes, if anywhere.
        report: where its page goes, if anywhere.
        command: what was typed to compute the audit, for the page; None if it is not known.
        samples: where the samples that carry most of the gap go, if anywhere.
    """
    if figure is not None:
        found.plot(figure)
    if report is not None:
        found.to_html(report, command)
    if samples is not None:
        found.save_samples(samples)
    console().print(found)
    if found.violations:
        raise typer.Exit(1)
