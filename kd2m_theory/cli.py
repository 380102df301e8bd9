"""The `kd2m` command: a thin front that loads a room only when it is called."""

import io
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from kd2m_theory import __version__
from kd2m_theory.terminal import console as _console
from kd2m_theory.terminal import watched as _watched
from kd2m_theory.validate_command import validate

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


@app.command()
def audit(
    pair: Annotated[Path, typer.Argument(metavar="PAIR", help="A pair as .safetensors or .npz.", show_default=False)],
    delta: Annotated[float, typer.Option(help="Failure probability of everything printed, together.")] = 0.05,
    align: Annotated[
        Path | None,
        typer.Option(metavar="PAIR", help="Fit an affine map of student features on this other pair, for another dimension."),
    ] = None,
    loss_bound: Annotated[float | None, typer.Option(help="Clip cross-entropy here in rows about the population.")] = None,
    head_lipschitz: Annotated[float | None, typer.Option(help="Lipschitz constant of a shared nonlinear head.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the transformed teacher in T9.ttm.")] = None,
    vouch: Annotated[list[str] | None, typer.Option(help="'gaussian classes' or 'teacher labels'.")] = None,
    whole_cloud: Annotated[
        bool | None,
        typer.Option(
            "--whole-cloud/--no-whole-cloud", help="Solve T3 and T4; by default up to 2,000 samples.", show_default=False
        ),
    ] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as JSON.")] = None,
    figure: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the ladder (.png, .svg, .pdf).")] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as one web page (.html).")] = None,
) -> None:
    """Measure a pair, evaluate every bound on it, and say which hold.

    Exit status: 0 if every guaranteed bound holds, 1 if one is violated, 2 if the input is at fault.
    """
    from kd2m_theory.files import check_distinct, check_writable
    from kd2m_theory.pair import Pair
    from kd2m_theory.report import audit as run_audit
    from kd2m_theory.report import check_figure, check_page

    check_distinct(PAIR=pair, align=align, json=json, figure=figure, report=report)
    if json is not None:
        check_writable(json)
    if figure is not None:
        check_figure(figure)
    if report is not None:
        check_page(report)
    found = run_audit(
        Pair.load(pair),
        delta,
        align=None if align is None else Pair.load(align),
        loss_bound=loss_bound,
        head_lipschitz=head_lipschitz,
        temperature=temperature,
        vouch=vouch or (),
        whole_cloud=whole_cloud,
        watch=lambda rows: _watched(rows, "auditing"),
    )
    if json is not None:
        found.to_json(json)
    if figure is not None:
        found.plot(figure)
    if report is not None:
        found.to_html(report, shlex.join(["kd2m", *sys.argv[1:]]))
    _console().print(found)
    if found.violations:
        raise typer.Exit(1)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where pair, report and picture go.")] = Path("kd2m-demo"),
    seed: Annotated[int, typer.Option(min=0, help="Of the halves, the weights and the order of images.")] = 0,
    device: Annotated[str, typer.Option(help="'auto' takes CUDA where there is one.")] = "auto",
) -> None:
    """Train a teacher and two students on handwritten digits, and audit both on images never trained on."""
    from kd2m_theory.files import make_folder
    from kd2m_theory.validation import demo as demonstration

    make_folder(out)
    console = _console()
    large, small = demonstration.sizes()
    console.print(f"teacher {large:,} parameters, students {small:,}; one half of the digits trains, the other is audited")
    result = demonstration.run(seed, device, _watched)
    paths = result.write(out)
    console.print(result.table())
    console.print(f"written: {', '.join(map(str, paths))}", soft_wrap=True)
    console.print(f"every row, with assumptions: kd2m audit {paths[0]}", soft_wrap=True)
    violated = [row.name for report in result.reports.values() for row in report.violations]
    if violated:
        console.print(f"VIOLATED: {', '.join(violated)}", style="bold red")
        raise typer.Exit(1)
    console.print("no guaranteed bound is violated", style="bold")


def _shipped(incomplete: str) -> list[tuple[str, str]]:
    """Shipped configurations that a shell may complete a word to, each with its help."""
    from importlib.resources import files

    from kd2m_theory.validation.toml_tables import names

    known = names(files("kd2m_theory.validation") / "configurations")
    return [(name, "a shipped configuration") for name in known if name.startswith(incomplete)]


@app.command()
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
        Path | None, typer.Option(metavar="FOLDER", help="Of the run; runs/NAME if not given.", show_default=False)
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Instead of what the file says: --set objective.weight=1e-3 --set seed=2"
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the folder.")] = False,
    teachers: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Share trained teachers between runs here.", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="'auto' takes CUDA where there is one.")] = "auto",
    threads: Annotated[int, typer.Option(help="Of torch on a CPU; rounding depends on it.")] = 1,
) -> None:
    """Train a teacher and a student, keep pairs of them, and audit each.

    Exit status: 0 if every guaranteed bound holds on every pair, 1 if one is violated, 2 if the input is at fault, 130 if it
    was stopped.
    """
    from kd2m_theory.validation.configuration import read_configuration
    from kd2m_theory.validation.training_pages import require_training, results

    chosen = read_configuration(configuration, change or ())
    require_training()
    from kd2m_theory.validation.distillation import train as run_training
    from kd2m_theory.validation.processes import started_by_torchrun

    folder = out or Path("runs") / Path(configuration).stem
    try:
        trained = run_training(chosen, folder, resume=resume, device=device, teachers=teachers, threads=threads)
    except KeyboardInterrupt:
        typer.echo("stopped; the same command with --resume continues after the last whole epoch", err=True)
        raise typer.Exit(130) from None
    if started_by_torchrun().writes:
        _console().print(results(trained))
        typer.echo(f"run: {folder}")
    if any(trained.violations.values()):
        raise typer.Exit(1)


@app.command()
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

    console = _console()
    if listed:
        console.print(registry.listing())
        return
    asked, kinds = registry.chosen(only or ()), registry.file_formats(formats or ())
    for stored in (each for figure in asked for each in figure.reads):
        stored.path(tables)  # before the first is drawn
    if out is None:
        raise InputError("name the folder for the figures with --out, or ask what there is with --list")
    make_folder(out)
    for figure in _watched(asked, "drawing"):
        written = registry.write(figure, out, kinds, tables)
        console.print(f"written: {', '.join(map(str, written))}", soft_wrap=True, highlight=False)


app.add_typer(validate, name="validate")

metric = typer.Typer(no_args_is_help=True, help="Test a distance of your own.")
app.add_typer(metric, name="metric")


@metric.callback()
def _metric() -> None:
    """Keep `check` as a subcommand."""


@metric.command("check")
def metric_check(
    target: Annotated[
        str, typer.Argument(metavar="MODULE:FUNCTION", help="Called with two clouds, n x d and m x d.", show_default=False)
    ],
    expect: Annotated[str, typer.Option(help="'metric', 'squared' or 'divergence'.")] = "metric",
    examples: Annotated[int, typer.Option(help="Clouds tried for each axiom.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the search.")] = 0,
    equal_sizes: Annotated[bool, typer.Option("--equal-sizes", help="Both clouds have the same number of points.")] = False,
    paired: Annotated[bool, typer.Option("--paired", help="Row i of one belongs to row i of the other.")] = False,
    labels: Annotated[bool, typer.Option("--labels", help="Called with classes as third and fourth argument.")] = False,
) -> None:
    """Look for clouds on which a distance breaks its axioms, and print the smallest.

    Exit status: 0 if no axiom fails, 1 if one does, 2 if the input is at fault.
    """
    from kd2m_theory.estimators.axioms import check_metric, load_callable

    report = check_metric(
        load_callable(target),
        expect=expect,  # type: ignore[arg-type]  # check_metric refuses other words
        examples=examples,
        seed=seed,
        equal_sizes=equal_sizes,
        paired=paired,
        labels=labels,
    )
    typer.echo(str(report))
    if not report.passed:
        raise typer.Exit(1)


theory = typer.Typer(no_args_is_help=True, help="The theorems: what they say, whether they hold, whether they are sharp.")
app.add_typer(theory, name="theory")
_Seed = Annotated[int, typer.Option(help="Of every search.")]


@theory.command("list")
def theory_list() -> None:
    """List the theorems."""
    from kd2m_theory.validation.theory_pages import listing

    _console().print(listing())


@theory.command("show")
def theory_show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A theorem, such as T2.", show_default=False)],
) -> None:
    """Print one theorem: statement, proof idea, forms with their witness, hypotheses with their counterexample, mutants."""
    from kd2m_theory.theory.catalogue import theorem
    from kd2m_theory.validation.theory_pages import page

    typer.echo(page(theorem(name)))


@theory.command("check")
def theory_check(seed: _Seed = 0) -> None:
    """Check every witness, hypothesis, mutant, identity, and the audit's rows against the catalogue.

    Exit status: 0 if nothing is wrong, 1 if something is.
    """
    from kd2m_theory.validation.theory_check import check

    report = check(seed=seed, watch=lambda items: _watched(items, "checking"))
    _console().print(report)
    if not report.passed:
        raise typer.Exit(1)


@theory.command("falsify")
def theory_falsify(
    seconds: Annotated[float, typer.Option(help="Of search, shared by all forms.")] = 60.0,
    seed: _Seed = 0,
    only: Annotated[str | None, typer.Option(metavar="NAME", help="One theorem (T2) or one form (T2.cw2).")] = None,
) -> None:
    """Let an optimiser look for instances that violate a theorem, and put the worst through the audit.

    Exit status: 0 if no form is violated, 1 if one is (its instance is printed), 2 if the input is at fault.
    """
    from kd2m_theory.validation.hunt import hunt

    report = hunt(seconds, seed, only, watch=lambda items: _watched(items, "falsifying"))
    _console().print(report)
    if not report.passed:
        typer.echo(report.details)
        raise typer.Exit(1)


@theory.command("power")
def theory_power(seed: _Seed = 0) -> None:
    """List every mutant of every theorem and what killed it.

    Exit status: 0 if all died, 1 if one survives.
    """
    from kd2m_theory.validation.power import power

    report = power(seed=seed, watch=lambda items: _watched(items, "hunting"))
    _console().print(report)
    if not report.passed:
        raise typer.Exit(1)


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
