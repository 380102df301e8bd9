"""Time and memory beside other libraries, from the tables of the benchmarks."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator

from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.reporting.style import BLUE, GREEN, INK, ORANGE, PAGE, PALE, legend_below, letter, sheet
from kd2m_theory.validation.benchmark_tables import Benchmark, BenchmarkTable, stored

_MARKS: dict[str, Any] = {
    "time": {"ls": "none", "marker": "o", "ms": 3.5, "color": GREEN, "alpha": 0.8, "mew": 0},
    "memory": {"ls": "none", "marker": "s", "ms": 4, "mfc": "none", "mec": INK, "mew": 0.8},
}
# Sizes that are all written at the axis.
_TICKS = 4
_NAMES = ("transport", "gaussian", "losses", "mmd", "audit_scale")


def table(transport: Benchmark, gaussian: Benchmark, losses: Benchmark, mmd: Benchmark, audit: Benchmark) -> Table:
    """Seconds and MiB of exact W₂ by size, and for every comparison how many times the peer's cost is ours.

    Args:
        transport: what `transport.json` holds, and so on.
        gaussian: `gaussian.json`.
        losses: `losses.json`.
        mmd: `mmd.json`.
        audit: `audit_scale.json`.

    Raises:
        InputError: a table without the columns that its benchmark writes.
    """
    exact = transport.titled("exact W₂")[0]
    return {
        "machine": transport.machine,
        "exact": {
            "n": exact.measured("n"),
            "d": exact.measured("d"),
            "seconds": exact.measured("time"),
            "peer_seconds": exact.numbers("POT time"),
            "mib": exact.measured("peak memory"),
            "peer_mib": exact.numbers("POT peak memory"),
        },
        "comparisons": [
            _comparison("exact W₂ with certificate, POT", exact, "POT ", memory=True),
            _comparison("Gaussian W₂, sqrtm", gaussian.titled("Gaussian W₂")[0], "sqrtm ", memory=True),
            *_losses(losses.titled("forward and backward")[0]),
            _comparison("MMD, three matrix products", mmd.titled("time")[0], "three products, "),
            *(_comparison(f"audit's rows T2, K = {one.chosen('K')}, POT", one, "POT ") for one in audit.titled("rows")),
        ],
    }


def _losses(one: BenchmarkTable) -> Iterator[Table]:
    for name in dict.fromkeys(one.words("loss")):
        yield _comparison(f"loss {name.replace('W2', 'W₂')}, plain torch", one.where("loss", name), "plain ")


def _comparison(name: str, one: BenchmarkTable, peer: str, memory: bool = False) -> Table:
    """Peer / ours; the peer's columns have its name before those of ours."""
    return {
        "name": name,
        "time": _ratios(one, f"{peer}time", "time"),
        "memory": _ratios(one, f"{peer}peak memory", "peak memory") if memory else [],
    }


def _ratios(one: BenchmarkTable, peer: str, ours: str) -> list[float]:
    """Peer / ours where both were measured."""
    pairs = zip(one.numbers(peer), one.numbers(ours), strict=True)
    ratios = [theirs / own for theirs, own in pairs if theirs and own]
    if not all(map(math.isfinite, ratios)):
        raise one.source.refused(f"has a quotient of {peer!r} and {ours!r} beyond every number in table {one.title!r}")
    return ratios


def draw(table: Table, width: float = PAGE) -> Figure:
    """Exact W₂ by size in seconds and MiB; then one row per comparison, right of 1 where ours is cheaper."""
    if width >= PAGE:
        figure = sheet(width, 3.1)
        seconds, memory, ratios = figure.subplots(1, 3, width_ratios=(1, 1, 1.3))
    else:
        figure = sheet(width, 5.0)
        above, below = figure.subfigures(2, 1, squeeze=False)[:, 0]
        (seconds, memory), ratios = above.subplots(1, 2), below.subplots()
    _by_size(seconds, table["exact"], "seconds")
    _by_size(memory, table["exact"], "mib")
    seconds.set_ylabel("time (s)")
    memory.set_ylabel("peak memory (MiB)")
    letter(seconds, "a", "exact $W_2$: time" if width >= PAGE else "$W_2$: time")
    letter(memory, "b", "exact $W_2$: memory" if width >= PAGE else "$W_2$: memory")
    _comparisons(ratios, table["comparisons"])
    letter(ratios, "c", "peer / ours")
    legend_below(figure, [*_lines(table["exact"]), *_marks()], table["machine"], most=3, handlelength=2.6)
    return figure


def _dimensions(exact: Table) -> list[tuple[float, Any]]:
    return list(zip(sorted(set(exact["d"])), ("-", "--", ":"), strict=False))


def _by_size(axes: Axes, exact: Table, column: str) -> None:
    for d, dashes in _dimensions(exact):
        rows = [k for k, dimension in enumerate(exact["d"]) if dimension == d]
        n = [exact["n"][k] for k in rows]
        for prefix, colour, marker in (("peer_", ORANGE, "s"), ("", BLUE, "o")):
            values = [exact[prefix + column][k] for k in rows]
            known = [(size, value) for size, value in zip(n, values, strict=True) if value is not None]
            axes.plot(*zip(*known, strict=True) if known else ((), ()), color=colour, ls=dashes, marker=marker, ms=3.5)
    axes.set(xscale="log", yscale="log", xlabel="points of each cloud, $n$")
    sizes = sorted(set(exact["n"]))
    if len(sizes) > _TICKS:
        sizes = [size for size in sizes if math.log10(size).is_integer()]
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{size:,.0f}" for size in sizes])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 4)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())


def _lines(exact: Table) -> list[Line2D]:
    return [
        Line2D([], [], color=colour, ls=dashes, marker=marker, ms=3.5, label=f"{words}, $d$ = {d:g}")
        for words, colour, marker in (("POT", ORANGE, "s"), ("ours, certified", BLUE, "o"))
        for d, dashes in _dimensions(exact)
    ]


def _comparisons(axes: Axes, comparisons: Sequence[Table]) -> None:
    axes.axvline(1, color=INK, lw=0.7)
    for y, comparison in enumerate(comparisons):
        axes.axhline(y, color=PALE, lw=0.4, zorder=0)
        for column, marker in _MARKS.items():
            axes.plot(comparison[column], [y] * len(comparison[column]), **marker)
    axes.set_yticks(range(len(comparisons)), [comparison["name"] for comparison in comparisons], fontsize=6.5)
    axes.tick_params(axis="y", length=0)
    axes.set(xscale="log", ylim=(len(comparisons) - 0.4, -0.6), xlabel="peer / ours (> 1: ours cheaper)", ylabel="task, peer")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _marks() -> list[Line2D]:
    words = {"time": "c: time", "memory": "c: peak memory"}
    return [Line2D([], [], label=words[column], **marker) for column, marker in _MARKS.items()]


def caption(table: Table) -> str:
    """How to read it."""
    cheaper = sum(min(one["time"]) > 1 for one in table["comparisons"])
    return (
        "a, b: exact W₂ by number of points; ours includes the certificate. c: the peer's cost over ours, one mark per "
        f"size; right of the line at 1 ours is cheaper. In {cheaper} of {len(table['comparisons'])} comparisons ours takes "
        f"less time at every size. Measured on: {table['machine']}."
    )


FIGURE = PaperFigure(
    name="peers",
    sentence="time and peak memory beside other libraries, as the benchmarks measured them",
    source="ours",
    table=table,
    draw=draw,
    caption=caption,
    reads=tuple(map(stored, _NAMES)),
)
