"""How λ acts while a student is trained: loss, distance and accuracy from epoch to epoch, λ = 0 dashed."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.paper_figures.reported import KD2M_SWEEP
from kd2m_theory.paper_figures.training_curves import STORED, TrainingCurves, over_seeds, plot_over_seeds, power, said_first
from kd2m_theory.reporting.style import ALONE, PAGE, STUDENT, grid, legend_below, letter

COLUMNS = {"cross_entropy": 0, "distance": 1, "accuracy": 0}  # and the epoch that each begins with: 0 is before training
_LOOKS: tuple[dict[str, Any], ...] = (
    {"color": ALONE, "ls": "--"},
    *(
        {"color": STUDENT, "marker": marker, "ms": 3.2, "mfc": face, "markevery": (first, 12)}
        for first, (marker, face) in zip(
            (2, 5, 8, 11), (("o", "white"), ("^", "white"), ("s", "white"), ("D", STUDENT)), strict=True
        )
    ),
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


def draw(table: Table, width: float = PAGE) -> Figure:
    """Three panels against the epoch: test loss, distance of the training batches, test accuracy."""
    figure, (loss, distance, accuracy) = grid(width, 3, 1.55, 2.05, 0.6)
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
    for line, student in zip(loss.get_lines(), table["students"], strict=True):
        alone = "" if student["weight"] else ", no teacher"
        line.set_label(rf"$\lambda$ = {power(student['weight'])}{alone}")
    legend_below(figure, loss.get_lines(), f"{table['setting']} (line: mean, band: all of them)")
    return figure


def caption(table: Table) -> str:
    """How to read it, and what CW₂ does here."""
    alone, *taught = table["students"]
    ends = [100 * student["accuracy"]["mean"][-1] for student in (alone, *taught)]
    losses = [student["cross_entropy"]["mean"][-1] for student in (alone, *taught)]
    best, best_loss = max(ends[1:]), min(losses[1:])
    highest = 100 * max(student["accuracy"]["low"][-1] for student in taught)
    above = highest > 100 * alone["accuracy"]["high"][-1]
    here = "CW₂ helps here" if above else "CW₂ does not help here: with no λ is every seed above every seed of λ = 0"
    sweep = KD2M_SWEEP.accuracy
    reported = ", ".join(f"λ = {weight:g}: {sweep[weight]:.2f} %".replace("e-0", "e-") for weight in sorted(sweep))
    return (
        f"{said_first(table['setting'])}; a line is the mean of the seeds, a band all of them. After the last epoch the "
        f"student without a teacher has {ends[0]:.2f} % accuracy and loss {losses[0]:.3f} nats; with CW₂ the best λ "
        f"reaches {best:.2f} % and {best_loss:.3f}, the largest λ = {taught[-1]['weight']:g} has {ends[-1]:.2f} % and "
        f"{losses[-1]:.3f} although its distance is the smallest. {here}. {KD2M_SWEEP.source}, reports for "
        f"{KD2M_SWEEP.data} {reported}; in the author's code the student with λ = 0 does not anneal its learning rate and "
        "the others do, here all do."
    )


FIGURE = PaperFigure(
    name="lambda-sweep",
    sentence="test loss, distance and test accuracy from epoch to epoch for each λ of CW₂, λ = 0 dashed; on digits, "
    "by this project",
    source="KD²M (arXiv 2504.01757), the λ sweep",
    table=table,
    draw=draw,
    caption=caption,
    reads=(STORED,),
)
