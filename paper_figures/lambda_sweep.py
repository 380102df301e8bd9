"""How λ acts while a student is trained: loss, distance and accuracy from epoch to epoch, λ = 0 dashed."""

from dataclasses import asdict
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.paper_figures.reported import KD2M_SWEEP
from kd2m_theory.paper_figures.training_curves import (
    FEATURES,
    STORED,
    band,
    by_name,
    curve,
    distance_of,
    lacking,
    of_band,
    plot_over_seeds,
    power,
    said,
    said_first,
    title,
)
from kd2m_theory.reporting.style import ALONE, PAGE, STUDENT, grid, legend_below, letter, log_marks
from kd2m_theory.validation.campaigns.gains import comparison, plus_minus
from kd2m_theory.validation.campaigns.trainings import Setting, Students

COLUMNS = {"cross_entropy": "test", "distance": "train", "accuracy": "test"}
_MOST = 8  # weights beside λ = 0: as many as there are marks
_MARKS = tuple((marker, face) for face in ("white", STUDENT) for marker in "o^sD")
_DECISIONS = {"a gain": "that is a gain", "a loss": "that is a loss", "undecided": "its sign is not decided"}


def table(setting: Setting) -> Table:
    """Mean, smallest and largest over the seeds after each epoch, for λ = 0 and each λ of one objective.

    Raises:
        LacksNumbersError: no objective has two weights above zero, or nothing is trained with λ = 0.
    """
    students, alone = _grid(setting), setting.alone
    if alone is None:
        raise lacking("lambda-sweep", setting, f"a student without a teacher: objectives.{students[0].objective} with λ = 0")
    objective = students[0].objective
    gain = next((each.gain for each in comparison(setting).learned if any(each.students is one for one in students)), None)
    if len(students) > _MOST:
        students = [students[k] for k in np.linspace(0, len(students) - 1, _MOST).round().astype(int)]
    shown = [alone, *students]
    return {
        **said(setting, shown),
        "population": setting.population,
        "objective": objective,
        "gain": None if gain is None else {**asdict(gain.points), "decision": gain.decision},
        "students": [
            {
                "weight": each.weight or 0.0,
                "cross_entropy": curve(each, "cross_entropy", "test"),
                "distance": None if (part := distance_of(each, objective)) is None else curve(each, part, "train"),
                "accuracy": curve(each, "accuracy", "test"),
            }
            for each in shown
        ],
    }


def _grid(setting: Setting) -> list[Students]:
    """Students of one objective with several weights above zero: of the first of `FEATURES` that has some, else of most."""
    grids: dict[tuple[str, str], list[Students]] = {}
    for each in setting.students:
        if each.weight and each.curves("accuracy", "test"):
            grids.setdefault((each.objective, repr(each.options)), []).append(each)
    several = {key: grid for key, grid in grids.items() if len(grid) > 1}
    if not several:
        raise lacking(
            "lambda-sweep", setting, "an objective with at least two weights above zero, such as objectives.cw2.weight"
        )
    order = {name: -place for place, name in enumerate(reversed(FEATURES), 1)}
    return min(several.items(), key=lambda each: (order.get(each[0][0], 0), -len(each[1])))[1]


def draw(table: Table, width: float = PAGE) -> Figure:
    """Three panels against the epoch: test loss, distance of the training batches, test accuracy."""
    figure, (loss, distance, accuracy) = grid(width, 3, 1.55, 2.05, 0.6)
    looks = list(map(_looks, table["students"], cycle(_MARKS), range(len(table["students"]))))
    for axes, column, factor in ((loss, "cross_entropy", 1), (distance, "distance", 1), (accuracy, "accuracy", 100)):
        for student, look in zip(table["students"], looks, strict=True):
            if student[column] is not None:
                plot_over_seeds(axes, student[column], factor, **look)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    ends = [student["accuracy"]["low"][-1] for student in table["students"]]
    highest = max(max(student["accuracy"]["high"]) for student in table["students"])
    # The first epochs are far below, and alike.
    accuracy.set_ylim(
        100 * max(0.0, min(ends) - 3 * (1 - min(ends)) * highest), 100 * min(1.0, highest + 0.1 * (1 - min(ends)))
    )
    loss.set(yscale="log", ylabel="cross-entropy (nats)")
    distance.set(yscale="log", ylabel=f"{_distance(table['objective'])} of a training batch")
    log_marks(loss)
    log_marks(distance)
    accuracy.set_ylabel("accuracy (%)")
    letter(loss, "a", "test loss")
    letter(distance, "b", "distillation distance" if table["objective"] in FEATURES else "distillation loss")
    letter(accuracy, "c", "test accuracy")
    handles = [
        Line2D(
            [],
            [],
            lw=1.0,
            label=rf"$\lambda$ = {power(student['weight'])}{'' if student['weight'] else ', no teacher'}",
            **look,
        )
        for student, look in zip(table["students"], looks, strict=True)
    ]
    legend_below(figure, handles, f"{table['setting']} ({band(table)})")
    return figure


def _looks(student: Table, mark: tuple[str, str], place: int) -> dict[str, Any]:
    if not student["weight"]:
        return {"color": ALONE, "ls": "--"}
    epochs = len(student["accuracy"]["epoch"])
    every = max(1, epochs // 5)
    return {"color": STUDENT, "marker": mark[0], "mfc": mark[1], "ms": 3.2, "markevery": ((place * every) // 4 % epochs, every)}


def _distance(objective: str) -> str:
    """What the loss has of it: the square of a transport distance."""
    return title(objective) + ("²" if objective.endswith("w2") else "")


def caption(table: Table) -> str:
    """How to read it, and what the distance does here."""
    alone, *taught = table["students"]
    name = title(table["objective"])
    ends = [100 * student["accuracy"]["mean"][-1] for student in (alone, *taught)]
    losses = [student["cross_entropy"]["mean"][-1] for student in (alone, *taught)]
    best, best_loss = max(ends[1:]), min(losses[1:])
    gain = table["gain"]
    if gain is None:
        here = "No student without a teacher has the same seeds"
    elif table["seeds"] < 2:
        here = "With one seed it cannot be said whether it helps"
    else:
        points, decision = plus_minus(gain["mean"], gain["half"], "+"), _DECISIONS[gain["decision"]]
        here = (
            f"At the λ with the best accuracy on the validation images {name} gains {points} points, seed by seed; {decision} "
            "by intervals that hold for all objectives and λ of the campaign at once"
        )
    last = [student["distance"]["mean"][-1] for student in taught if student["distance"] is not None]
    smallest = " although its distance is the smallest" if last and len(last) == len(taught) and min(last) == last[-1] else ""
    not_measured = " The distance of the student without a teacher was not measured." if alone["distance"] is None else ""
    sweep = KD2M_SWEEP.accuracy
    reported = ", ".join(f"λ = {weight:g}: {sweep[weight]:.2f} %".replace("e-0", "e-") for weight in sorted(sweep))
    return (
        f"{said_first(table['setting'])}; {of_band(table)}. After the last epoch the "
        f"student without a teacher has {ends[0]:.2f} % accuracy and loss {losses[0]:.3f} nats; with {name} the best λ "
        f"reaches {best:.2f} % and {best_loss:.3f}, the largest λ = {taught[-1]['weight']:g} has {ends[-1]:.2f} % and "
        f"{losses[-1]:.3f}{smallest}. {here}.{not_measured} {KD2M_SWEEP.source}, reports for "
        f"{KD2M_SWEEP.data} with CW₂ {reported}; in the author's code the student with λ = 0 does not anneal its learning rate "
        "and the others do, here all do."
    )


FIGURE = PaperFigure(
    name="lambda-sweep",
    sentence="test loss, distance and test accuracy from epoch to epoch for each λ of a distance of features, λ = 0 dashed",
    source="KD²M (arXiv 2504.01757), the λ sweep",
    table=table,
    draw=draw,
    caption=caption,
    reads=(STORED,),
    apart=by_name,
)
