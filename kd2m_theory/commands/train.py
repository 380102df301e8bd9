"""`kd2m train`: train a teacher and a student, keep pairs of them, audit each."""

from pathlib import Path
from typing import Annotated

import typer

from kd2m_theory.terminal import complain, say, show


def _shipped(incomplete: str) -> list[tuple[str, str]]:
    """Shipped configurations that a shell may complete a word to, each with its help."""
    from importlib.resources import files

    from kd2m_theory.validation.training.toml_tables import names

    known = names(files("kd2m_theory.validation.training") / "configurations")
    return [(name, "a shipped configuration") for name in known if name.startswith(incomplete)]


def train(
    configuration: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG",
            help="A .toml file, or the name of a shipped one.",
            show_default=False,
            autocompletion=_shipped,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder for the run; runs/NAME if not given.", show_default=False)
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Instead of what the file says: --set objective.weight=1e-3 --set seed=2"
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the folder.")] = False,
    teachers: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder in which runs share trained teachers.", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="'auto' takes CUDA where there is one.")] = "auto",
    threads: Annotated[int, typer.Option(help="Threads of torch on a CPU; rounding depends on their number.")] = 1,
) -> None:
    """Train a teacher and a student, keep pairs of them, and audit each.

    Exit status: 0 if every guaranteed bound holds on every pair, 1 if one is violated, 2 if the input is at fault, 130 if it
    was stopped.
    """
    from kd2m_theory.validation.training.configuration import read_configuration
    from kd2m_theory.validation.training.pages import require_training, results

    chosen = read_configuration(configuration, change or ())
    require_training()
    from kd2m_theory.reporting.terminal_view import printed
    from kd2m_theory.validation.training.distillation import train as run_training
    from kd2m_theory.validation.training.processes import started_by_torchrun

    folder = out or Path("runs") / Path(configuration).stem
    try:
        trained = run_training(chosen, folder, resume=resume, device=device, teachers=teachers, threads=threads)
    except KeyboardInterrupt:
        complain("stopped; the same command with --resume continues after the last whole epoch")
        raise typer.Exit(130) from None
    if started_by_torchrun().writes:
        show(printed(results(trained)))
        say(f"run: {folder}")
    if any(trained.violations.values()):
        raise typer.Exit(1)
