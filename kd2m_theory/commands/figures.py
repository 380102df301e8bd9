"""`kd2m figures`: draw the figures of the papers, and ours."""

from pathlib import Path
from typing import Annotated

import typer

from kd2m_theory.terminal import complain, show, tell, watched


def figures(
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Folder for the files.", show_default=False)] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="This figure; may be repeated.")] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", metavar="FORMAT", help="png, svg, pdf, or json for the numbers; may be repeated."),
    ] = None,
    width: Annotated[
        str | None,
        typer.Option(
            metavar="WIDTH",
            help="Width of the figures in print: column (3.3 inches), lncs (122 mm), page (7.2 inches), or a number of "
            "inches from 3.3 to 20. Each figure's own if not given. No letter is smaller than 6 points.",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FOLDER",
            help="Read stored tables from this folder, which may be the store of a campaign (campaigns/NAME, finished or "
            "not), and draw the figures that it has the numbers of, or those of --only. The tables of the package if not "
            "given.",
            show_default=False,
        ),
    ] = None,
    tables: Annotated[Path | None, typer.Option(metavar="FOLDER", hidden=True)] = None,
    listed: Annotated[
        bool, typer.Option("--list", help="Say what there is, with --from what that folder has, and draw nothing.")
    ] = False,
) -> None:
    """Draw the figures of the papers, and ours, each from a table of numbers that are computed or were measured.

    All of them as png, svg and pdf if nothing else is said; the caption of a picture is written beside it, as NAME.txt.

    Exit status: 0, or 2 if the input is at fault.
    """
    from kd2m_theory.errors import InputError
    from kd2m_theory.files import make_folder
    from kd2m_theory.paper_figures import registry
    from kd2m_theory.paper_figures.figure import LacksNumbersError

    if tables is not None:
        complain("kd2m: --tables is deprecated and goes in 0.3; use --from")
        if source is not None and source != tables:
            raise InputError(f"--from is {source} and --tables {tables}; give --from alone")
    folder = source or tables
    if listed:
        from kd2m_theory.reporting.terminal_view import printed

        show(printed(registry.listing(folder)))
        return
    printed_at = None if width is None else registry.inches(width)
    kinds = registry.file_formats(formats or ())
    asked = registry.chosen(only or ()) if only or folder is None else registry.drawable(folder)
    for stored in (each for figure in asked for each in figure.reads):
        stored.path(folder)  # before the first is drawn
    if out is None:
        raise InputError("name the folder for the figures with --out, or ask what there is with --list")
    make_folder(out)
    drawn = 0
    for figure in watched(asked, "drawing", lambda figure: figure.name):
        try:
            written = registry.write(figure, out, kinds, folder, printed_at)
        except LacksNumbersError as error:
            if only or folder is None:
                raise
            complain(f"kd2m: left out: {figure.name}; {error}")
            continue
        drawn += 1
        tell(f"written: {', '.join(map(str, written))}")
    if not drawn:
        raise InputError(f"{folder} has no numbers for any figure; `kd2m figures --list --from {folder}` says what each needs")
