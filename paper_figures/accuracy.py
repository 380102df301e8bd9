"""Accuracy by objective: what this project measured, and, apart from it, what the papers report of other data and networks."""

from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.paper_figures.reported import KD2M_ACCURACY, TTM_ACCURACY
from kd2m_theory.reporting.style import ALONE, KD, LNCS, PAGE, PALE, STUDENT, TEACHER, TTM, WTTM, folded, legend_below, sheet
from kd2m_theory.validation.benchmark_tables import Benchmark, BenchmarkTable, Mean, stored

STORED = stored("accuracy")
_TEACHER, _ALONE = "teacher", "none (λ = 0)"
_OURS: dict[str, Any] = {"ls": "none", "marker": "o", "ms": 3.2, "mew": 0, "color": STUDENT}
_METHODS: dict[str, dict[str, Any]] = {
    "KD": {"marker": "s", "color": KD},
    "TTM": {"marker": "^", "color": TTM},
    "WTTM": {"marker": "D", "color": WTTM},
}
_THEIRS: dict[str, Any] = {"ls": "none", "marker": "s", "ms": 3.2, "mfc": "white", "color": STUDENT}


def table(accuracy: Benchmark) -> Table:
    """Accuracies and gains in per cent: means with half of a 95 % interval, and the reported ones as they stand.

    Args:
        accuracy: what `accuracy.json` holds, with one table per population.

    Raises:
        InputError: a table without what the benchmark writes.
    """
    if not accuracy.tables:
        raise accuracy.source.refused("has no table of a population")
    reported, pairs = KD2M_ACCURACY, TTM_ACCURACY
    return {
        "measured": [_population(one) for one in accuracy.tables],
        "reported": {
            "source": reported.source,
            "data": list(reported.data),
            "teacher": list(reported.teacher),
            "alone": list(reported.alone),
            "students": [{"name": name, "accuracy": list(values)} for name, values in reported.students.items()],
        },
        "reported_pairs": {
            "source": pairs.source,
            "data": pairs.data,
            "pairs": list(pairs.pairs),
            "methods": [
                {"name": name, "accuracy": list(values), "deviation": list(pairs.deviations.get(name, ()))}
                for name, values in pairs.accuracies.items()
            ],
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


def draw(table: Table, width: float = PAGE) -> Figure:
    """What was measured, with intervals and gains, and what is reported, without; one row per student in each."""
    measured, reported, pairs = table["measured"], table["reported"], table["reported_pairs"]
    wide = width >= PAGE
    tall = 0.16 * max(len(one["students"]) for one in measured) + 0.85
    heights = 0.22 * len(reported["students"]) + 0.75, 0.2 * len(pairs["pairs"]) + 0.6
    figure = sheet(width, (max(tall, sum(heights)) if wide else tall + sum(heights)) + 0.8)
    if wide:
        left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.45, 1))[0]
        parts = left, *right.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]
    else:
        parts = tuple(figure.subfigures(3, 1, squeeze=False, height_ratios=(tall, *heights))[:, 0])
    room = (0.56 if wide else 0.97) * width, *((0.4 if wide else 0.97) * width,) * 2
    titles = (
        r"$\mathbf{a}$  this project: mean of five seeds, 95 % intervals" + (", gain in points" if width >= LNCS else ""),
        r"$\mathbf{b}$  as reported by KD²M, no error bars",
        rf"$\mathbf{{c}}$  {pairs['data']} as reported by TTM and WTTM",
    )
    for part, words, inches in zip(parts, titles, room, strict=True):
        part.suptitle(folded(figure, words, inches, 8), x=0.02, ha="left", fontsize=8)
    _measured(parts[0], measured, gains=width >= LNCS)
    _reported(parts[1], reported)
    _pairs(parts[2], pairs)
    words = (
        f"a: a benchmark of this project, other networks and data than in b and c; b: {reported['source']}; "
        f"c: {pairs['source']}, mean and standard deviation of five runs, of KD the mean alone"
    )
    legend_below(figure, _legend(), words, most=7, columnspacing=1.2, handletextpad=0.5)
    return figure


def _measured(part: SubFigure, measured: list[Table], *, gains: bool) -> None:
    for k, (axes, one) in enumerate(zip(part.subplots(1, len(measured), sharey=True, squeeze=False)[0], measured, strict=True)):
        alone = one["alone"]
        if alone["half"] is not None:
            axes.axvspan(alone["mean"] - alone["half"], alone["mean"] + alone["half"], color=PALE, alpha=0.5, lw=0)
        _lines(axes, one["teacher"]["mean"], alone["mean"])
        for y, student in enumerate(one["students"]):
            if student["half"] is not None:
                ends = [student["mean"] - student["half"], student["mean"] + student["half"]]
                axes.plot(ends, [y, y], color=STUDENT, lw=0.9)
            axes.plot(student["mean"], y, **_OURS)
            if gains:
                axes.text(1.04, y, _gain(student["gain"]), transform=axes.get_yaxis_transform(), va="center", fontsize=6.2)
        _rows(axes, [student["name"] for student in one["students"]])
        axes.set(xlabel="accuracy (%)", ylabel="" if k else "objective")
        axes.set_title(one["name"], fontsize=7.5)


def _gain(gain: Table) -> str:
    signed = f"{gain['mean']:+.2f}".replace("-", "−")
    return signed if gain["half"] is None else f"{signed} ± {gain['half']:.2f}"


def _reported(part: SubFigure, reported: Table) -> None:
    panels = part.subplots(1, len(reported["data"]), sharey=True)
    for k, (axes, data) in enumerate(zip(panels, reported["data"], strict=True)):
        _lines(axes, reported["teacher"][k], reported["alone"][k])
        for y, student in enumerate(reported["students"]):
            value = student["accuracy"][k]
            axes.plot(value, y, **_THEIRS)
            axes.annotate(f"{value:.2f}", (value, y), (2, 3.5), textcoords="offset points", ha="right", fontsize=6.2)
        _rows(axes, [student["name"] for student in reported["students"]])
        axes.set(xlabel="%", ylabel="" if k else "method")
        axes.set_title(data, fontsize=7.5)


def _pairs(part: SubFigure, pairs: Table) -> None:
    axes = part.subplots()
    for k, method in enumerate(pairs["methods"]):
        for y, value in enumerate(method["accuracy"]):
            place = y + 0.24 * (k - (len(pairs["methods"]) - 1) / 2)
            if method["deviation"]:
                ends = [value - method["deviation"][y], value + method["deviation"][y]]
                axes.plot(ends, [place, place], color=_METHODS[method["name"]]["color"], lw=0.9)
            axes.plot(value, place, ls="none", ms=3, mew=0, **_METHODS[method["name"]])
    _rows(axes, pairs["pairs"])
    axes.set(xlabel="accuracy (%)", ylabel="teacher → student")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _lines(axes: Axes, teacher: float, alone: float) -> None:
    axes.axvline(teacher, color=TEACHER, lw=0.9)
    axes.axvline(alone, color=ALONE, lw=0.9, ls="--")


def _rows(axes: Axes, names: list[str]) -> None:
    for y in range(len(names)):
        axes.axhline(y, color=PALE, lw=0.4, zorder=0)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(2, steps=[1, 3, 10]))


def _legend() -> list[Artist]:
    return [
        Line2D([], [], color=TEACHER, lw=0.9, label="teacher"),
        Line2D([], [], color=ALONE, lw=0.9, ls="--", label="student without a teacher"),
        Patch(color=PALE, alpha=0.5, lw=0, label="its interval (a)"),
        Line2D([], [], label="measured", **_OURS),
        Line2D([], [], label="reported", **_THEIRS),
        *(Line2D([], [], ls="none", ms=3.2, mew=0, label=f"{name} (c)", **looks) for name, looks in _METHODS.items()),
    ]


def caption(table: Table) -> str:
    """Both reported tables, and whether CW₂ helps here."""
    reported, pairs = table["reported"], table["reported_pairs"]
    lines, gains = [], []
    for one in table["measured"]:
        gains.append(f"{one['name']}: " + ", ".join(f"{each['name']} {_gain(each['gain'])}" for each in one["students"]))
        for student in one["students"]:
            if student["name"] == "cw2":
                gain = student["gain"]
                lines.append(f"on {one['name']} {_gain(gain)} points, {_decided(gain)}")
    rows = [("teacher", reported["teacher"]), ("student", reported["alone"])]
    rows += [(student["name"], student["accuracy"]) for student in reported["students"]]
    kd2m = "; ".join(f"{name} {' / '.join(f'{value:.2f}' for value in values)}" for name, values in rows)
    ttm = "; ".join(
        f"{pair}: " + ", ".join(f"{method['name']} {_spread(method, k)}" for method in pairs["methods"])
        for k, pair in enumerate(pairs["pairs"])
    )
    return (
        "a: what this project measured, with the gain over a student without a teacher in points; CW₂, which helps in the "
        f"paper: {'; '.join(lines)}. All gains: {'; '.join(gains)}. b: {reported['source']}, "
        f"{' / '.join(reported['data'])}, no seeds and no error bars: {kd2m}. c: {pairs['source']}, {pairs['data']}, mean "
        f"± standard deviation of five runs: {ttm}. Networks and data of a are others than those of b and c: compare "
        "within a panel."
    )


def _decided(gain: Table) -> str:
    """What an interval of a gain says of its sign."""
    if gain["half"] is None or abs(gain["mean"]) <= gain["half"]:
        return "neither a gain nor a loss beyond the interval"
    return "a gain" if gain["mean"] > 0 else "a loss"


def _spread(method: Table, k: int) -> str:
    return f"{method['accuracy'][k]:.2f}" + (f" ± {method['deviation'][k]:.2f}" if method["deviation"] else "")


FIGURE = PaperFigure(
    name="accuracy",
    sentence="accuracy of every objective on digits and glyphs, by this project, and apart from it those that "
    "KD²M, TTM and WTTM report",
    source="KD²M (arXiv 2504.01757) and TTM (arXiv 2402.11148), accuracy tables",
    table=table,
    draw=draw,
    caption=caption,
    reads=(STORED,),
)
