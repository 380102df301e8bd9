"""How sure students are, and how far from their transformed teacher, while KD, TTM and WTTM train them."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.paper_figures.training_curves import (
    STORED,
    band,
    by_name,
    colour,
    curve,
    lacking,
    of_band,
    plot_over_seeds,
    said,
    said_first,
)
from kd2m_theory.reporting.style import PAGE, TEACHER, from_zero, grid, legend_below, letter
from kd2m_theory.validation.campaigns.trainings import Setting, chosen
from kd2m_theory.validation.training.followed import GAMMA

_WORDS = {"alone": "no teacher", "kd": "KD", "ttm": "TTM", "wttm": "WTTM"}
_LOOKS: dict[str, dict[str, Any]] = {
    "alone": {"color": colour("none"), "ls": "--"},
    **{name: {"color": colour(name)} for name in ("kd", "ttm", "wttm")},
}


def table(setting: Setting) -> Table:
    """Entropy and divergence after each epoch, over the seeds, and the histogram of entropies after the last.

    Of an objective with several weights the student with the best accuracy on the validation images is taken.

    Raises:
        LacksNumbersError: KD, TTM and WTTM have no student, or their last epoch was not kept.
    """
    shown = {"alone": setting.alone} | {name: chosen(those) for name in ("kd", "ttm", "wttm") if (those := setting.of(name))}
    students, ranges = [], []
    for name, each in shown.items():
        histograms = [] if each is None else list(each.found("histogram", "entropy", "student test").values())
        if each is None or not histograms or not each.curves("transformed", "test"):
            continue
        counts = np.sum([row["values"] for row in histograms], axis=0)
        ranges.append([histograms[0]["lower"], histograms[0]["upper"]])
        students.append(
            {
                "name": name,
                "weight": each.weight,
                "entropy": curve(each, "entropy", "test"),
                "divergence": curve(each, "transformed", "test"),
                "shares": (counts / counts.sum()).tolist(),
            }
        )
    if not any(student["name"] != "alone" for student in students):
        raise lacking("entropy", setting, "a student of kd, ttm or wttm, audited after its last epoch")
    taught = [
        value for each in shown.values() if each is not None for value in each.results("entropy", "teacher test").values()
    ]
    return {
        **said(setting, [each for each in shown.values() if each is not None]),
        "gamma": GAMMA,
        "teacher_entropy": float(np.mean(taught)),
        "range": ranges[0],
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
    for axes in (entropy, divergence):
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    entropy.axhline(table["teacher_entropy"], color=TEACHER, ls=":", lw=1.2)
    entropy.set(xlabel="epoch", ylabel=r"mean entropy $H(q)$ (nats)", ylim=(0, 1.04 * high))
    divergence.set(xlabel="epoch", ylabel=r"mean $\mathrm{KL}(\hat{p}\,\|\,q)$ (nats)")
    divergence.set_ylim(bottom=0)
    histogram.set(xlabel="entropy (nats)", ylabel="test images (%)", xlim=(low, high))
    from_zero(
        histogram, "y", min(10.0, *(100 * share for student in table["students"] for share in student["shares"] if share))
    )
    letter(entropy, "a", "entropy over training")
    letter(divergence, "b", rf"divergence, $\gamma$ = {table['gamma']:g}")
    letter(histogram, "c", "after training")
    for line, words in zip(entropy.get_lines(), (*map(_label, table["students"]), "teacher (a)"), strict=True):
        line.set_label(words)
    legend_below(figure, entropy.get_lines(), f"{table['setting']} ({band(table)})")
    return figure


def caption(table: Table) -> str:
    """How to read it, and where it differs from the paper."""
    ends = {student["name"]: student["entropy"]["mean"][-1] for student in table["students"]}
    values = ", ".join(f"{_WORDS[name]} {value:.2f}" for name, value in ends.items())
    weights = {student["name"]: student["weight"] for student in table["students"]}
    order = ""
    if {"kd", "ttm", "wttm"} <= ends.keys():
        here = " < ".join(_WORDS[name] for name in sorted(("kd", "ttm", "wttm"), key=ends.__getitem__))
        same = "as in the paper" if ends["kd"] < ends["ttm"] < ends["wttm"] else "the paper has KD < TTM < WTTM"
        order = f" The order is {here}; {same}, on CIFAR-100 with T = 4."
        if ends["wttm"] < ends["ttm"]:
            order += (
                f" WTTM's entropy is below TTM's here. Their weights differ (β of TTM is {weights['ttm']:g}, of WTTM "
                f"{weights['wttm']:g}); whether the order comes from the methods or from these weights, the figure does not "
                "say."
            )
    return (
        f"{said_first(table['setting'])}; {of_band(table)}; the dotted line in a is the "
        f"teacher. Mean entropy after the last epoch, in nats: {values}, teacher {table['teacher_entropy']:.3f}."
        f"{order} c: the share of images in each bin; the scale is logarithmic "
        "down to the smallest share above zero and linear below, so an empty bin stands at 0."
    )


def _label(student: Table) -> str:
    symbol = r"$\lambda$" if student["name"] in ("alone", "kd") else r"$\beta$"
    return f"{_WORDS[student['name']]}, {symbol} = {student['weight'] or 0:g}"


FIGURE = PaperFigure(
    name="entropy",
    sentence="entropy of a student and divergence from its transformed teacher while KD, TTM and WTTM train",
    source="TTM and WTTM (arXiv 2402.11148): entropy, divergence and histograms",
    table=table,
    draw=draw,
    caption=caption,
    reads=(STORED,),
    apart=by_name,
)
