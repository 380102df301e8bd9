"""`kd2m label`: which inputs to label, and what their labels say."""

from pathlib import Path
from typing import Annotated

import typer

from kd2m_theory.terminal import say, tell

label = typer.Typer(no_args_is_help=True, help="Which inputs to label, and what their labels say.")


@label.command("plan")
def label_plan(
    pair: Annotated[Path, typer.Argument(metavar="PAIR", help="A pair (.safetensors or .npz).", show_default=False)],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Write the plan (.json).", show_default=False)],
    budget: Annotated[int, typer.Option(help="Labels to plan for.")] = 100,
    target: Annotated[
        str, typer.Option(help="'gap' for the difference of cross-entropies, 'error' for that of error rates.")
    ] = "gap",
    delta: Annotated[float, typer.Option(help="Failure probability of each interval.")] = 0.05,
    end: Annotated[str, typer.Option(help="'both', or 'upper' to spend all on how much worse the student can be.")] = "both",
    loss_bound: Annotated[
        float | None,
        typer.Option(help="Cross-entropy is clipped here, in nats; chosen before the sample.", show_default="2 ln K"),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write a table index,label to fill in, in drawing order.")
    ] = None,
) -> None:
    """Draw the inputs of a pair to label. Labels in the pair are not looked at.

    Exit status: 0 if the plan was written, 2 if the input is at fault.
    """
    from kd2m_theory.bounds.labelling.label_file import write_template
    from kd2m_theory.bounds.labelling.plan import label_plan as draw
    from kd2m_theory.errors import InputError
    from kd2m_theory.files import check_distinct, check_writable
    from kd2m_theory.pair import Pair

    check_distinct(PAIR=pair, out=out, csv=csv)
    for path in (out, csv):
        if path is not None:
            check_writable(path)
    if out.exists():
        raise InputError(f"{out} exists; drawing again after a label was seen voids the level. Name another file, or remove it")
    plan = draw(Pair.load(pair), budget, target, delta, end=end, loss_bound=loss_bound)  # type: ignore[arg-type]
    if csv is not None:
        write_template(plan, csv)
    plan.save(out)
    tell(str(plan))
    say(f"plan: {out}" + ("" if csv is None else f"\ntable to fill in: {csv}"))


@label.command("estimate")
def label_estimate(
    plan: Annotated[
        Path,
        typer.Argument(metavar="PLAN", help="From kd2m label plan; labels are recorded in it.", show_default=False),
    ],
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help="A table index,label (.csv).", show_default=False)],
) -> None:
    """Say what the labels so far show, and record them in the plan. Lines without a label are left out.

    Exit status: 0 if there is an estimate, 2 if the input is at fault.
    """
    from kd2m_theory.bounds.labelling.label_file import read_labels
    from kd2m_theory.bounds.labelling.plan import LabelPlan
    from kd2m_theory.files import check_distinct

    check_distinct(PLAN=plan, LABELS=labels)
    found = LabelPlan.load(plan)
    known = read_labels(labels)
    estimate = found.estimate(known)
    found.recorded(known).save(plan)
    tell(str(estimate))


@label.command("partly-labelled")
def partly_labelled(
    pair: Annotated[Path, typer.Argument(metavar="PAIR", help="A pair (.safetensors or .npz).", show_default=False)],
    labels: Annotated[
        Path, typer.Argument(metavar="LABELS", help="A table index,label (.csv) of some inputs.", show_default=False)
    ],
    chosen_at_random: Annotated[
        bool,
        typer.Option(
            "--chosen-at-random",
            help="The labelled inputs were chosen at random, without regard to their labels. Required if a label is missing "
            "that can matter.",
            show_default=False,
        ),
    ] = False,
    target: Annotated[
        str, typer.Option(help="'gap' for the difference of cross-entropies, 'error' for that of error rates.")
    ] = "gap",
    delta: Annotated[float, typer.Option(help="Failure probability of each interval.")] = 0.05,
    end: Annotated[
        str, typer.Option(help="'both', or 'upper' to spend all of δ on how much worse the student can be.")
    ] = "both",
    loss_bound: Annotated[
        float | None,
        typer.Option(help="Cross-entropy is clipped here, in nats; chosen before the sample.", show_default="2 ln K"),
    ] = None,
) -> None:
    """Say what the labels show that a file happens to have. Labels in the pair are not looked at.

    Exit status: 0 if there is an estimate, 2 if the input is at fault.
    """
    from kd2m_theory.bounds.labelling.label_file import read_labels
    from kd2m_theory.bounds.labelling.partly import partly_labelled as found
    from kd2m_theory.files import check_distinct
    from kd2m_theory.pair import Pair

    check_distinct(PAIR=pair, LABELS=labels)
    known = read_labels(labels)
    chosen = "at random" if chosen_at_random else None
    estimate = found(Pair.load(pair), known, target, delta, chosen=chosen, end=end, loss_bound=loss_bound)  # type: ignore[arg-type]
    tell(str(estimate))
