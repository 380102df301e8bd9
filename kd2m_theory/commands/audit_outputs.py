"""What `kd2m audit` and `kd2m report` share: what they print and write of an audit, tolerances, and the exit status."""

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kd2m_theory.terminal import show

if TYPE_CHECKING:
    from kd2m_theory.reporting.report import AuditReport

# In place of a file: standard output.
STANDARD = Path("-")

Page = Annotated[Path | None, typer.Option("--report", metavar="FILE", help="Write the report as one web page (.html).")]
Figure = Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the ladder (.png, .svg, .pdf).")]
Samples = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the samples that carry most of the gap (.csv); needs labels.")
]
All = Annotated[bool, typer.Option("--all", help="Print every measured value and every row.")]
MaxErrorGap = Annotated[
    float | None,
    typer.Option(metavar="SHARE", help="Largest accepted difference of error rates on the population: 0.02 for 2 points."),
]
MaxGap = Annotated[
    float | None,
    typer.Option(metavar="NATS", help="Largest accepted difference of clipped cross-entropy on the population: 0.1 nats."),
]


@dataclass(frozen=True, slots=True)
class Outputs:
    """What was asked for.

    Attributes:
        page: where the page goes, if anywhere.
        figure: where the picture goes.
        samples: where the samples that carry most of the gap go.
        json: where the report goes as JSON; "-" is standard output, on which nothing else is then printed.
        every_row: whether every row is printed, or the first screen.
        max_error_gap: tolerance of the difference of error rates.
        max_gap: tolerance of the difference of cross-entropy, nats.
    """

    page: Path | None
    figure: Path | None
    samples: Path | None
    json: Path | None
    every_row: bool
    max_error_gap: float | None
    max_gap: float | None

    def check(self) -> None:
        """Refuse, before any work is done, files that could not be written and tolerances that no difference can have.

        Raises:
            InputError: an unknown ending, a folder, a folder that does not exist, or a number out of range.
        """
        from kd2m_theory.files import check_writable
        from kd2m_theory.reporting.report import check_figure, check_page, check_samples
        from kd2m_theory.reporting.tolerance import check_tolerances

        if self.page is not None:
            check_page(self.page)
        if self.figure is not None:
            check_figure(self.figure)
        if self.samples is not None:
            check_samples(self.samples)
        if self.json not in (None, STANDARD):
            check_writable(self.json)
        check_tolerances(self.max_error_gap, self.max_gap)

    def finish(self, found: "AuditReport", command: str | None) -> None:
        """Write the files, print the audit, and end with its status.

        Args:
            found: the audit.
            command: what was typed to compute the audit, for the page; None if it is not known.

        Raises:
            Exit: 130 if the audit was computed here and interrupted; else 1 if a bound is violated, 3 if a tolerance is not
                met, 4 if one is undecided.
        """
        from kd2m_theory.bounds.result import INTERRUPTED
        from kd2m_theory.files import json_bytes
        from kd2m_theory.reporting.first_screen import first_sections
        from kd2m_theory.reporting.summary import every_row_sections
        from kd2m_theory.reporting.terminal_view import printed
        from kd2m_theory.reporting.tolerance import exit_status

        if self.figure is not None:
            found.plot(self.figure)
        if self.page is not None:
            found.to_html(self.page, command)
        if self.samples is not None:
            found.save_samples(self.samples)
        data, within = found.to_dict(), found.within(max_error_gap=self.max_error_gap, max_gap=self.max_gap)
        if self.json == STANDARD:
            typer.echo(json_bytes(data, indent=2).decode(), nl=False)
        else:
            if self.json is not None:
                found.to_json(self.json)
            shown = every_row_sections(data, within) if self.every_row else first_sections(data, within)
            show(printed(shown))
        status = 1 if found.violations else exit_status(within)
        if command is not None and any(row.why == INTERRUPTED for row in found.not_computed):
            status = 128 + signal.SIGINT
        if status:
            raise typer.Exit(status)
