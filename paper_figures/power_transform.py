"""The power transform of TTM, p ↦ p^γ / Σ p^γ, and the weight U_γ(p) = Σ p^γ that WTTM gives a sample."""

import math

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import expit

from kd2m_theory.arrays import Float64
from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.reporting.style import AMBER, GREEN, INK, MUTED, PAGE, PURPLE, TEACHER, diagram, grid, legend_below, letter
from kd2m_theory.validation.objectives.ttm import smoothness

GAMMAS = (1.0, 0.5, 0.3, 0.1)
SIMPLEX_GAMMA = 0.3
_LOOKS = ((MUTED, "-"), (GREEN, "-."), (PURPLE, "--"), (AMBER, "-"))
_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, math.sqrt(3) / 2]])
_STEPS = 8  # rows of arrows in the triangle


def transformed(p: Float64, gamma: float) -> Float64:
    """softmax(γ ln p) of each row, as TTM computes it from logits."""
    found: Float64 = torch.softmax(gamma * torch.from_numpy(p).log(), dim=1).numpy()
    return found


def weight(p: Float64, gamma: float) -> Float64:
    """U_γ of each row."""
    found: Float64 = smoothness(torch.from_numpy(p).log(), gamma).numpy()
    return found


def table() -> Table:
    """Map and weight for two classes, and the map on a grid of three classes."""
    # Even in log-odds, and the ends themselves: p^0.1 is still 0.007 where p is e^−50.
    odds = np.concatenate(([-np.inf], np.linspace(-50.0, 50.0, 1001), [np.inf]))
    pairs = np.column_stack((expit(odds), expit(-odds)))
    triples = np.array(
        [(i, j, _STEPS + 2 - i - j) for i in range(1, _STEPS + 1) for j in range(1, _STEPS + 2 - i)], dtype=np.float64
    )
    # Towards the edges, where the map does most: squares of a regular grid.
    triples = triples**2 / (triples**2).sum(axis=1, keepdims=True)
    return {
        "gammas": list(GAMMAS),
        "p": pairs[:, 0].tolist(),
        "transformed": [transformed(pairs, gamma)[:, 0].tolist() for gamma in GAMMAS],
        "weight": [weight(pairs, gamma).tolist() for gamma in GAMMAS],
        "simplex_gamma": SIMPLEX_GAMMA,
        "simplex": triples.tolist(),
        "simplex_transformed": transformed(triples, SIMPLEX_GAMMA).tolist(),
    }


def draw(table: Table, width: float = PAGE) -> Figure:
    """Three panels: the map for two classes, for three, and the weight."""
    figure, (two, three, weights) = grid(width, 3, 1.55, min(2.35, 0.85 * width), 0.3)
    for (colour, dashes), gamma, mapped, weighed in zip(
        _LOOKS, table["gammas"], table["transformed"], table["weight"], strict=True
    ):
        two.plot(table["p"], mapped, color=colour, ls=dashes, label=rf"$\gamma$ = {gamma:g}")
        weights.plot(table["p"], weighed, color=colour, ls=dashes)
    two.set_aspect("equal")
    two.set(xlim=(0, 1), ylim=(0, 1), xlabel="teacher's probability $p$", ylabel=r"transformed $\hat{p}$")
    letter(two, "a", "two classes")
    _simplex(three, table)
    letter(three, "b", f"three classes,{' ' if width >= PAGE else chr(10)}" + rf"$\gamma$ = {table['simplex_gamma']:g}")
    weights.set(xlim=(0, 1), ylim=(0.95, 2.05), xlabel="teacher's probability $p$", ylabel=r"weight $U_\gamma(p)$ of a sample")
    letter(weights, "c", "WTTM, two classes")
    legend_below(figure, two.get_lines(), most=4, handlelength=2.4)
    return figure


def caption(table: Table) -> str:
    """How to read it."""
    gammas = ", ".join(f"{gamma:g}" for gamma in table["gammas"])
    most = ", ".join(f"{max(weights):.2f}" for weights in table["weight"])
    return (
        f"a: a teacher's probability of two classes before and after the transform, γ = {gammas}; γ = 1 changes nothing. "
        f"b: predictions of three classes (dots) move towards the uniform one (+), γ = {table['simplex_gamma']:g}. c: the "
        f"weight that WTTM gives a sample; it is largest where the teacher is unsure ({most} for these γ) and 1 where it "
        "is sure."
    )


def _simplex(axes: Axes, table: Table) -> None:
    diagram(axes)
    axes.set_aspect("equal")
    axes.set(xlim=(-0.17, 1.17), ylim=(-0.3, 1.04))  # a square, as tall as its neighbours
    axes.fill(*_CORNERS.T, fc="none", ec=MUTED, lw=0.8)
    before, after = (np.array(table[name]) @ _CORNERS for name in ("simplex", "simplex_transformed"))
    properties = {"arrowstyle": "->", "color": TEACHER, "lw": 0.7, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 5}
    for start, end in zip(before, after, strict=True):
        axes.annotate("", end, start, arrowprops=properties)
    axes.plot(*before.T, ls="none", marker="o", ms=1.8, color=INK)
    axes.plot([_CORNERS[:, 0].mean(), 0.36], [_CORNERS[:, 1].mean(), -0.24], ls="none", marker="+", ms=6, color=INK)
    axes.text(0.42, -0.24, "uniform", color=INK, va="center_baseline")
    for k, (x, y) in enumerate(_CORNERS.tolist(), 1):
        above = y > 0
        axes.text(x, y + (0.03 if above else -0.03), f"class {k}", ha="center", va="bottom" if above else "top")


FIGURE = PaperFigure(
    name="power-transform",
    sentence="the map p ↦ p^γ / Σ p^γ for two and three classes, and the weight U_γ of WTTM",
    source="TTM and WTTM (arXiv 2402.11148): the power transform",
    table=table,
    draw=draw,
    caption=caption,
)
