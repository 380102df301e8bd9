"""Accuracy by objective: what this project measured, and, apart from it, what the papers report of other data and networks."""

from dataclasses import asdict
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from kd2m_theory.paper_figures.figure import LacksNumbersError, PaperFigure, Table
from kd2m_theory.paper_figures.reported import KD2M_ACCURACY, TTM_ACCURACY
from kd2m_theory.reporting.style import ALONE, KD, LNCS, PAGE, PALE, STUDENT, TEACHER, TTM, WTTM, folded, legend_below, sheet
from kd2m_theory.validation.campaigns.gains import Learned, comparison, plus_minus
from kd2m_theory.validation.campaigns.stored_campaigns import MNIST
from kd2m_theory.validation.campaigns.trainings import Setting, Trainings

# Populations and objectives of a campaign, as the papers' tables call them.
_DATA = {"svhn": "SVHN", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
_METHOD_OF = {
    "w2": "W₂ (empirical)",
    "cw2": "CW₂ (empirical)",
    "jw2": "JW₂ (empirical)",
    "gaussian-w2": "W₂ (Gaussian)",
    "gaussian-cw2": "CW₂ (Gaussian)",
    "gaussian-kl": "KL (Gaussian)",
}
_OURS: dict[str, Any] = {"ls": "none", "marker": "o", "ms": 3.2, "mew": 0, "color": STUDENT}
_METHODS: dict[str, dict[str, Any]] = {
    "KD": {"marker": "s", "color": KD},
    "TTM": {"marker": "^", "color": TTM},
    "WTTM": {"marker": "D", "color": WTTM},
}
_THEIRS: dict[str, Any] = {"ls": "none", "marker": "s", "ms": 3.2, "mfc": "white", "color": STUDENT}


def table(found: Trainings) -> Table:
    """Accuracies and gains in per cent: means with half of a 95 % interval, and the reported ones as they stand.

    Of an objective with several weights the student with the best accuracy on the validation images is taken.

    Raises:
        LacksNumbersError: the campaign trained no student by an objective.
    """
    measured = [one for one in map(_population, found.settings) if one["students"]]
    if not measured:
        raise LacksNumbersError(
            "the figure accuracy needs students of an objective: a campaign with a [[sweep]], run by this version"
        )
    reported, pairs = KD2M_ACCURACY, TTM_ACCURACY
    return {
        "missing": found.missing,
        "measured": measured,
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


def _population(setting: Setting) -> Table:
    compared = comparison(setting)
    return {
        "name": setting.name,
        "networks": f"{setting.teacher} → {setting.student}",
        "teacher": compared.teacher,
        "alone": None if compared.alone is None else asdict(compared.alone),
        "students": [_student(setting, each) for each in compared.learned],
    }


def _student(setting: Setting, learned: Learned) -> Table:
    gain = learned.gain
    return {
        "name": learned.name,
        "weight": learned.students.weight,
        "at_an_end": learned.at_an_end,
        **asdict(learned.accuracy),
        "gain": None if gain is None else {**asdict(gain.points), "at_once": gain.at_once, "decision": gain.decision},
        "reported": _as_reported(setting, learned.students.objective),
    }


def _as_reported(setting: Setting, objective: str) -> float | None:
    """What a paper reports for that population and objective; of TTM's paper, for those networks."""
    data, method = _DATA.get(setting.population), _METHOD_OF.get(objective)
    if data in KD2M_ACCURACY.data and method is not None:
        return KD2M_ACCURACY.students[method][KD2M_ACCURACY.data.index(data)]
    pair = f"{setting.teacher} → {setting.student}"
    values = TTM_ACCURACY.accuracies.get(objective.upper(), ())
    if data == TTM_ACCURACY.data and values and pair in TTM_ACCURACY.pairs:
        return values[TTM_ACCURACY.pairs.index(pair)]
    return None


def draw(table: Table, width: float = PAGE) -> Figure:
    """What was measured, with intervals and gains, and what is reported, without; one row per student in each."""
    measured, reported, pairs = table["measured"], table["reported"], table["reported_pairs"]
    wide = width >= PAGE
    tall = 0.16 * len({student["name"] for one in measured for student in one["students"]}) + 0.85
    heights = 0.22 * len(reported["students"]) + 0.75, 0.2 * len(pairs["pairs"]) + 0.6
    figure = sheet(width, (max(tall, sum(heights)) if wide else tall + sum(heights)) + 0.8)
    if wide:
        left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.45, 1))[0]
        parts = left, *right.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]
    else:
        parts = tuple(figure.subfigures(3, 1, squeeze=False, height_ratios=(tall, *heights))[:, 0])
    room = (0.56 if wide else 0.97) * width, *((0.4 if wide else 0.97) * width,) * 2
    gains = width >= LNCS and len(measured) <= 3
    titles = (
        rf"$\mathbf{{a}}$  measured: {_spread_of(measured)}" + (", gain in points" if gains else ""),
        r"$\mathbf{b}$  as reported by KD²M, no error bars",
        rf"$\mathbf{{c}}$  {pairs['data']} as reported by TTM and WTTM",
    )
    for part, words, inches in zip(parts, titles, room, strict=True):
        part.suptitle(folded(figure, words, inches, 8), x=0.02, ha="left", fontsize=8)
    _measured(parts[0], measured, gains=gains)
    _reported(parts[1], reported)
    _pairs(parts[2], pairs)
    words = (
        f"a: measured with this project{_note(table)}; b: {reported['source']}; "
        f"c: {pairs['source']}, mean and standard deviation of five runs, of KD the mean alone"
    )
    legend_below(figure, _legend(), words, most=7, columnspacing=1.2, handletextpad=0.5)
    return figure


def _seeds(measured: list[Table]) -> list[int]:
    return sorted({student["seeds"] for one in measured for student in one["students"]})


def _spread_of(measured: list[Table]) -> str:
    """What the marks and lines are."""
    counts = _seeds(measured)
    if counts == [1]:
        return "one seed, no intervals"
    return f"mean of {counts[0] if len(counts) == 1 else f'{counts[0]} to {counts[-1]}'} seeds, 95 % intervals"


def _note(table: Table) -> str:
    return f", {table['missing']:,} tasks of the campaign are missing" if table["missing"] else ""


def _measured(part: SubFigure, measured: list[Table], *, gains: bool) -> None:
    names = list(dict.fromkeys(student["name"] for one in measured for student in one["students"]))
    for k, (axes, one) in enumerate(zip(part.subplots(1, len(measured), sharey=True, squeeze=False)[0], measured, strict=True)):
        alone, teacher = one["alone"], one["teacher"]
        if alone is not None and alone["half"] is not None:
            axes.axvspan(alone["mean"] - alone["half"], alone["mean"] + alone["half"], color=PALE, alpha=0.5, lw=0)
        _lines(axes, teacher, None if alone is None else alone["mean"])
        for student in one["students"]:
            y = names.index(student["name"])
            if student["reported"] is not None:
                axes.plot(student["reported"], y, **_THEIRS)
            if student["half"] is not None:
                ends = [student["mean"] - student["half"], student["mean"] + student["half"]]
                axes.plot(ends, [y, y], color=STUDENT, lw=0.9)
            axes.plot(student["mean"], y, **_OURS)
            if gains and student["gain"] is not None:
                axes.text(1.04, y, _gain(student["gain"]), transform=axes.get_yaxis_transform(), va="center", fontsize=6.2)
        _rows(axes, names)
        axes.set(xlabel="accuracy (%)", ylabel="" if k else "objective")
        axes.set_title(folded(part.figure, one["name"], 2.6 / len(measured), 7.5), fontsize=7.5)


def _gain(gain: Table) -> str:
    return plus_minus(gain["mean"], gain["half"], "+")


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


def _lines(axes: Axes, teacher: float | None, alone: float | None) -> None:
    if teacher is not None:
        axes.axvline(teacher, color=TEACHER, lw=0.9)
    if alone is not None:
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
        Line2D([], [], color=ALONE, lw=0.9, ls="--", label="student without a teacher; the band is its interval (a)"),
        Line2D([], [], label="measured", **_OURS),
        Line2D([], [], label="reported", **_THEIRS),
        *(Line2D([], [], ls="none", ms=3.2, mew=0, label=f"{name} (c)", **looks) for name, looks in _METHODS.items()),
    ]


def caption(table: Table) -> str:
    """Both reported tables, every gain, and whether CW₂ helps here."""
    reported, pairs = table["reported"], table["reported_pairs"]
    lines, gains = [], []
    for one in table["measured"]:
        of_one = [each for each in one["students"] if each["gain"] is not None]
        gains.append(f"{one['name']}, {one['networks']}: " + (", ".join(map(_gained, of_one)) or "nothing to compare with"))
        lines += [
            f"on {one['name']} {_gain(each['gain'])} points, {each['gain']['decision']}"
            for each in of_one
            if each["name"] == "cw2"
        ]
    rows = [("teacher", reported["teacher"]), ("student", reported["alone"])]
    rows += [(student["name"], student["accuracy"]) for student in reported["students"]]
    kd2m = "; ".join(f"{name} {' / '.join(f'{value:.2f}' for value in values)}" for name, values in rows)
    ttm = "; ".join(
        f"{pair}: " + ", ".join(f"{method['name']} {_spread(method, k)}" for method in pairs["methods"])
        for k, pair in enumerate(pairs["pairs"])
    )
    here = f"; CW₂, which helps in the paper: {'; '.join(lines)}" if lines else ""
    return (
        f"a: what a campaign measured{_note(table)}, {_spread_of(table['measured'])}, with the gain over a student without a "
        f"teacher in points, seed by seed{here}. Of several λ the one with the best accuracy on validation images is shown. "
        f"All gains: {'; '.join(gains)}. {_decided(table['measured'])} "
        f"b: {reported['source']}, "
        f"{' / '.join(reported['data'])}, no seeds and no error bars: {kd2m}. c: {pairs['source']}, {pairs['data']}, mean "
        f"± standard deviation of five runs: {ttm}. A hollow square in a is what a paper reports for that population. "
        "Compare within a panel: networks, data or recipes of the others are not those of a."
    )


def _gained(student: Table) -> str:
    weight = "" if student["weight"] is None else f" (λ = {student['weight']:g}{', an end of its grid' * student['at_an_end']})"
    return f"{student['name']}{weight} {_gain(student['gain'])}"


def _decided(measured: list[Table]) -> str:
    """What intervals say: each by itself, and of which objectives those of a setting say the sign at once."""
    if _seeds(measured) == [1]:
        return "One seed has no intervals, so nothing is decided."
    found = []
    for one in measured:
        named = [(each["name"], each["gain"]["decision"]) for each in one["students"] if each["gain"] is not None]
        for decision in ("a gain", "a loss"):
            if names := [name for name, decided in named if decided == decision]:
                found.append(f"on {one['name']} {', '.join(names)}: {decision}")
    return (
        "Each interval holds by itself: of many, some miss the true gain. Decided by intervals that hold for all objectives "
        f"and λ of a panel at once, at 95 %: {'; '.join(found) or 'none'}."
    )


def _spread(method: Table, k: int) -> str:
    return f"{method['accuracy'][k]:.2f}" + (f" ± {method['deviation'][k]:.2f}" if method["deviation"] else "")


FIGURE = PaperFigure(
    name="accuracy",
    sentence="accuracy of every objective of a campaign, and apart from it those that KD²M, TTM and WTTM report",
    source="KD²M (arXiv 2504.01757) and TTM (arXiv 2402.11148), accuracy tables",
    table=table,
    draw=draw,
    caption=caption,
    reads=(MNIST,),
)
