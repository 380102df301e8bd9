"""How λ acts while a student is trained: loss, distance and accuracy from epoch to epoch, λ = 0 dashed."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.paper_figures.training_curves import STORED, TrainingCurves, over_seeds, plot_over_seeds, power
from kd2m_theory.reporting.style import BLUE, GREEN, INK, ORANGE, PAGE, PURPLE, letter, sheet

COLUMNS = {"cross_entropy": 0, "distance": 1, "accuracy": 0}  # and the epoch that each begins with: 0 is before training
_LOOKS: tuple[dict[str, Any], ...] = (
    {"color": INK, "ls": "--"},
    {"color": PURPLE},
    {"color": GREEN},
    {"color": BLUE},
    {"color": ORANGE},
)


def table(stored: TrainingCurves) -> Table:
    """Mean, smallest and largest over the seeds, at each epoch, for each λ of CW2."""
    objectives = sorted(stored.objectives("cw2"), key=lambda objective: stored.of(objective, "weight"))
    return {
        "setting": stored.setting(),
        "students": [
            {
                "weight": objective["weight"],
                **{
                    column: over_seeds(stored.of_seeds(objective, "curves", column), first) for column, first in COLUMNS.items()
                },
            }
            for objective in objectives
        ],
    }


def draw(table: Table) -> Figure:
    """Three panels against the epoch: test loss, distance of the training batches, test accuracy."""
    figure = sheet(PAGE, 2.65)
    loss, distance, accuracy = figure.subplots(1, 3)
    for axes, column, factor in ((loss, "cross_entropy", 1), (distance, "distance", 1), (accuracy, "accuracy", 100)):
        for student, looks in zip(table["students"], _LOOKS, strict=True):
            plot_over_seeds(axes, student[column], factor, **looks)
        axes.set_xlabel("epoch")
    ends = [student["accuracy"]["low"][-1] for student in table["students"]]
    accuracy.set_ylim(100 * (1 - 4 * (1 - min(ends))), 100)  # the first epochs are far below, and alike
    loss.set(yscale="log", ylabel="cross-entropy (nats)")
    distance.set(yscale="log", ylabel=r"$\mathrm{CW}_2^2$ of a training batch")
    for axes, ticks in ((loss, (1, 2, 5)), (distance, (1, 1.5, 2, 3, 5))):
        axes.yaxis.set_major_locator(LogLocator(subs=ticks))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    accuracy.set_ylabel("accuracy (%)")
    letter(loss, "a", "test loss")
    letter(distance, "b", "distillation distance")
    letter(accuracy, "c", "test accuracy")
    figure.legend(
        handles=loss.get_lines(),
        labels=[rf"$\lambda$ = {power(student['weight'])}" for student in table["students"]],
        loc="outside lower center",
        ncols=len(table["students"]),
        title=f"{table['setting']} (line: mean, band: all of them)",
        title_fontsize=6.5,
    )
    return figure


FIGURE = PaperFigure(
    name="lambda-sweep",
    sentence="test loss, distance and test accuracy from epoch to epoch for each λ of CW₂, λ = 0 dashed; on digits, "
    "by this project",
    source="KD²M (arXiv 2504.01757), the λ sweep",
    table=table,
    draw=draw,
    reads=(STORED,),
)
