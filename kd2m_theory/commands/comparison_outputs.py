"""What `kd2m compare` and `kd2m report` share of a comparison: what they print and write."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from kd2m_theory.commands.audit_outputs import STANDARD
from kd2m_theory.terminal import show

if TYPE_CHECKING:
    from kd2m_theory.reporting.comparison import StudentComparison


@dataclass(frozen=True, slots=True)
class ComparisonOutputs:
    """What was asked for.

    Attributes:
        page: where the page goes, if anywhere.
        figure: where the picture goes.
        json: where the comparison goes as JSON; "-" is standard output, on which nothing else is then printed.
        every_difference: whether every difference is printed, or what fits on a screen.
    """

    page: Path | None
    figure: Path | None
    json: Path | None
    every_difference: bool

    def check(self) -> None:
        """Refuse, before any work is done, files that could not be written.

        Raises:
            InputError: an unknown ending, a folder, or a folder that does not exist.
        """
        from kd2m_theory.files import check_writable
        from kd2m_theory.reporting.report import check_figure, check_page

        if self.json not in (None, STANDARD):
            check_writable(self.json)
        if self.figure is not None:
            check_figure(self.figure)
        if self.page is not None:
            check_page(self.page)

    def finish(self, found: "StudentComparison", command: str | None) -> None:
        """Write the files, and print the comparison.

        Args:
            found: the comparison.
            command: what was typed to compute it, for the page; None if it is not known.
        """
        from kd2m_theory.files import json_bytes
        from kd2m_theory.reporting.comparison_sections import summary_sections
        from kd2m_theory.reporting.terminal_view import printed

        if self.figure is not None:
            found.plot(self.figure)
        if self.page is not None:
            found.to_html(self.page, command)
        if self.json == STANDARD:
            typer.echo(json_bytes(found.to_dict(), indent=2).decode(), nl=False)
            return
        if self.json is not None:
            found.to_json(self.json)
        show(printed(summary_sections(found.to_dict(), every_difference=self.every_difference)))
