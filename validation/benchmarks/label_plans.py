"""How wide the intervals of label plans are, beside those from as many inputs that are labelled at random.

    python validation/benchmarks/label_plans.py [--draws 20] [--save NAME.json]

On the two stored pairs, whose labels are known, at δ = 0.05. "At random" draws inputs without replacement, each with the same
chance. For the file: betting without replacement as for plans, on U_Y in its range [−B, B] ([−1, 1] for errors). For the
population: the rows F1.gap and F1.error_gap of an audit of the drawn inputs alone, which are valid at the planned number of
labels only, while a plan may be stopped at any. Every width is a mean over the draws.
"""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
from harness import command_line, environment, save, shown

from kd2m_theory.bounds import Ladder
from kd2m_theory.bounds.labelling.plan import Target, drawn_plan
from kd2m_theory.bounds.labelling.pool import pool_of, view_for_plans
from kd2m_theory.estimators.drawing import remainder_limit
from kd2m_theory.pair import Pair
from kd2m_theory.validation.benchmark_tables import BenchmarkTable, Column, Record

DELTA = 0.05
LABELS = (50, 100, 300)
TARGETS: dict[Target, str] = {"gap": "F1.gap", "error": "F1.error_gap"}
STORED = Path(__file__).parents[2] / "tests" / "data"
COLUMNS = (
    Column("pair"),
    Column("target"),
    Column("labels", format="d"),
    Column("used", format=".0f"),
    Column("file", format=".4f"),
    Column("file, at random", format=".4f"),
    Column("file: plan / random", format=".3f"),
    Column("population", format=".4f"),
    Column("population, at random", format=".4f"),
    Column("population: plan / random", format=".2f"),
)


def at_random(pair: Pair, target: Target, labels: int, rng: np.random.Generator) -> tuple[float, float]:
    """Widths of the file's and of the population's interval from inputs that are drawn with equal chances."""
    view = view_for_plans(pair, None)
    values = pool_of(view, target).changes[np.arange(len(view.labels)), view.labels]
    bound, n = (view.loss_bound if target == "gap" else 1.0), len(values)
    rows = rng.permutation(n)[:labels]
    left, ranges, ones = n - np.arange(float(labels)), np.full(labels, 2 * bound), np.ones(labels)
    most = 2 * bound * (n - labels)
    rest = [
        remainder_limit(
            values=bound + sign * values[rows],
            weights=ones,
            left=left,
            ratios=ranges,
            most=most,
            planned=labels,
            tail=DELTA / 2,
        )
        for sign in (1, -1)
    ]
    ladder = Ladder(pair.taken(rows, rows), DELTA, [TARGETS[target]])
    ladder.spend(DELTA, each=True)
    row = ladder.evaluate()[0]
    return (sum(rest) - most) / n, row.upper - row.lower


def widths(draws: int) -> Iterator[Record]:
    """Widths by pair, target and number of labels."""
    for name, target, labels in product(("demo-cw2", "demo-alone"), TARGETS, LABELS):
        pair = Pair.load(STORED / f"{name}.npz")
        assert pair.labels is not None
        found, others, used = [], [], 0
        for seed in range(draws):
            plan = drawn_plan(pair, labels, target, DELTA, "both", None, seed=f"{seed:x}")
            used = len(plan.indices)
            estimate = plan.estimate(pair.labels[plan.indices])
            found.append([interval.upper - interval.lower for interval in (estimate.file, estimate.population)])
            others.append(at_random(pair, target, labels, np.random.default_rng(seed)))
        (file, population), (file_random, population_random) = np.mean(found, axis=0), np.mean(others, axis=0)
        cells = [name, target, labels, used, float(file), float(file_random), float(file / file_random)]
        cells += [float(population), float(population_random), float(population / population_random)]
        yield dict(zip((column.name for column in COLUMNS), cells, strict=True))


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--draws", type=int, default=20)
    options = parser.parse_args()
    records = shown(COLUMNS, widths(options.draws))
    worst = max(record["file: plan / random"] for record in records if record["target"] == "gap")
    better = sum(record["population: plan / random"] < 1 for record in records)
    save(
        options.save,
        title="Label plans beside labels at random",
        environment=environment("numpy", "scipy"),
        setting={"δ": DELTA, "draws": options.draws},
        note="“used” is how many labels the plan wants: those at which the networks disagree settle the difference of errors. "
        f"For cross-entropy the file's interval is at most {worst:.2f} times as wide as from as many labels at random; the "
        f"population's is narrower in {better} of {len(records)} lines, limited by the size of the file",
        tables=[BenchmarkTable("widths of intervals of student less teacher", COLUMNS, records)],
    )


if __name__ == "__main__":
    main()
