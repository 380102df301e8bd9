"""`kd2m metric`: test a distance of your own."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from kd2m_theory.terminal import show

if TYPE_CHECKING:
    from kd2m_theory.estimators.axioms import MetricReport
    from kd2m_theory.reporting.sections import Section

metric = typer.Typer(no_args_is_help=True, help="Test a distance of your own.")


@metric.callback()
def _metric() -> None:
    """Keep `check` as a subcommand."""


@metric.command("check")
def metric_check(
    target: Annotated[
        str, typer.Argument(metavar="MODULE:FUNCTION", help="Called with two clouds, n x d and m x d.", show_default=False)
    ],
    expect: Annotated[str, typer.Option(help="'metric', 'squared' or 'divergence'.")] = "metric",
    examples: Annotated[int, typer.Option(help="Clouds tried for each axiom.")] = 200,
    seed: Annotated[int, typer.Option(help="Random seed of the search.")] = 0,
    equal_sizes: Annotated[bool, typer.Option("--equal-sizes", help="Both clouds have the same number of points.")] = False,
    paired: Annotated[bool, typer.Option("--paired", help="Row i of one belongs to row i of the other.")] = False,
    labels: Annotated[bool, typer.Option("--labels", help="Called with classes as third and fourth argument.")] = False,
    batched: Annotated[bool, typer.Option("--batched", help="Called with B x n x d and B x m x d; returns B values.")] = False,
    gradient: Annotated[bool, typer.Option("--gradient", help="Compare torch's gradient with finite differences.")] = False,
    arrays: Annotated[
        str | None,
        typer.Option(help="Call it with 'numpy' arrays or 'torch' tensors; by default what it takes.", show_default=False),
    ] = None,
    large: Annotated[
        int | None,
        typer.Option(metavar="N", help="Measure memory on clouds of N points, 400 or more, and of N / 4.", show_default=False),
    ] = None,
    tolerance: Annotated[float, typer.Option(help="Relative error that is allowed.")] = 1e-6,
) -> None:
    """Look for clouds on which a distance breaks its axioms, and print the smallest.

    Exit status: 0 if no axiom fails, 1 if one does, 2 if the input is at fault.
    """
    from kd2m_theory.estimators.axioms import check_metric, load_callable
    from kd2m_theory.reporting.terminal_view import printed

    report = check_metric(
        load_callable(target),
        expect=expect,  # type: ignore[arg-type]  # check_metric refuses other words
        examples=examples,
        seed=seed,
        equal_sizes=equal_sizes,
        paired=paired,
        labels=labels,
        batched=batched,
        gradient=gradient,
        arrays=arrays,  # type: ignore[arg-type]  # here too
        large=large,
        tolerance=tolerance,
    )
    show(printed(_sections(report)))
    if not report.passed:
        raise typer.Exit(1)


def _sections(report: "MetricReport") -> "Iterator[Section]":
    """Sentences, a row for each axiom, and what breaks those that fail."""
    from kd2m_theory.reporting.sections import Code, Column, Line, Section, Table, paragraph

    if report.sentences:
        yield Section(title="", parts=tuple(map(paragraph, report.sentences)))
    headings = Column("axiom"), Column("result"), Column("examples", numeric=True), Column("measured", folds=True)
    lines = tuple(Line(cells, tone="alarm" if cells[1] == "FAILS" else "plain") for cells in report.cells())
    yield Section(title="", parts=(Table(name="axioms", columns=headings, lines=lines),))
    for result in report.failures:
        yield Section(title=f"{result.name} fails:", parts=(Code(str(result.counterexample), "python"),))
