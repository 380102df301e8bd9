"""`kd2m demo`: train on handwritten digits, audit, draw."""

from pathlib import Path
from typing import Annotated

import typer

from kd2m_theory.terminal import console, watched


def demo(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where pair, report and picture go.")] = Path("kd2m-demo"),
    seed: Annotated[int, typer.Option(min=0, help="Of the halves, the weights and the order of images.")] = 0,
    device: Annotated[str, typer.Option(help="'auto' takes CUDA where there is one.")] = "auto",
) -> None:
    """Train a teacher and two students on handwritten digits, and audit both on images never trained on."""
    from kd2m_theory.files import make_folder
    from kd2m_theory.validation.training import demo as demonstration

    make_folder(out)
    terminal = console()
    large, small = demonstration.sizes()
    terminal.print(f"teacher {large:,} parameters, students {small:,}; one half of the digits trains, the other is audited")
    result = demonstration.run(seed, device, watched)
    paths = result.write(out)
    terminal.print(result.table())
    terminal.print(f"written: {', '.join(map(str, paths))}", soft_wrap=True)
    terminal.print(f"every row, with assumptions: kd2m audit {paths[0]}", soft_wrap=True)
    violated = [row.name for report in result.reports.values() for row in report.violations]
    if violated:
        terminal.print(f"VIOLATED: {', '.join(violated)}", style="bold red")
        raise typer.Exit(1)
    terminal.print("no guaranteed bound is violated", style="bold")
