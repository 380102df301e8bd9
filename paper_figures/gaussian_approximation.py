"""Two clouds in the plane: as they are, and as the Gaussians with their mean and covariance."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kd2m_theory.arrays import Float64
from kd2m_theory.estimators import gaussian_wasserstein, wasserstein
from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.reporting.style import COLUMN, MUTED, STUDENT, TEACHER, legend_below, letter, sheet

_SEED = 11
_POINTS = 150
_CIRCLE = np.linspace(0, 2 * np.pi, 121)


def clouds() -> tuple[Float64, Float64]:
    """A bent cloud and one in two parts, n × 2 each."""
    rng = np.random.default_rng(_SEED)
    along = rng.uniform(-1.9, 1.9, _POINTS)
    bent = np.column_stack((along, 0.75 * along**2)) + 0.18 * rng.normal(size=(_POINTS, 2))
    side = rng.choice((-1.0, 1.0), _POINTS)
    split = np.column_stack((1.5 + 1.2 * side, 0.3 + 0.8 * side)) + rng.normal(size=(_POINTS, 2)) * (0.3, 0.45)
    return bent, split


def table() -> Table:
    """Points, moments, and W₂ between the points and between the Gaussians."""
    teacher, student = clouds()
    distance = gaussian_wasserstein(teacher, student)
    return {
        "teacher": _described(teacher),
        "student": _described(student),
        "w2": wasserstein(teacher, student, 2).value,
        "gaussian_w2": distance.value,
    }


def _described(points: Float64) -> Table:
    covariance = np.cov(points.T, bias=True)
    return {"points": points.tolist(), "mean": points.mean(axis=0).tolist(), "covariance": covariance.tolist()}


def ellipse(mean: Float64, covariance: Float64, deviations: float) -> Float64:
    """Points z with (z − mean)ᵀ covariance⁻¹ (z − mean) = deviations², n × 2."""
    circle = np.column_stack((np.cos(_CIRCLE), np.sin(_CIRCLE)))
    outline: Float64 = mean + deviations * circle @ np.linalg.cholesky(covariance).T
    return outline


def draw(table: Table, width: float = COLUMN) -> Figure:
    """Two panels on common axes."""
    figure = sheet(width, 0.42 * width + 0.85, "compressed")
    empirical, fitted = figure.subplots(1, 2, sharex=True, sharey=True)
    for name, colour, marker in (("teacher", TEACHER, "o"), ("student", STUDENT, "^")):
        points = np.array(table[name]["points"])
        empirical.plot(*points.T, ls="none", marker=marker, ms=2.4, mew=0, color=colour, alpha=0.75, label=name)
        fitted.plot(*points.T, ls="none", marker=marker, ms=1.6, mew=0, color=colour, alpha=0.25)
        _gaussian(fitted, table[name], colour, marker)
    letter(empirical, "a", f"empirical\n$W_2$ = {table['w2']:.3f}")
    letter(fitted, "b", f"Gaussian\n$W_2$ = {table['gaussian_w2']:.3f}")
    for axes in (empirical, fitted):
        axes.set_aspect("equal")
        axes.set_xlabel("1st coordinate (units)")
    empirical.set_ylabel("2nd coordinate (units)")
    fitted.set_ylabel("2nd coordinate (units)")
    fitted.label_outer()
    handles = [
        *empirical.get_lines(),
        Line2D([], [], color=MUTED, lw=1.0, label="b: one and two deviations"),
        Line2D([], [], ls="none", marker="o", ms=4, color=MUTED, mec="white", mew=0.6, label="b: mean"),
    ]
    legend_below(figure, handles, most=4, handletextpad=0.4, columnspacing=1.2)
    return figure


def caption(table: Table) -> str:
    """How to read it."""
    return (
        f"a: {len(table['teacher']['points'])} points of each network, W₂ = {table['w2']:.3f}. b: the Gaussians with their "
        f"means and covariances, ellipses at one and two standard deviations, W₂ = {table['gaussian_w2']:.3f}: what the "
        "Gaussian approximation does not see is lost. The clouds are made by this project; the paper's are others."
    )


def _gaussian(axes: Axes, described: Table, colour: str, marker: str) -> None:
    mean, covariance = np.array(described["mean"]), np.array(described["covariance"])
    for deviations, alpha in ((2.0, 0.10), (1.0, 0.25)):
        outline = ellipse(mean, covariance, deviations)
        axes.fill(*outline.T, color=colour, alpha=alpha, lw=0)
        axes.plot(*outline.T, color=colour, lw=1.0)
    axes.plot(*mean, marker=marker, ms=4, color=colour, mec="white", mew=0.6)


FIGURE = PaperFigure(
    name="gaussian-approximation",
    sentence="two clouds and the Gaussians of one and two deviations with their moments, W₂ of each; the second is "
    "never larger",
    source="KD²M (arXiv 2504.01757), metric illustrations: empirical and Gaussian approximation",
    table=table,
    draw=draw,
    caption=caption,
)
