"""`kd2m theory`: the theorems, and whether they hold."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from kd2m_theory.terminal import show, watched

if TYPE_CHECKING:
    from kd2m_theory.reporting.sections import Section

theory = typer.Typer(no_args_is_help=True, help="The theorems: what they say, whether they hold, whether they are sharp.")
_Seed = Annotated[int, typer.Option(help="Random seed of every search.")]


@theory.command("list")
def theory_list() -> None:
    """List the theorems."""
    from kd2m_theory.validation.trial.pages import listing

    _show(listing())


@theory.command("show")
def theory_show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A theorem (T2), or a row of an audit (T2.head_aware).", show_default=False)
    ],
) -> None:
    """Print one theorem: statement, proof, forms with their witness, hypotheses with their counterexample, mutants.

    Of a row, what it says comes first.
    """
    from kd2m_theory.validation.trial.pages import page_of

    _show(page_of(name))


@theory.command("check")
def theory_check(
    seed: _Seed = 0,
    only: Annotated[str | None, typer.Option(metavar="NAME", help="One theorem (T2); identities are left out.")] = None,
) -> None:
    """Check every witness, hypothesis, mutant, identity, and the audit's rows against the catalogue.

    Exit status: 0 if nothing is wrong, 1 if something is.
    """
    from kd2m_theory.theory.catalogue import theorem
    from kd2m_theory.validation.trial.check import check

    report = check(
        catalogue=None if only is None else (theorem(only),),
        identities=None if only is None else (),
        seed=seed,
        watch=lambda items: watched(items, "checking", lambda theorem: theorem.name),
    )
    _show(report.sections())
    if not report.passed:
        raise typer.Exit(1)


@theory.command("falsify")
def theory_falsify(
    seconds: Annotated[float, typer.Option(help="Seconds to search, shared by all forms.")] = 60.0,
    seed: _Seed = 0,
    only: Annotated[str | None, typer.Option(metavar="NAME", help="One theorem (T2) or one form (T2.cw2).")] = None,
) -> None:
    """Let an optimiser look for instances that violate a theorem, and put the worst through the audit.

    Exit status: 0 if no form is violated, 1 if one is (its instance is printed), 2 if the input is at fault.
    """
    from kd2m_theory.validation.trial.hunt import hunt

    report = hunt(seconds, seed, only, watch=lambda items: watched(items, "falsifying", lambda each: each[1].name))
    _show(report.sections())
    if not report.passed:
        raise typer.Exit(1)


@theory.command("power")
def theory_power(seed: _Seed = 0) -> None:
    """List every mutant of every theorem and what killed it.

    Exit status: 0 if all died, 1 if one survives.
    """
    from kd2m_theory.validation.trial.power import power

    report = power(seed=seed, watch=lambda items: watched(items, "hunting", lambda theorem: theorem.name))
    _show(report.sections())
    if not report.passed:
        raise typer.Exit(1)


def _show(sections: "Sequence[Section]") -> None:
    from kd2m_theory.reporting.terminal_view import printed

    show(printed(sections))
