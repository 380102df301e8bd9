"""`kd2m demo`: train on handwritten digits, audit, draw."""

from pathlib import Path
from typing import Annotated

import typer

from kd2m_theory.terminal import console


def demo(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for pairs, reports and pictures.")] = Path("kd2m-demo"),
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed for the split of the images, the weights and the order of the images.")
    ] = 0,
    device: Annotated[str, typer.Option(help="'auto' takes CUDA where there is one.")] = "auto",
) -> None:
    """Train a teacher and two students on handwritten digits, and audit both on held-out images.

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
    terminal.print(f"written: {', '.join(map(str, paths))}", soft_wrap=True)
    terminal.print(f"every row, with assumptions: kd2m audit {paths[0]}", soft_wrap=True)
    violated = [row.name for report in result.reports.values() for row in report.violations]
    if violated:
        terminal.print(f"VIOLATED: {', '.join(violated)}", style="bold red")
        raise typer.Exit(1)
    terminal.print("no guaranteed bound is violated", style="bold")
