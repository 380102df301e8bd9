"""What an audit is expected to take, in words and as a table."""

from kd2m_theory.bounds.work import Estimate
from kd2m_theory.memory import available_memory
from kd2m_theory.reporting.sections import Cell, Column, Line, Section, Table, paragraph
from kd2m_theory.words import counted, number

# Seconds beyond which an audit says beforehand what it is expected to take, and the share of the memory that is near all of it.
LONG, NEAR = 30.0, 0.7
_ROUGH = "within a factor of about three"


def announcement(expected: Estimate, available: int | None = None) -> str:
    """A line that says how long an audit is expected to take and the memory that it needs; empty if neither is much.

    Args:
        expected: the estimate.
        available: bytes of memory; those of the machine if None.

    Example:
        >>> from kd2m_theory.bounds.work import RowEstimate
        >>> rows = RowEstimate(name="T5", seconds=90.0, memory=6e9), RowEstimate(name="T4", seconds=40.0, memory=1e9)
        >>> print(announcement(Estimate(rows=rows, samples=1e9), available=8 * 10**9))
        expected: about 130 s for 2 rows (T5: 90 s), and 7 GB of 8 GB memory; Ctrl-C reports what is there
        >>> announcement(Estimate(rows=(), samples=1e9), available=8 * 10**9)
        ''
    """
    available = available_memory() if available is None else available
    scarce = available is not None and expected.memory > NEAR * available
    if expected.seconds <= LONG and not scarce:
        return ""
    said = []
    if expected.seconds > LONG:
        longest = max(expected.rows, key=lambda row: row.seconds)
        rows = counted(len(expected.rows), "row")
        said.append(f"about {_seconds(expected.seconds)} s for {rows} ({longest.name}: {_seconds(longest.seconds)} s)")
    if scarce:
        said.append(f"{_gigabytes(expected.memory)} GB of {_gigabytes(float(available or 0))} GB memory")
    return f"expected: {', and '.join(said)}; Ctrl-C reports what is there"


def estimate_sections(expected: Estimate) -> list[Section]:
    """The table of rows, in the order in which they run, and what they take together."""
    lines = tuple(
        Line((row.name, Cell(_seconds(row.seconds), row.seconds), Cell(_gigabytes(row.memory), row.memory)))
        for row in expected.rows
    )
    columns = (Column("row, in the order of work"), Column("seconds", numeric=True), Column("GB", numeric=True))
    together = (
        f"expected: {_seconds(expected.seconds)} s for {counted(len(expected.rows), 'row')}, and "
        f"{_gigabytes(expected.memory)} GB at once, samples included; {_ROUGH}"
    )
    notes = "Seconds of a row are what it adds: a distance that several rows read is counted for the first of them."
    available = available_memory()
    room = "" if available is None else f" This machine has {_gigabytes(float(available))} GB to give."
    return [
        Section(title="", parts=(paragraph(together, tone="strong"),)),
        Section(title="", parts=(Table(name="expected work", columns=columns, lines=lines),)),
        Section(title="", parts=(paragraph(f"{notes}{room}", tone="muted"),)),
    ]


def _seconds(value: float) -> str:
    return number(value, 2) if value >= 0.01 else "< 0.01"


def _gigabytes(value: float) -> str:
    return number(value / 1e9, 2) if value >= 1e7 else "< 0.01"
