"""`kd2m audit`: measure a pair and evaluate every bound on it."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kd2m_theory.commands.audit_outputs import STANDARD, All, Figure, MaxErrorGap, MaxGap, Outputs, Page, Samples
from kd2m_theory.terminal import complain, show, watched

if TYPE_CHECKING:
    from kd2m_theory.bounds.work import Estimate

_KNOWN = (
    "at most 0.3 or 0.2:0.3 on these inputs, population:0.3, a labelled pair (.safetensors, .npz, .csv, .parquet), or a .json "
    "{class: …}."
)


def audit(
    pair: Annotated[
        Path,
        typer.Argument(
            metavar="PAIR",
            help="A pair as .safetensors or .npz, or predictions as .csv or .parquet; a shard, a folder of shards or a quoted "
            "pattern ('preds-*.parquet') for a pair in several files.",
            show_default=False,
        ),
    ],
    delta: Annotated[float, typer.Option(help="Failure probability of everything guaranteed, together.")] = 0.05,
    align: Annotated[
        Path | None,
        typer.Option(metavar="PAIR", help="Fit an affine map of student features on this other pair, for another dimension."),
    ] = None,
    loss_bound: Annotated[float | None, typer.Option(help="Clip cross-entropy here in rows about the population.")] = None,
    head_lipschitz: Annotated[float | None, typer.Option(help="Lipschitz constant of a shared nonlinear head.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Temperature of the transformed teacher in T9.ttm.")] = None,
    vouch: Annotated[
        list[str] | None, typer.Option(help="'gaussian classes' (T7.gaussian), 'teacher labels' (T9.kl_teacher).")
    ] = None,
    whole_cloud: Annotated[
        bool | None,
        typer.Option(
            "--whole-cloud/--no-whole-cloud", help="Solve T3 and T4; by default up to 2,000 samples.", show_default=False
        ),
    ] = None,
    teacher_risk: Annotated[
        str | None,
        typer.Option(
            metavar="KNOWN", help=f"The teacher's cross-entropy in nats: {_KNOWN} For T0.teacher_risk, F3.teacher_risk."
        ),
    ] = None,
    teacher_error: Annotated[
        str | None,
        typer.Option(metavar="KNOWN", help="The teacher's error rate, likewise. For T0.teacher_error, F3.teacher_error."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="ROW", help="Compute this row, and others named so; they share delta alone.")
    ] = None,
    rows: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE:ROW", help="A bound of your own, or a list of them; repeat for several. Runs the module's code."
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            help="Begin no further row after so many seconds; the report then depends on the machine. No limit by default.",
            show_default=False,
        ),
    ] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Print the time and memory that each row is expected to take, and compute none.")
    ] = False,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report as JSON; - prints it, and nothing else.")
    ] = None,
    figure: Figure = None,
    report: Page = None,
    samples: Samples = None,
    every_row: All = False,
    max_error_gap: MaxErrorGap = None,
    max_gap: MaxGap = None,
) -> None:
    """Measure a pair, evaluate every bound on it, and say whether the student is worse, by how much, and how sure that is.

    Ctrl-C ends the computation and not the command: the rows that are there are reported; a second Ctrl-C ends it at once.

    Exit status: 0 if every guaranteed bound holds and every tolerance is met, 1 if a bound is violated, 2 if the input is at
    fault, 3 if a tolerance is not met, 4 if these samples cannot decide whether it is, 130 if it was interrupted.
    """
    from kd2m_theory.bounds.own_rows import named_rows
    from kd2m_theory.files import check_distinct
    from kd2m_theory.pair import Pair
    from kd2m_theory.reporting.report import audit as run_audit

    outputs = Outputs(
        page=report,
        figure=figure,
        samples=samples,
        json=json,
        every_row=every_row,
        max_error_gap=max_error_gap,
        max_gap=max_gap,
    )
    check_distinct(
        PAIR=pair, align=align, json=None if json == STANDARD else json, figure=figure, report=report, samples=samples
    )
    outputs.check()
    found = run_audit(
        Pair.load(pair),
        delta,
        only=only or None,
        rows=named_rows(rows or ()),
        align=None if align is None else Pair.load(align),
        loss_bound=loss_bound,
        head_lipschitz=head_lipschitz,
        temperature=temperature,
        vouch=vouch or (),
        whole_cloud=whole_cloud,
        teacher_risk=_known(teacher_risk, "teacher-risk"),
        teacher_error=_known(teacher_error, "teacher-error"),
        seconds=seconds,
        partial=True,
        watch=lambda rows: watched(rows, "auditing", lambda row: row.name),
        announce=_print_estimate if estimate else _warn_of_long_work,
    )
    outputs.finish(found, shlex.join(["kd2m", *sys.argv[1:]]))


def _print_estimate(expected: "Estimate") -> None:
    """Print the table of an estimate, and end.

    Raises:
        Exit: always.
    """
    from kd2m_theory.reporting.estimate_view import estimate_sections
    from kd2m_theory.reporting.terminal_view import printed

    show(printed(estimate_sections(expected)))
    raise typer.Exit


def _warn_of_long_work(expected: "Estimate") -> None:
    """Say on standard error what the audit is expected to take, if that is long, or near the memory that there is."""
    from kd2m_theory.reporting.estimate_view import announcement

    words = announcement(expected)
    if words:
        complain(words)


def _known(words: str | None, option: str) -> Any:
    """What an option says of the teacher: a number, an interval, either of them of the population, or a file."""
    from kd2m_theory.bounds import Known
    from kd2m_theory.errors import InputError
    from kd2m_theory.files import read_json
    from kd2m_theory.pair import Pair
    from kd2m_theory.shards import PAIRS, names_pair

    if words is None:
        return None
    path = Path(words)
    if names_pair(path) or path.is_dir():
        return Pair.load(path)
    rest = words.removeprefix("population:")
    if rest.endswith(".json"):
        table = read_json(Path(rest), f"{rest} says nothing of the teacher")
        value: Any = {int(key) if key.isdecimal() else key: each for key, each in table.items()}
    else:
        try:
            ends = [float(each) for each in rest.split(":")]
        except ValueError:
            raise InputError(
                f"--{option} is {words!r}; give a number, low:high, population:number, or a file ({', '.join(PAIRS)}, .json)"
            ) from None
        value = ends[0] if len(ends) == 1 else ends
    return value if words == rest else Known(value, about="population")
