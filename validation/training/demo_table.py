"""The table of the demonstration, and its part of the quick start: two reports side by side, just made or stored."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from kd2m_theory.bounds.targets import MEASURED
from kd2m_theory.errors import InputError
from kd2m_theory.files import read_json
from kd2m_theory.validation.stored_tables import StoredTable
from kd2m_theory.words import number, outward, rounded_up

Report = Mapping[str, Any]

STUDENTS = {"alone": "student alone", "cw2": "student with CW2"}
BEGIN, END = "<!-- demonstration: made of its reports -->", "<!-- end of demonstration -->"

_MEASURED = ("gap", "gap_shared_head", "head_mismatch", "accuracy_teacher", "accuracy_student", "disagreement")
_SHOWN = (
    "T2.spectral",
    "T2.cw2",
    "T1.l2",
    "T1.literal",
    "T1.head_aware",
    "T2.head_aware",
    "T3.directed",
    "T5",
    "T5.curved",
    "T5.sharp",
    "T2.logits.head_aware",
    "T0",
    "T5.logits.curved",
    "T5.logits.sharp",
    "T0.error",
)
_HOLDS = {True: "yes", False: "NO", None: "–"}
_WIDTH = 104  # of a terminal's table that goes to a file


def _read(path: Path) -> Report:
    complaint = f"{path} is not the report of an audit; write it again with `kd2m demo`"
    report: Report = read_json(path, complaint)
    if not isinstance(report.get("rows"), list) or not isinstance(report.get("measured"), Mapping):
        raise InputError(f"{complaint} (it has no rows or no measured values)")
    return report


def _read_comparison(path: Path) -> Report:
    complaint = f"{path} is not a comparison of students; write it again with `kd2m demo`"
    comparison: Report = read_json(path, complaint)
    if not isinstance(comparison.get("differences"), list):
        raise InputError(f"{complaint} (it has no differences)")
    return comparison


# Reports of the audits, as `kd2m demo` writes them into its folder; those that ship were made with seed 0 on a CPU.
REPORTS = {
    "alone": StoredTable(file="alone/report.json", command="kd2m demo", read=_read, shipped="demo-alone.json"),
    "cw2": StoredTable(file="report.json", command="kd2m demo", read=_read, shipped="demo-cw2.json"),
}

# The comparison of both students, as `kd2m demo` writes it.
COMPARISON = StoredTable(file="students.json", command="kd2m demo", read=_read_comparison, shipped="demo-students.json")


def heading() -> str:
    """One line: sizes of the networks, and what trains and what is audited."""
    from kd2m_theory.validation.populations.digits import CLASSES, IMAGE_SHAPE
    from kd2m_theory.validation.training.configuration import read_configuration
    from kd2m_theory.validation.training.networks import network, parameters

    plan = read_configuration("demo")
    large, small = (parameters(network(each.network, CLASSES, IMAGE_SHAPE, 0)) for each in (plan.teacher, plan.student))
    return f"teacher {large:,} parameters, students {small:,}; half of the digits trains, three tenths are audited"


def side_by_side(reports: Mapping[str, Report]) -> Table:
    """Measured values with intervals, then upper bound, ratio to the gap, and whether it holds.

    Args:
        reports: of one or both students, by name in `STUDENTS`, as `AuditReport.to_dict` or a stored report has them.
    """
    table = Table(box=None, pad_edge=False)
    table.add_column("measured", overflow="fold")
    students = [name for name in STUDENTS if name in reports]
    for name in students:
        table.add_column(STUDENTS[name], justify="right", no_wrap=True)
        table.add_column("interval", justify="right", no_wrap=True)
    chosen = [reports[name] for name in students]
    for name in _MEASURED:
        values = [report["measured"][name] for report in chosen]
        cells = (cell for each in values for cell in (number(each["value"]), _interval(each["lower"], each["upper"])))
        table.add_row(MEASURED[name], *cells)
    table.add_section()
    heads = [Text(words, style="bold") for words in ("", "× gap  holds")]
    table.add_row(Text("upper bound on the gap", style="bold"), *heads * len(students))
    by_name = [{row["name"]: row for row in report["rows"]} for report in chosen]
    for name in _SHOWN:
        rows = [each[name] for each in by_name]
        pairs = ((number(rounded_up(row["upper"], 4)), f"{number(row['ratio'], 3)}  {_HOLDS[row['holds']]:>5}") for row in rows)
        stated = "" if rows[0]["guaranteed"] else " (as stated)"
        table.add_row(f"{name}{stated}", *(cell for pair in pairs for cell in pair))
    return table


@dataclass(frozen=True, slots=True)
class Beside:
    """Students side by side, or one below the other where the terminal has no room for both.

    Attributes:
        reports: as `side_by_side` takes them.
    """

    reports: Mapping[str, Report]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = side_by_side(self.reports)
        if console.measure(table, options=options.update(width=_UNBOUNDED)).maximum <= options.max_width:
            yield table
            return
        for name, report in self.reports.items():
            yield side_by_side({name: report})


_UNBOUNDED = 1000  # characters: more than a table has


def block(tables: Path | None) -> str:
    """What the page shows of the demonstration, between its two marks.

    Raises:
        InputError: a report is not there, or is not one.
    """
    reports = {name: stored.read(stored.path(tables)) for name, stored in REPORTS.items()}
    console = Console(file=io.StringIO(), width=_WIDTH)
    with console.capture() as capture:
        console.print(side_by_side(reports))
    lines = [line.rstrip() for line in capture.get().splitlines()]
    return "\n".join([BEGIN, "", "```text", heading(), *lines, "```", "", END])


def _interval(lower: float, upper: float) -> str:
    low, high = outward(lower, upper)
    return f"[{number(low, 3)}, {number(high, 3)}]"
