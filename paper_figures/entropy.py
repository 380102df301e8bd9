"""How sure students are, and how far from their transformed teacher, while KD, TTM and WTTM train them."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.paper_figures.training_curves import STORED, TrainingCurves, over_seeds, plot_over_seeds
from kd2m_theory.reporting.style import BLUE, GREEN, INK, MUTED, ORANGE, PAGE, letter, sheet

STUDENTS = {"alone": "cw2", "kd": "kd", "ttm": "ttm", "wttm": "wttm"}  # the student alone is the one with λ = 0
_LOOKS: dict[str, dict[str, Any]] = {
    "alone": {"color": INK, "ls": "--"},
    "kd": {"color": GREEN},
    "ttm": {"color": BLUE},
    "wttm": {"color": ORANGE},
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


def draw(table: Table) -> Figure:
    """Three panels: mean entropy and mean divergence against the epoch, and the histogram after the last."""
    figure = sheet(PAGE, 2.65)
    entropy, divergence, histogram = figure.subplots(1, 3)
    low, high = table["range"]
    edges = np.linspace(low, high, len(table["students"][0]["shares"]) + 1)
    for student in table["students"]:
        looks = _LOOKS[student["name"]]
        plot_over_seeds(entropy, student["entropy"], **looks)
        plot_over_seeds(divergence, student["divergence"], **looks)
        histogram.stairs([100 * share for share in student["shares"]], edges, lw=1.0, **looks)
    entropy.axhline(table["teacher_entropy"], color=MUTED, ls=":", lw=1.0)
    entropy.set(xlabel="epoch", ylabel=r"mean entropy $H(q)$ (nats)", ylim=(0, 1.04 * high))
    divergence.set(xlabel="epoch", ylabel=r"mean $\mathrm{KL}(\hat{p}\,\|\,q)$ (nats)")
    divergence.set_ylim(bottom=0)
    histogram.set(xlabel="entropy $H(q)$ of an image (nats)", ylabel="test images (%)", xlim=(low, high), yscale="log")
    histogram.yaxis.set_major_formatter("{x:g}")
    letter(entropy, "a", "entropy over training")
    letter(divergence, "b", rf"divergence, $\gamma$ = {table['gamma']:g}")
    letter(histogram, "c", "entropies after training")
    figure.legend(
        handles=entropy.get_lines(),
        labels=[*map(_label, table["students"]), "teacher (a)"],
        loc="outside lower center",
        ncols=len(table["students"]) + 1,
        title=f"{table['setting']} (line: mean, band: all of them)",
        title_fontsize=6.5,
    )
    return figure


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
    reads=(STORED,),
)
