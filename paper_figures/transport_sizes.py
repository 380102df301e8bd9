"""Time and peak memory of exact W₂ by the size of the clouds, beside every peer, from the table of the benchmark."""

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.reporting.style import COLUMN, PAGE, PALETTE, legend_below, letter, sheet
from kd2m_theory.validation.benchmark_tables import Benchmark, stored

STORED = stored("transport")
_MARKERS = "osD^vP"


def table(transport: Benchmark) -> Table:
    """Seconds and MiB of every method by n, in the largest dimension and on the first seed, and the powers by which they grow.

    Args:
        transport: what `transport.json` holds.

    Raises:
        InputError: a table without the columns that its benchmark writes.
    """
    exact = transport.titled("exact W₂")[0]
    problem, d = exact.chosen("problem"), max(exact.measured("d"), default=0.0)
    measured = transport.titled("measurements")[0].where("problem", problem)
    seeds, dimensions = measured.measured("seed"), measured.measured("d")
    records = [
        record
        for record, seed, dimension in zip(measured.records, seeds, dimensions, strict=True)
        if seed == min(seeds) and dimension == d and record["time"] is not None
    ]
    growth = transport.titled("growth")[0]
    grown = {
        name: (time, memory)
        for name, dimension, time, memory in zip(
            growth.words("method"),
            growth.measured("d"),
            growth.measured("exponent of time"),
            growth.measured("exponent of peak memory"),
            strict=True,
        )
        if dimension == d
    }
    methods = []
    for name in dict.fromkeys(record["method"] for record in records):
        own = sorted((record for record in records if record["method"] == name), key=lambda record: record["n"])
        time, memory = grown.get(name, (None, None))
        methods.append(
            {
                "name": name,
                "n": [record["n"] for record in own],
                "seconds": [record["time"] for record in own],
                "mib": [record["peak memory"] for record in own],
                "power_of_time": time,
                "power_of_memory": memory,
            }
        )
    return {"problem": problem, "d": d, "machine": transport.machine, "methods": methods}


def draw(table: Table, width: float = PAGE) -> Figure:
    """Seconds, then MiB, on logarithmic axes: a straight line is a power of n."""
    narrow = width <= COLUMN
    figure = sheet(width, 4.6 if narrow else 2.9)
    axes = figure.subplots(*((2, 1) if narrow else (1, 2)))
    for each, column, words, title in zip(
        axes, ("seconds", "mib"), ("time (s)", "peak memory (MiB)"), ("time", "peak memory"), strict=True
    ):
        _by_size(each, table, column)
        each.set_ylabel(words)
        letter(each, "ab"[column == "mib"], f"exact $W_2$: {title}")
    legend_below(figure, _lines(table), table["machine"], most=3, handlelength=2.2)
    return figure


def _styles(table: Table) -> list[dict[str, Any]]:
    return [
        {"color": PALETTE[k % len(PALETTE)], "marker": _MARKERS[k % len(_MARKERS)], "ms": 3.5}
        for k in range(len(table["methods"]))
    ]


def _by_size(axes: Axes, table: Table, column: str) -> None:
    for method, style in zip(table["methods"], _styles(table), strict=True):
        axes.plot(method["n"], method[column], **style)
    axes.set(xscale="log", yscale="log", xlabel="points of each cloud, $n$")
    for axis, fine in ((axes.xaxis, _short(table)), (axes.yaxis, column == "mib")):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if fine else (1,)))
        axis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:g}")


def _short(table: Table) -> bool:
    """Whether the sizes span too little for ticks at powers of ten alone."""
    sizes = [n for method in table["methods"] for n in method["n"]]
    return not sizes or math.log10(max(sizes) / min(sizes)) < 1.5


def _lines(table: Table) -> list[Line2D]:
    return [
        Line2D([], [], label=_label(method), **style) for method, style in zip(table["methods"], _styles(table), strict=True)
    ]


def _label(method: Table) -> str:
    name = "ours, certified" if method["name"] == "ours" else method["name"]
    return name if method["power_of_time"] is None else f"{name}: $n^{{{method['power_of_time']:.1f}}}$"


def caption(table: Table) -> str:
    """How to read it."""
    own = next((method for method in table["methods"] if method["name"] == "ours"), None)
    largest = "" if own is None else f" The largest clouds of ours have {max(own['n']):,} points."
    return (
        f"{table['problem']}, d = {table['d']:g}: seconds and peak memory of one process by the points of each cloud. Ours "
        "includes a certificate. The legend has the power of n by which time grows, fitted to all sizes of a method. GeomLoss "
        "and halving give no exact value: their errors are in the table of the benchmark."
        f"{largest} Measured on: {table['machine']}."
    )


FIGURE = PaperFigure(
    name="transport-sizes",
    sentence="time and peak memory of exact W₂ by the size of the clouds, beside every peer",
    source="ours",
    table=table,
    draw=draw,
    caption=caption,
    reads=(STORED,),
)
