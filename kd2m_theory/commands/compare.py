"""`kd2m compare`: several students of one teacher on the same inputs."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from kd2m_theory.commands.audit_outputs import STANDARD
from kd2m_theory.commands.comparison_outputs import ComparisonOutputs
from kd2m_theory.shards import short_name


def compare(
    pairs: Annotated[
        list[Path],
        typer.Argument(
            metavar="PAIR…",
            help="A pair of each student (.safetensors, .npz, .csv, .parquet, or shards), all on the same inputs with the same "
            "teacher.",
            show_default=False,
        ),
    ],
    delta: Annotated[
        float, typer.Option(help="Failure probability of all intervals together, and of all decisions together.")
    ] = 0.05,
    names: Annotated[
        str | None,
        typer.Option(metavar="A,B,…", help="Names of the students, separated by commas; the files' own names by default."),
    ] = None,
    loss_bound: Annotated[
        float | None, typer.Option(help="Clip cross-entropy at this many nats; 2 ln K by default.", show_default=False)
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the comparison as JSON; - prints it, and nothing else.")
    ] = None,
    figure: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the differences (.png, .svg, .pdf).")] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the comparison as one web page (.html).")] = None,
    every_difference: Annotated[
        bool, typer.Option("--all", help="Print every decision and difference, also of more than four students.")
    ] = False,
) -> None:
    """Compare several students of one teacher on the same labelled inputs, and say which is surely better.

    Exit status: 0 if the students could be compared, 2 if the input is at fault.
    """
    from kd2m_theory.files import check_distinct
    from kd2m_theory.pair import Pair
    from kd2m_theory.reporting.comparison import compare as run_compare

    outputs = ComparisonOutputs(page=report, figure=figure, json=json, every_difference=every_difference)
    written = None if json == STANDARD else json
    check_distinct(**{f"PAIR {k}": pair for k, pair in enumerate(pairs, 1)}, json=written, figure=figure, report=report)
    outputs.check()
    called = _file_names(pairs) if names is None else [name.strip() for name in names.split(",")]
    found = run_compare([Pair.load(pair) for pair in pairs], delta, names=called, loss_bound=loss_bound)
    outputs.finish(found, shlex.join(["kd2m", *sys.argv[1:]]))


def _file_names(paths: list[Path]) -> list[str]:
    """Names of the files without their endings; with their folders where that does not tell them apart.

    Example:
        >>> _file_names([Path("a/pair.npz"), Path("b/pair.npz")]), _file_names([Path("a/one.npz"), Path("b/two.npz")])
        (['a/pair', 'b/pair'], ['one', 'two'])
    """
    short = [short_name(path) for path in paths]
    if len({*short}) == len(short):
        return short
    return [path.with_name(short_name(path)).as_posix() for path in paths]
