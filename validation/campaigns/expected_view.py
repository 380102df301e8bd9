"""What a campaign is expected to take, as a table and in words."""

from kd2m_theory.reporting.sections import Cell, Column, Line, Section, Table, paragraph
from kd2m_theory.validation.campaigns.expected import Expected
from kd2m_theory.words import counted, number

_UNITS = (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0))


def expected_sections(found: Expected, workers: int) -> list[Section]:
    """The sentence first, then the table of the work.

    Args:
        found: the estimate.
        workers: processes that share the work.
    """
    lines = tuple(
        Line(
            (
                item.kind,
                item.words,
                Cell(f"{item.times:,}", item.times),
                Cell(number(item.seconds, 2), item.seconds),
                Cell(number(item.total / 3600, 2), item.total / 3600),
            )
        )
        for item in found.items
    )
    columns = (
        Column("work"),
        Column("of", folds=True),
        Column("times", numeric=True),
        Column("seconds each", numeric=True),
        Column("hours", numeric=True),
    )
    shared = "" if found.device == "cpu" else f", with networks on one {found.device} that they share"
    together = (
        f"expected: {duration(found.wall_clock(workers))} with {counted(workers, 'worker')}{shared}; "
        f"{duration(found.total)} of work in all; right to a factor of about three"
    )
    notes = (
        "Training: three steps of each kind were timed on this machine, now, with one thread and fresh weights. "
        "Audits: counted from sizes at the measured rates of this machine. Nothing was written."
    )
    return [
        Section(title="", parts=(paragraph(together, tone="strong"),)),
        Section(title="", parts=(Table(name="expected work", columns=columns, lines=lines),)),
        Section(title="", parts=(paragraph(notes, tone="muted"),)),
    ]


def duration(seconds: float) -> str:
    """Seconds in a unit that a person would choose.

    Example:
        >>> duration(5.0), duration(600.0), duration(100_000.0)
        ('5 seconds', '10 minutes', '28 hours')
    """
    for unit, size in _UNITS:
        if seconds >= 2 * size:
            return f"{number(seconds / size, 2)} {unit}"
    return f"{number(seconds, 2)} seconds"
