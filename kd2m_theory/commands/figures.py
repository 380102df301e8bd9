"""`kd2m figures`: draw the figures of the papers, and ours."""

from pathlib import Path
from typing import Annotated

import typer

from kd2m_theory.terminal import console, watched


def figures(
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the files go.", show_default=False)] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="This figure; may be repeated.")] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", metavar="FORMAT", help="png, svg, pdf, or json for the numbers; may be repeated."),
    ] = None,
    tables: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Take stored measurements from here, not from the package.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Say what there is, and draw nothing.")] = False,
) -> None:
    """Draw the figures of the papers, and ours, each from a table of numbers that are computed or were measured.

    All of them as png, svg and pdf if nothing else is said. Exit status: 0, or 2 if the input is at fault.
    """
    from kd2m_theory.errors import InputError
    from kd2m_theory.files import make_folder
    from kd2m_theory.paper_figures import registry

    terminal = console()
    if listed:
        terminal.print(registry.listing())
        return
    asked, kinds = registry.chosen(only or ()), registry.file_formats(formats or ())
    for stored in (each for figure in asked for each in figure.reads):
        stored.path(tables)  # before the first is drawn
    if out is None:
        raise InputError("name the folder for the figures with --out, or ask what there is with --list")
    make_folder(out)
    for figure in watched(asked, "drawing"):
        written = registry.write(figure, out, kinds, tables)
        terminal.print(f"written: {', '.join(map(str, written))}", soft_wrap=True, highlight=False)
