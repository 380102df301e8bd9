"""The `kd2m` command: a thin front that loads a room only when it is called."""

import io
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TextIO

import typer

from kd2m_theory.commands.audit import audit
from kd2m_theory.commands.compare import compare
from kd2m_theory.commands.demo import demo
from kd2m_theory.commands.figures import figures
from kd2m_theory.commands.label import label
from kd2m_theory.commands.metric import metric
from kd2m_theory.commands.report import report
from kd2m_theory.commands.theory import theory
from kd2m_theory.commands.train import train
from kd2m_theory.commands.validate import validate
from kd2m_theory.terminal import complain
from kd2m_theory.version import __version__

_FAULT = 70  # EX_SOFTWARE of sysexits.h; 1 is a violated bound

app = typer.Typer(
    name="kd2m",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},  # of every command below it too
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # lines of a paragraph are joined before they are broken again
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
app.command()(compare)
app.command()(demo)
app.command()(train)
app.command()(figures)
app.add_typer(validate, name="validate")
app.add_typer(label, name="label")
app.add_typer(metric, name="metric")
app.add_typer(theory, name="theory")


def main() -> None:
    """Run the command.

    An input at fault is one line on standard error and exit status 2; a fault of ours is its traceback and exit status 70; a
    reader of standard output that went away (`kd2m … | head`) ends it without a word.
    """
    from kd2m_theory.errors import InputError

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without π or − still gets its table
    whole, sys.stdout = sys.stdout, _Piped(sys.stdout)
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except (InputError, OSError, MemoryError) as error:
        complain(f"kd2m: {' '.join(str(error).split()) or 'there is not enough memory'}")
        raise SystemExit(2) from None
    except Exception:
        complain(traceback.format_exc().rstrip())
        complain(f"kd2m: this is a fault of kd2m-theory {__version__}; please report it with the lines above")
        raise SystemExit(_FAULT) from None
    finally:
        sys.stdout = whole


class _Piped:
    """Standard output, for which a reader that went away is the end of the command and no error of it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or end."""
        with self._ending():
            return self._stream.write(text)

    def flush(self) -> None:
        """Flush, or end."""
        with self._ending():
            self._stream.flush()

    @contextmanager
    def _ending(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            # What is still in the buffer must go somewhere when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            raise SystemExit(128 + signal.SIGPIPE) from None
