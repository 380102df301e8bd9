"""Accuracy by objective: what this project measured, and, apart from it, what KD²M reports of other data and networks."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.paper_figures.reported import KD2M_ACCURACY
from kd2m_theory.reporting.style import BLUE, INK, MUTED, ORANGE, PAGE, PALE, sheet
from kd2m_theory.validation.benchmark_tables import Benchmark, BenchmarkTable, Mean, stored

STORED = stored("accuracy")
_TEACHER, _ALONE = "teacher", "none (λ = 0)"
_TITLE: dict[str, Any] = {"x": 0.02, "ha": "left", "fontsize": 8}
_OURS: dict[str, Any] = {"ls": "none", "marker": "o", "ms": 3.2, "mew": 0, "color": BLUE}
_THEIRS: dict[str, Any] = {"ls": "none", "marker": "s", "ms": 3.4, "mew": 0, "color": ORANGE}


def table(accuracy: Benchmark) -> Table:
    """Accuracies and gains in per cent: means with half of a 95 % interval, and the reported ones as they stand.

    Args:
        accuracy: what `accuracy.json` holds, with one table per population.

    Raises:
        InputError: a table without what the benchmark writes.
    """
    if not accuracy.tables:
        raise accuracy.source.refused("has no table of a population")
    reported = KD2M_ACCURACY
    return {
        "measured": [_population(one) for one in accuracy.tables],
        "reported": {
            "source": reported.source,
            "data": list(reported.data),
            "teacher": list(reported.teacher),
            "alone": list(reported.alone),
            "students": [{"name": name, "accuracy": list(values)} for name, values in reported.students.items()],
        },
    }


def _population(one: BenchmarkTable) -> Table:
    accuracies = dict(zip(one.words("objective"), one.means("accuracy"), strict=True))
    for needed in (_TEACHER, _ALONE):
        if needed not in accuracies:
            raise one.source.refused(f"has no {needed!r} in column 'objective' of table {one.title!r}")
    students = [name for name in accuracies if name not in (_TEACHER, _ALONE)]
    gains = {name: one.where("objective", name).means("gain")[0] for name in students}
    return {
        "name": one.title,
        "teacher": _plain(accuracies[_TEACHER]),
        "alone": _plain(accuracies[_ALONE]),
        "students": [{"name": name, **_plain(accuracies[name]), "gain": _plain(gains[name])} for name in students],
    }


def _plain(mean: Mean) -> dict[str, float | None]:
    return mean._asdict()


def draw(table: Table) -> Figure:
    """Left what was measured, with intervals and gains; right what is reported, without; each has one row per student."""
    measured, reported = table["measured"], table["reported"]
    figure = sheet(PAGE, 0.155 * max(len(one["students"]) for one in measured) + 1.25)
    ours, theirs = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.55, 1))[0]
    _measured(ours, measured)
    _reported(theirs, reported)
    figure.legend(
        handles=_legend(),
        loc="outside lower center",
        ncols=4,
        columnspacing=1.2,
        handletextpad=0.5,
        title=f"a: a benchmark of this project, other networks and data than in b; b: {reported['source']}",
        title_fontsize=6.5,
    )
    return figure


def _measured(part: SubFigure, measured: list[Table]) -> None:
    part.suptitle(
        r"$\mathbf{a}$  this project: mean of five seeds, 95 % intervals, gain in points", x=0.02, ha="left", fontsize=8
    )
    for k, (axes, one) in enumerate(zip(part.subplots(1, len(measured), sharey=True, squeeze=False)[0], measured, strict=True)):
        alone = one["alone"]
        if alone["half"] is not None:
            axes.axvspan(alone["mean"] - alone["half"], alone["mean"] + alone["half"], color=PALE, alpha=0.5, lw=0)
        _lines(axes, one["teacher"]["mean"], alone["mean"])
        for y, student in enumerate(one["students"]):
            if student["half"] is not None:
                axes.plot([student["mean"] - student["half"], student["mean"] + student["half"]], [y, y], color=BLUE, lw=0.9)
            axes.plot(student["mean"], y, **_OURS)
            axes.text(1.04, y, _gain(student["gain"]), transform=axes.get_yaxis_transform(), va="center", fontsize=6.2)
        _rows(axes, [student["name"] for student in one["students"]])
        axes.set(xlabel="accuracy (%)", ylabel="" if k else "objective")
        axes.set_title(one["name"], fontsize=7.5)


def _gain(gain: Table) -> str:
    signed = f"{gain['mean']:+.2f}".replace("-", "−")
    return signed if gain["half"] is None else f"{signed} ± {gain['half']:.2f}"


def _reported(part: SubFigure, reported: Table) -> None:
    part.suptitle(r"$\mathbf{b}$  accuracy as reported by KD²M, no error bars", **_TITLE)
    panels = part.subplots(1, len(reported["data"]), sharey=True)
    for k, (axes, data) in enumerate(zip(panels, reported["data"], strict=True)):
        _lines(axes, reported["teacher"][k], reported["alone"][k])
        for y, student in enumerate(reported["students"]):
            value = student["accuracy"][k]
            axes.plot(value, y, **_THEIRS)
            axes.annotate(f"{value:.2f}", (value, y), (2, 3.5), textcoords="offset points", ha="right", fontsize=6.2)
        _rows(axes, [student["name"] for student in reported["students"]])
        axes.set(xlabel="%", ylabel="" if k else "method, as the paper calls it")
        axes.set_title(data, fontsize=7.5)


def _lines(axes: Axes, teacher: float, alone: float) -> None:
    axes.axvline(teacher, color=INK, lw=0.9)
    axes.axvline(alone, color=MUTED, lw=0.9, ls="--")


def _rows(axes: Axes, names: list[str]) -> None:
    for y in range(len(names)):
        axes.axhline(y, color=PALE, lw=0.4, zorder=0)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(2, steps=[1, 3, 10]))


def _legend() -> list[Line2D]:
    return [
        Line2D([], [], color=INK, lw=0.9, label="teacher"),
        Line2D([], [], color=MUTED, lw=0.9, ls="--", label="student without a teacher (in a with its interval)"),
        Line2D([], [], label="measured", **_OURS),
        Line2D([], [], label="reported", **_THEIRS),
    ]


FIGURE = PaperFigure(
    name="accuracy",
    sentence="accuracy of every objective on digits and glyphs, by this project, and apart from it the accuracies "
    "that KD²M reports",
    source="KD²M (arXiv 2504.01757), accuracy table",
    table=table,
    draw=draw,
    reads=(STORED,),
)
