"""The monotone map between two densities on the line: T = F_q⁻¹ ∘ F_p, the optimal map for every convex cost."""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.special import ndtr

from kd2m_theory.arrays import Float64
from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.paper_figures.line_laws import LineMixture
from kd2m_theory.reporting.style import COLUMN, INK, MUTED, STUDENT, TEACHER, legend_below, sheet

SOURCE = LineMixture((0.6, 0.4), (-2.0, 0.9), (0.55, 0.6))
TARGET = LineMixture((0.25, 0.75), (-1.2, 2.2), (0.4, 0.8))
_TAIL = 5e-4  # mass beyond each end of the drawing
_PARTS = 8


def table() -> Table:
    """Both densities, the map on a grid, the cuts into parts of equal mass, and W₂."""
    levels = np.arange(1, _PARTS) / _PARTS
    # With the cuts among the points no stripe stops short of its cut.
    x, y = (np.sort(np.r_[_range(law), law.quantile(levels)]) for law in (SOURCE, TARGET))
    # Levels Φ(t) for equidistant t: the integrand is smooth and its tails vanish, so the plain sum converges fast.
    t = np.linspace(-7.5, 7.5, 1501)
    mass = np.exp(-0.5 * t**2)
    mass /= mass.sum()
    moved = TARGET.quantile(ndtr(t)) - SOURCE.quantile(ndtr(t))
    return {
        "x": x.tolist(),
        "density_source": SOURCE.density(x).tolist(),
        "map": TARGET.quantile(SOURCE.cumulative(x)).tolist(),
        "y": y.tolist(),
        "density_target": TARGET.density(y).tolist(),
        "levels": levels.tolist(),
        "cuts_source": SOURCE.quantile(levels).tolist(),
        "cuts_target": TARGET.quantile(levels).tolist(),
        "w2": math.sqrt(float(mass @ moved**2)),
    }


def _range(law: LineMixture) -> Float64:
    low, high = law.quantile(np.array([_TAIL, 1 - _TAIL]))
    return np.linspace(low, high, 401)


def draw(table: Table, width: float = COLUMN) -> Figure:
    """Source above, target at the right, the map between; stripes of equal mass follow it round the corner."""
    figure = sheet(width, min(0.9 * width, 4.6) + 0.7)
    grid = figure.add_gridspec(2, 2, width_ratios=(1, 0.34), height_ratios=(0.34, 1), wspace=0.03, hspace=0.03)
    main = figure.add_subplot(grid[1, 0])
    above = figure.add_subplot(grid[0, 0], sharex=main)
    beside = figure.add_subplot(grid[1, 1], sharey=main)
    x, y = np.array(table["x"]), np.array(table["y"])
    for k, (left, right) in enumerate(zip((x[0], *table["cuts_source"]), (*table["cuts_source"], x[-1]), strict=True)):
        above.fill_between(
            x, table["density_source"], where=(x >= left) & (x <= right), color=TEACHER, alpha=(0.22, 0.5)[k % 2], lw=0
        )
    for k, (low, high) in enumerate(zip((y[0], *table["cuts_target"]), (*table["cuts_target"], y[-1]), strict=True)):
        beside.fill_betweenx(
            y, table["density_target"], where=(y >= low) & (y <= high), color=STUDENT, alpha=(0.22, 0.5)[k % 2], lw=0
        )
    above.plot(x, table["density_source"], color=TEACHER)
    beside.plot(table["density_target"], y, color=STUDENT)
    for cut, image in zip(table["cuts_source"], table["cuts_target"], strict=True):
        main.plot([cut, cut, x[-1]], [y[-1], image, image], color=MUTED, lw=0.5, alpha=0.7)
        main.plot(cut, image, marker="o", ms=2.5, color=INK)
    main.plot(x, table["map"], color=INK)
    both = max(x[0], y[0]), min(x[-1], y[-1])
    main.plot(both, both, color=MUTED, ls="--", lw=0.8)
    main.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    main.set_xlabel("source $x$ (units of the feature)")
    main.set_ylabel("image $T(x)$ (units of the feature)")
    above.set_ylabel("density\n$p(x)$")
    beside.set_xlabel("density\n$q(T)$")
    above.set_ylim(bottom=0)
    beside.set_xlim(left=0)
    for axes in (above, beside):
        axes.tick_params(labelbottom=axes is beside, labelleft=axes is above)
    words = f"$W_2$ = {table['w2']:.3f}"
    main.text(0.97, 0.04, words, transform=main.transAxes, ha="right", va="bottom")
    handles = [
        Patch(color=TEACHER, alpha=0.5, lw=0, label="source $p$"),
        Patch(color=STUDENT, alpha=0.5, lw=0, label="target $q$"),
        Line2D([], [], color=INK, label="optimal map $T$"),
        Line2D([], [], color=MUTED, ls="--", lw=0.8, label="$T(x) = x$"),
        Line2D(
            [],
            [],
            color=MUTED,
            lw=0.5,
            alpha=0.7,
            marker="o",
            ms=2.5,
            mec=INK,
            mfc=INK,
            label=f"cuts into {_PARTS} equal masses",
        ),
    ]
    legend_below(figure, handles, most=3, columnspacing=1.2, handletextpad=0.5)
    return figure


def caption(table: Table) -> str:
    """How to read it."""
    return (
        f"Thin lines cut both densities into {len(table['levels']) + 1} parts of equal mass, shaded in turn; the map T "
        f"takes each part of the source (above) to one of the target (right). W₂ = {table['w2']:.3f}. The two laws are "
        "mixtures of Gaussians chosen by this project; the paper's are others."
    )


FIGURE = PaperFigure(
    name="transport-map",
    sentence="the optimal map between two densities on the line, equal masses shaded alike",
    source="KD²M (arXiv 2504.01757), metric illustrations: a transport map between two densities",
    table=table,
    draw=draw,
    caption=caption,
)
