"""`kd2m validate`: campaigns. Loads nothing slow until a command is called."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from kd2m_theory.checks import whole
from kd2m_theory.errors import InputError, require
from kd2m_theory.terminal import complain, say, show

if TYPE_CHECKING:
    from kd2m_theory.validation.campaigns.campaign import Campaign
    from kd2m_theory.validation.campaigns.engine import Progress
    from kd2m_theory.validation.campaigns.findings import Findings

_DEFAULT = "run"


class _DefaultGroup(TyperGroup):
    """Calls the command `run` when the first word is not a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See the class."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


validate = typer.Typer(
    cls=_DefaultGroup,
    no_args_is_help=True,
    subcommand_metavar="CAMPAIGN [OPTIONS] | report STORE | merge OUT STORE ...",
    help="Campaigns: train many pairs, audit them, and judge the bounds. kd2m validate run --help has the options.",
)
_StorePath = Annotated[Path, typer.Argument(metavar="STORE", help="Folder of a campaign.", show_default=False)]


@validate.command(_DEFAULT)
def run(
    campaign: Annotated[
        str,
        typer.Argument(
            metavar="CAMPAIGN", help="A .toml file, or quick, papers, standard, gpu, kd2m, mnist or ttm.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Folder for the results, the store; campaigns/NAME if not given.", show_default=False
        ),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Instead of what the file says: --set delta=0.1 --set sweep.1.seeds=[0] (sweep.*.seeds for all sweeps).",
        ),
    ] = None,
    store: Annotated[Path | None, typer.Option(metavar="FOLDER", hidden=True)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Compute only what the store lacks.")] = False,
    workers: Annotated[int | None, typer.Option(help="Local processes; one per core if not given.", show_default=False)] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Use this Dask scheduler: tcp://HOST:PORT.", show_default=False)
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the scheduler.")] = 30.0,
    estimate: Annotated[
        bool,
        typer.Option(
            "--estimate", help="Print the time that the campaign is expected to take on this machine, and run nothing."
        ),
    ] = False,
) -> None:
    """Run a campaign, write its table, and end with its verdict.

    Exit status: 0 if every guaranteed bound holds and every guaranteed interval covers, 1 if not, 2 if the input is at fault
    or a task failed (what is finished is kept).
    """
    from kd2m_theory.validation.training.pages import require_training

    require_training()
    from kd2m_theory.validation.campaigns.campaign import read_campaign
    from kd2m_theory.validation.campaigns.campaign_run import run_campaign
    from kd2m_theory.validation.campaigns.engine import CampaignError

    if store is not None:
        complain("kd2m: --store is deprecated and goes in 0.3; use --out")
        if out is not None and out != store:
            raise InputError(f"--out is {out} and --store {store}; give --out alone")
    chosen = read_campaign(campaign, change or ())
    if estimate:
        _print_expected(chosen, workers)
        return
    folder = out or store or Path("campaigns") / Path(campaign).stem
    try:
        with _shown(folder.name) as watch:
            run_campaign(chosen, folder, resume=resume, workers=workers, scheduler=scheduler, timeout=timeout, watch=watch)
    except CampaignError as error:
        if _report(folder, None).judgement.failed:  # worse than a task that failed
            complain(f"kd2m: {error}")
            raise typer.Exit(1) from None
        raise
    _end(_report(folder, None))


def _print_expected(campaign: "Campaign", workers: int | None) -> None:
    """Print what a campaign is expected to take; nothing is written."""
    from kd2m_theory.reporting.terminal_view import printed
    from kd2m_theory.side_by_side import every_core
    from kd2m_theory.validation.campaigns.expected import expected
    from kd2m_theory.validation.campaigns.expected_view import expected_sections
    from kd2m_theory.validation.campaigns.plan import check

    check(campaign, here=True)
    show(printed(expected_sections(expected(campaign), every_core() if workers is None else whole(workers, "workers", 1))))


@validate.command()
def report(
    store: _StorePath,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Folder for report.md and the figures; STORE/report if not given.", show_default=False
        ),
    ] = None,
) -> None:
    """Print what a store holds, with the verdict last, and write it with its figures.

    Exit status: as `kd2m validate`, and 2 if the campaign is not finished.
    """
    _end(_report(store, out))


@validate.command()
def merge(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the joined campaigns; a new one.", show_default=False)],
    stores: Annotated[list[Path], typer.Argument(metavar="STORE...", help="Folders of campaigns to join.", show_default=False)],
) -> None:
    """Join the stores of several campaigns in a new one."""
    require("a campaign", "pyarrow")
    from kd2m_theory.validation.campaigns.store import Store

    joined = Store(out)
    joined.merge([Store(each) for each in stores])
    say(f"{out}: {len(joined.finished())} tasks of {len(joined.campaigns())} campaigns")


def _report(folder: Path, out: Path | None) -> "Findings":
    require("a campaign", "pyarrow")
    from kd2m_theory.files import make_folder, write_atomically
    from kd2m_theory.paper_figures.campaign_figures import pictures
    from kd2m_theory.reporting.markdown_view import markdown
    from kd2m_theory.reporting.terminal_view import printed
    from kd2m_theory.validation.campaigns.findings import findings
    from kd2m_theory.validation.campaigns.page import details, ending, sections
    from kd2m_theory.validation.campaigns.store import Store

    store = Store(folder)
    found = findings(store)
    store.write_table()
    out = out or folder / "report"
    make_folder(out)
    write_atomically(out / "report.md", markdown(sections(found, folder), f"Campaign {folder.name}").encode())
    for name, data in pictures(found, ("png", "txt", "json")).items():
        write_atomically(out / name, data)
    show(printed([*details(found), ending(found, folder, out)]))
    return found


def _end(found: "Findings") -> None:
    if found.judgement.failed:
        raise typer.Exit(1)
    if found.missing:
        raise InputError(f"{found.missing:,} tasks of the campaign are missing; continue it with --resume")
    if not found.judgement.evidence:
        raise InputError("the campaign checked nothing: none of its pairs has a guaranteed row with a measured value")


@contextmanager
def _shown(campaign: str) -> Iterator[Callable[["Progress"], None]]:
    """A bar on a terminal, a line for every tenth of the campaign elsewhere."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        shown = bar.add_task(f"{campaign}: tasks", total=None)

        def watch(progress: "Progress") -> None:
            words = f"{campaign}: tasks" + (f", {len(progress.failed)} failed" if progress.failed else "")
            bar.update(shown, total=progress.total, completed=progress.done + len(progress.failed), description=words)

        yield watch


def _lines() -> Callable[["Progress"], None]:
    said = -1

    def watch(progress: "Progress") -> None:
        nonlocal said
        ended = progress.done + len(progress.failed)
        if (tenth := 10 * ended // max(progress.total, 1)) > said:
            said = tenth
            failed = f", {len(progress.failed)} failed" if progress.failed else ""
            complain(f"{progress.done} of {progress.total} tasks{failed}")

    return watch
