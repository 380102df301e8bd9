"""How often intervals from labels are wrong: of plans whenever one stops, on traffic of another law, and of a random half."""

from collections.abc import Iterator, Mapping
from functools import cache, partial

import numpy as np

from kd2m_theory.arrays import Float64
from kd2m_theory.bounds.labelling.partly import partly_labelled
from kd2m_theory.bounds.labelling.plan import drawn_plan
from kd2m_theory.validation.campaigns.controls import CONTROLS
from kd2m_theory.validation.evidence.coverage import judge
from kd2m_theory.validation.evidence.coverage_laws import law, truth
from kd2m_theory.validation.evidence.suite import Case, Suite

LAWS = ("nearly certain", "rare class", "label noise", "student better", "continuous")
TARGETS: Mapping[str, str] = {"error": "population_error_gap", "gap": "population_gap"}
SIZES = (100, 400)
# Failure probability of each end.
TAIL = 0.1
BUDGET = 40
# Numbers of labels at which one looks: whoever stops at will stops at one of them.
LOOKS = (5, 10, 20, 40, 60)
# How the inputs come: from the law, or from the law with other chances of its atoms; and which are labelled.
AS_DRAWN, AT_WILL, SHIFTED = "as drawn, whole budget", "as drawn, stopped at will", "shifted, stopped at will"
HALF = "as drawn, a random half"
# Rounding of sums of losses, in the truth and in its comparison.
_SLACK = 1e-9


@cache
def shifted(name: str) -> Float64:
    """Chances of a law's atoms on other traffic: the rare ones are common."""
    chances = np.sqrt(law(name).chances)
    return np.asarray(chances / chances.sum())


def examine(rng: np.random.Generator) -> Iterator[Case]:
    """One file: each end of both intervals of a plan after the whole budget and at every look, and of a half, with controls."""
    name, target, n = str(rng.choice(LAWS)), str(rng.choice(list(TARGETS))), int(rng.choice(SIZES))
    moved = bool(rng.random() < 0.4)
    chosen = law(name)
    atoms = rng.choice(len(chosen.chances), n, p=shifted(name)) if moved else chosen.drawn(rng, n)
    pair, labels = chosen.pair(atoms), chosen.labels[atoms]
    seed = f"{int(rng.integers(2**62)):x}"
    plan = drawn_plan(pair, BUDGET, target, 2 * TAIL, "both", None, seed)  # type: ignore[arg-type]
    true = {"file": chosen.means(atoms)[TARGETS[target]]}
    if not moved:
        true["population"] = truth(name)[TARGETS[target]][0]
    stops = sorted({min(look, len(plan.order)) for look in LOOKS} | {len(plan.indices)})
    found = {stop: plan.estimate(labels[plan.order[:stop]]) for stop in stops}
    orders = {SHIFTED if moved else AT_WILL: list(found.values())}
    if not moved:
        half = {int(row): int(labels[row]) for row in rng.permutation(n)[: n // 2]}
        orders[AS_DRAWN] = [found[len(plan.indices)]]
        orders[HALF] = [partly_labelled(pair, half, target, 2 * TAIL, chosen="at random")]  # type: ignore[arg-type]
    for what, value in true.items():
        for order, looks in orders.items():
            intervals = [getattr(look, what) for look in looks]
            for side, end in ((1, "upper"), (-1, "lower")):
                claim = f"{what}, {target}, {end} end"
                about = (name, "as made", order, str(n), f"{TAIL:g}", "guaranteed")
                ends = {"claim": [getattr(each, end) for each in intervals]}
                for control, part in zip(CONTROLS, (0.5, 0.0), strict=True):
                    ends[control] = [each.value + part * (getattr(each, end) - each.value) for each in intervals]
                for form, values in ends.items():
                    wrong = [each for each in values if side * (each - value) < -_SLACK]
                    cell = " | ".join((*about, form, claim))
                    if form == "claim":
                        words = f"{end} end {wrong[0]:.6g}, the truth is {value:.6g}" if wrong else ""
                        yield Case({"cell": cell, "order": about[2]}, words)
                    elif wrong:
                        yield Case({"missed": cell})


SUITE = Suite(
    name="labels",
    claim=(
        "Each end of the intervals that a label plan gives is wrong with probability at most its share of δ: for the file "
        "at whatever number of labels one stops and whatever traffic it holds, for the population if the file is its sample. "
        "Intervals from labels of a random half of a file are, too."
    ),
    oracle=(
        "Finite populations, and files drawn from them, whose means are sums in extended precision. Whoever stops at will is "
        "wrong if an end is at any number of labels at which one looks. Judged as the suite coverage, with its controls."
    ),
    case="one end on one file",
    blocks=80,
    items=50,
    seconds=600.0,
    memory=2**31,
    modules=tuple(f"kd2m_theory.validation.evidence.{name}" for name in ("labels", "coverage", "coverage_laws")),
    examine=examine,
    judge=partial(judge, laws=LAWS),
)
