"""How sure students are, and how far from their transformed teacher, while KD, TTM and WTTM train them."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.paper_figures.training_curves import STORED, TrainingCurves, over_seeds, plot_over_seeds, said_first
from kd2m_theory.reporting.style import ALONE, KD, PAGE, TEACHER, TTM, WTTM, from_zero, grid, legend_below, letter

STUDENTS = {"alone": "cw2", "kd": "kd", "ttm": "ttm", "wttm": "wttm"}  # the student alone is the one with λ = 0
_LOOKS: dict[str, dict[str, Any]] = {
    "alone": {"color": ALONE, "ls": "--"},
    "kd": {"color": KD},
    "ttm": {"color": TTM},
    "wttm": {"color": WTTM},
}
_WORDS = {"alone": "no teacher", "kd": "KD", "ttm": "TTM", "wttm": "WTTM"}


def table(stored: TrainingCurves) -> Table:
    """Entropy and divergence at each epoch, over the seeds, and the histogram of entropies after the last."""
    students = []
    for name, objective in STUDENTS.items():
        chosen = stored.lightest(objective)
        counts = np.array(stored.of(stored.entry("histograms", "student", name), "counts"))
        students.append(
            {
                "name": name,
                "weight": chosen["weight"],
                **{column: over_seeds(stored.of_seeds(chosen, "curves", column), 0) for column in ("entropy", "divergence")},
                "shares": (counts / counts.sum()).tolist(),
            }
        )
    return {
        "setting": stored.setting(),
        "gamma": stored.part("setting", "gamma"),
        "teacher_entropy": stored.part("teacher", "entropy"),
        "range": stored.of(stored.entry("histograms", "student", "alone"), "range"),
        "students": students,
    }


def draw(table: Table, width: float = PAGE) -> Figure:
    """Three panels: mean entropy and mean divergence against the epoch, and the histogram after the last."""
    figure, (entropy, divergence, histogram) = grid(width, 3, 1.55, 2.05, 0.6)
    low, high = table["range"]
    edges = np.linspace(low, high, len(table["students"][0]["shares"]) + 1)
    for student in table["students"]:
        looks = _LOOKS[student["name"]]
        plot_over_seeds(entropy, student["entropy"], **looks)
        plot_over_seeds(divergence, student["divergence"], **looks)
        histogram.stairs([100 * share for share in student["shares"]], edges, lw=1.0, **looks)
    entropy.axhline(table["teacher_entropy"], color=TEACHER, ls=":", lw=1.2)
    entropy.set(xlabel="epoch", ylabel=r"mean entropy $H(q)$ (nats)", ylim=(0, 1.04 * high))
    divergence.set(xlabel="epoch", ylabel=r"mean $\mathrm{KL}(\hat{p}\,\|\,q)$ (nats)")
    divergence.set_ylim(bottom=0)
    histogram.set(xlabel="entropy (nats)", ylabel="test images (%)", xlim=(low, high))
    from_zero(histogram, "y", min(100 * share for student in table["students"] for share in student["shares"] if share))
    letter(entropy, "a", "entropy over training")
    letter(divergence, "b", rf"divergence, $\gamma$ = {table['gamma']:g}")
    letter(histogram, "c", "after training")
    for line, words in zip(entropy.get_lines(), (*map(_label, table["students"]), "teacher (a)"), strict=True):
        line.set_label(words)
    legend_below(figure, entropy.get_lines(), f"{table['setting']} (line: mean, band: all of them)")
    return figure


def caption(table: Table) -> str:
    """How to read it, and where it differs from the paper."""
    ends = {student["name"]: student["entropy"]["mean"][-1] for student in table["students"]}
    order = " < ".join(_WORDS[name] for name in sorted(("kd", "ttm", "wttm"), key=ends.__getitem__))
    same = "as in the paper" if ends["kd"] < ends["ttm"] < ends["wttm"] else "the paper has KD < TTM < WTTM"
    values = ", ".join(f"{_WORDS[name]} {value:.2f}" for name, value in ends.items())
    weights = {student["name"]: student["weight"] for student in table["students"]}
    below = ""
    if ends["wttm"] < ends["ttm"]:
        below = (
            f" WTTM's entropy is below TTM's here. Their weights differ (β of TTM is {weights['ttm']:g}, of WTTM "
            f"{weights['wttm']:g}); whether the order comes from the methods or from these weights, the figure does not "
            "say."
        )
    return (
        f"{said_first(table['setting'])}; a line is the mean of the seeds, a band all of them; the dotted line in a is the "
        f"teacher. Mean entropy after the last epoch, in nats: {values}, teacher {table['teacher_entropy']:.3f}. The order "
        f"is {order}; {same}, on CIFAR-100 with T = 4.{below} c: the share of images in each bin; the scale is logarithmic "
        "down to the smallest share above zero and linear below, so an empty bin stands at 0."
    )


def _label(student: Table) -> str:
    symbol = r"$\lambda$" if student["name"] in ("alone", "kd") else r"$\beta$"
    return f"{_WORDS[student['name']]}, {symbol} = {student['weight']:g}"


FIGURE = PaperFigure(
    name="entropy",
    sentence="entropy of a student and divergence from its transformed teacher while KD, TTM and WTTM train; on "
    "digits, by this project",
    source="TTM and WTTM (arXiv 2402.11148): entropy, divergence and histograms",
    table=table,
    draw=draw,
    caption=caption,
    reads=(STORED,),
)
