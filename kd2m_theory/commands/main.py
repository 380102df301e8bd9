"""The `kd2m` command: a thin front that loads a room only when it is called."""

import io
import sys
from typing import Annotated

import typer

from kd2m_theory.commands.audit import audit
from kd2m_theory.commands.demo import demo
from kd2m_theory.commands.figures import figures
from kd2m_theory.commands.metric import metric
from kd2m_theory.commands.report import report
from kd2m_theory.commands.theory import theory
from kd2m_theory.commands.train import train
from kd2m_theory.commands.validate import validate
from kd2m_theory.version import __version__

app = typer.Typer(
    name="kd2m",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},  # of every command below it too
    pretty_exceptions_enable=False,
    help="Distances between feature distributions, bounds for a distilled student, and whether they hold.",
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"kd2m-theory {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of `kd2m` itself."""


app.command()(audit)
app.command()(report)
app.command()(demo)
app.command()(train)
app.command()(figures)
app.add_typer(validate, name="validate")
app.add_typer(metric, name="metric")
app.add_typer(theory, name="theory")


def main() -> None:
    """Run the command; an input at fault is one line on standard error and exit status 2."""
    from kd2m_theory.errors import InputError

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without π or − still gets its table
    try:
        app()
    except (InputError, OSError, MemoryError) as error:
        words = " ".join(str(error).split()) or "there is not enough memory"
        print(f"kd2m: {words}", file=sys.stderr)
        raise SystemExit(2) from None
