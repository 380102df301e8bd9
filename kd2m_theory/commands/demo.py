"""`kd2m demo`: train on handwritten digits, audit, compare, draw."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from kd2m_theory.terminal import console, say, tell


def demo(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for pairs, reports and pictures.")] = Path("kd2m-demo"),
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed for the split of the images, the weights and the order of the images.")
    ] = 0,
    device: Annotated[str, typer.Option(help="'auto' takes CUDA where there is one.")] = "auto",
) -> None:
    """Train a teacher and two students on handwritten digits; audit both on held-out images, and compare them.

    The students are those of the configurations demo-alone and demo-cw2: `kd2m train demo-cw2` keeps the whole run.
    """
    from kd2m_theory.files import make_folder
    from kd2m_theory.validation.training import demo as demonstration
    from kd2m_theory.validation.training.demo_table import heading

    demonstration.require_libraries()
    make_folder(out)
    terminal = console()
    terminal.print(heading())
    result = demonstration.run(seed, device)
    paths = result.write(out)
    terminal.print(result.table())
    terminal.print()
    terminal.print(result.comparison)
    tell(f"written: {', '.join(map(str, paths))}")
    say(f"every row, with assumptions: kd2m audit {shlex.quote(str(paths[0]))}")
    violated = [row.name for report in result.reports.values() for row in report.violations]
    if violated:
        say(f"VIOLATED: {', '.join(violated)}", "bold red")
        raise typer.Exit(1)
    say("no guaranteed bound is violated", "bold")
