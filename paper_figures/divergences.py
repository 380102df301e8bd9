"""f-divergences between two densities: what each adds up, and what it says as one density moves away."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kd2m_theory.arrays import Float64
from kd2m_theory.paper_figures.figure import PaperFigure, Table
from kd2m_theory.paper_figures.line_laws import LineMixture
from kd2m_theory.reporting.style import AMBER, GREEN, INK, MUTED, PAGE, PURPLE, STUDENT, TEACHER, grid, legend_below, letter

TEACHER_LAW = LineMixture((0.55, 0.45), (-1.0, 1.0), (0.5, 0.7))
STUDENT_LAW = LineMixture((1.0,), (0.0,), (0.9,))
SHOWN_SHIFT = 1.5
_SHIFTS = np.linspace(-1.0, 6.0, 141)
_GRID = np.linspace(-22.0, 22.0, 8801)

NAMES = {
    "kl": "KL",
    "symmetric_kl": "symmetric KL",
    "total_variation": "total variation",
    "squared_hellinger": "squared Hellinger",
}
_LOOKS = {
    "kl": (INK, "-"),
    "symmetric_kl": (PURPLE, "--"),
    "total_variation": (AMBER, "-."),
    "squared_hellinger": (GREEN, (0, (1, 1))),
}


def integrands(log_p: Float64, log_q: Float64) -> dict[str, Float64]:
    """What each divergence of p from q integrates, from log densities.

    q f(p/q) with f chosen ≥ 0, so that KL is the integral of p ln(p/q) − p + q; symmetric KL is the mean of both directions.
    """
    p, q = np.exp(log_p), np.exp(log_q)
    ratio = log_p - log_q
    return {
        "kl": p * ratio - p + q,
        "symmetric_kl": (p - q) * ratio / 2,
        "total_variation": np.abs(p - q) / 2,
        "squared_hellinger": (np.exp(log_p / 2) - np.exp(log_q / 2)) ** 2 / 2,
    }


def table() -> Table:
    """Densities and integrands at one shift, and the value of each divergence at every shift."""
    step = _GRID[1] - _GRID[0]
    log_p = TEACHER_LAW.log_density(_GRID)
    values: dict[str, list[float]] = {name: [] for name in NAMES}
    for shift in _SHIFTS:
        for name, integrand in integrands(log_p, STUDENT_LAW.shifted(shift).log_density(_GRID)).items():
            values[name].append(float(integrand.sum() * step))
    z = np.linspace(-3.5, 5.0, 341)
    log_p, log_q = TEACHER_LAW.log_density(z), STUDENT_LAW.shifted(SHOWN_SHIFT).log_density(z)
    return {
        "z": z.tolist(),
        "density_teacher": np.exp(log_p).tolist(),
        "density_student": np.exp(log_q).tolist(),
        "integrands": {name: integrand.tolist() for name, integrand in integrands(log_p, log_q).items()},
        "shown_shift": SHOWN_SHIFT,
        "shifts": _SHIFTS.tolist(),
        "values": values,
    }


def draw(table: Table, width: float = PAGE) -> Figure:
    """Three panels: the densities, the integrands, the values against the shift."""
    figure, (densities, parts, values) = grid(width, 3, 1.55, 2.0, 0.6)
    z = table["z"]
    for name, colour, words in (("teacher", TEACHER, "teacher $p$"), ("student", STUDENT, "student $q$")):
        density = table[f"density_{name}"]
        densities.fill_between(z, density, color=colour, alpha=0.18, lw=0)
        densities.plot(z, density, color=colour, label=words, ls="-" if name == "teacher" else "--")
    densities.set(ylim=(0, 0.62), xlabel="$z$ (units of the feature)", ylabel="density (1 / unit)")
    letter(densities, "a", f"student shifted by {table['shown_shift']:g}")
    for name, words in NAMES.items():
        colour, dashes = _LOOKS[name]
        parts.plot(z, table["integrands"][name], color=colour, ls=dashes, label=words)
        values.plot(table["shifts"], table["values"][name], color=colour, ls=dashes)
    parts.set(ylim=(0, None), xlabel="$z$ (units of the feature)", ylabel="integrand (1 / unit)")
    letter(parts, "b", "what is added up")
    largest = values.axhline(1, color=MUTED, lw=0.6, label="c: largest total variation and Hellinger")
    shift = values.axvline(table["shown_shift"], color=MUTED, lw=1.0, ls=":", label="c: the shift of a and b")
    values.set(yscale="log", ylim=(0.02, 60), xlabel="shift of $q$ (units)", ylabel="divergence (KL: nats)")
    letter(values, "c", "by shift of $q$")
    handles = [*densities.get_lines(), *parts.get_lines(), largest, shift]
    legend_below(figure, [each for each in handles if isinstance(each, Line2D)], most=4)
    return figure


def caption(table: Table) -> str:
    """How to read it, and the values at the shift that is shown."""
    k = min(range(len(table["shifts"])), key=lambda k: abs(table["shifts"][k] - table["shown_shift"]))
    found = ", ".join(f"{words} {table['values'][name][k]:.2f}" for name, words in NAMES.items())
    return (
        f"a: the densities, the student's shifted by {table['shown_shift']:g}. b: what each divergence integrates there, "
        f"in nats per unit for the two KL; the areas are {found}. c: the areas by shift; total variation and Hellinger "
        "stay below 1, the two KL (in nats) do not. The two laws are mixtures of Gaussians chosen by this project; the "
        "paper's are others."
    )


FIGURE = PaperFigure(
    name="divergences",
    sentence="KL, symmetric KL, total variation and Hellinger between two densities as one is shifted",
    source="KD²M (arXiv 2504.01757), metric illustrations: f-divergences",
    table=table,
    draw=draw,
    caption=caption,
)
