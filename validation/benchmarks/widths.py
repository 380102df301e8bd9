"""How wide intervals are that depend on no order, beside those that they replaced.

    python validation/benchmarks/widths.py [--draws 20] [--before REVISION] [--save NAME.json]

Means in [0, 1]: `betting`, a symmetric function of the sample, and betting in the order of the samples' content, as audits do
where (nearly) all samples are different, both beside betting in an order that was drawn, which was used before. Differences of
two errors on the same inputs: `paired_difference`, an exact interval from the discordant counts, and others that are valid,
beside the difference of two Clopper-Pearson intervals, which was used before. Every ratio is of mean widths over the draws.
Whole audits: every interval and row about the population of the two stored pairs, at its share of δ = 0.05, beside the same at
an earlier revision of this repository, which is taken from git and run. There δ was divided equally among rows and measured
values, with two sides or one; now it is divided among the limits that they read, and what several read is paid for once.
"""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from harness import command_line, environment, save, shown

from kd2m_theory.arrays import Float64
from kd2m_theory.bounds.content_order import in_content_order
from kd2m_theory.estimators import Confidence, betting, clopper_pearson, paired_difference
from kd2m_theory.estimators.betting import betting_in_order
from kd2m_theory.estimators.intervals import difference
from kd2m_theory.pair import Pair
from kd2m_theory.validation.benchmark_tables import BenchmarkTable, Column, Record

SEED = 20250719
SIZES = (30, 100, 300, 1000, 10_000)
DELTAS = (0.05, 0.005)
Rng = np.random.Generator
LAWS: dict[str, Callable[[Rng, int], Float64]] = {
    "Bernoulli(0.05)": lambda rng, n: (rng.random(n) < 0.05).astype(np.float64),
    "Bernoulli(0.5)": lambda rng, n: (rng.random(n) < 0.5).astype(np.float64),
    "Beta(2, 8)": lambda rng, n: rng.beta(2, 8, n),
    "uniform": lambda rng, n: rng.random(n),
    "0.4 or 0.6": lambda rng, n: rng.choice([0.4, 0.6], n),
    "Pareto(1.2) / 50, cut at 1": lambda rng, n: np.minimum(rng.pareto(1.2, n) / 50, 1.0),
}
# Probabilities that one network alone errs.
ERRORS = ((0.3, 0.3), (0.1, 0.1), (0.02, 0.02), (0.002, 0.002), (0.1, 0.02), (0.03, 0.003), (0.1, 0.0))
MEANS = (
    Column("law"),
    Column("n", format="d"),
    Column("δ", format="g"),
    Column("width before", format=".4f"),
    Column("any order / before", format=".2f"),
    Column("order of content / before", format=".2f"),
)
GAPS = (
    Column("one errs alone, the other"),
    Column("n", format="d"),
    Column("δ", format="g"),
    Column("width before", format=".4f"),
    Column("exact / before", format=".2f"),
    Column("betting in order / before", format=".2f"),
    Column("betting / before", format=".2f"),
    Column("narrower of before and betting in order, δ/2 each / before", format=".2f"),
)
AUDITS = (
    Column("student"),
    Column("row or measured value"),
    Column("level before", format=".4f"),
    Column("level", format=".4f"),
    Column("width before", format=".4f"),
    Column("width", format=".4f"),
    Column("width / before", format=".3f"),
)
ROOT = Path(__file__).parents[2]
ROOMS = ("kd2m_theory", "bounds", "estimators", "validation", "paper_figures", "pyproject.toml")
PAIRS = {name: ROOT / "tests" / "data" / f"demo-{name}.npz" for name in ("cw2", "alone")}
# Runs with any revision: prints lower and upper end and level of what is guaranteed about the population.
AUDIT = """
import json, sys
from kd2m_theory import Pair, audit
report = audit(Pair.load(sys.argv[1])).to_dict()
found = {name: value for name, value in report["measured"].items() if value["guaranteed"]}
found |= {row["name"]: row for row in report["rows"] if row["level"] is not None}
print(json.dumps({name: [each["lower"], each["upper"], each["level"]] for name, each in found.items()}))
"""


def width(interval: Confidence) -> float:
    """Width of the interval."""
    return interval.upper - interval.lower


def by_content(values: Float64, rng: Rng) -> Float64:
    """The values in the order in which an audit takes samples that they belong to."""
    logits = np.column_stack((values, rng.normal(size=len(values))))
    ordered = in_content_order(Pair(logits_teacher=logits, logits_student=logits))[0].logits_student
    assert ordered is not None
    return ordered[:, 0]


def means(draws: int) -> Iterator[Record]:
    """Widths of intervals for a mean, by law, n and δ."""
    for (name, law), n, delta in product(LAWS.items(), SIZES, DELTAS):
        rng = np.random.default_rng([SEED, n])
        found = []
        for _ in range(draws):
            values = law(rng, n)
            found.append(
                [
                    width(betting_in_order(values, 0, 1, delta, range_known=True)),
                    width(betting(values, 0, 1, delta, range_known=True)),
                    width(betting_in_order(by_content(values, rng), 0, 1, delta, range_known=True)),
                ]
            )
        before, symmetric, content = np.mean(found, axis=0).tolist()
        yield _record(MEANS, [name, n, delta, before, symmetric / before, content / before])


def gaps(draws: int) -> Iterator[Record]:
    """Widths of intervals for a difference of errors, by the probabilities of both kinds of discordant inputs, n and δ."""
    for (first, second), n, delta in product(ERRORS, SIZES, DELTAS):
        rng = np.random.default_rng([SEED, n])
        found = [_gap_widths(rng.multinomial(n, [first, second, 1 - first - second]), n, delta, rng) for _ in range(draws)]
        before, *others = np.mean(found, axis=0).tolist()
        yield _record(GAPS, [f"{first:g}, {second:g}", n, delta, before, *(each / before for each in others)])


def _gap_widths(counts: np.ndarray, n: int, delta: float, rng: Rng) -> list[float]:
    ones, others, _ = map(int, counts)
    values = rng.permutation(np.repeat([1.0, -1.0, 0.0], counts))

    def before(delta: float) -> Confidence:
        return difference(clopper_pearson(ones, n, delta / 2), clopper_pearson(others, n, delta / 2))

    def ordered(delta: float) -> Confidence:
        return betting_in_order(values, -1, 1, delta, range_known=True)

    halves = before(delta / 2), ordered(delta / 2)
    return [
        width(before(delta)),
        width(paired_difference(ones, others, n, delta)),
        width(ordered(delta)),
        width(betting(values, -1, 1, delta, range_known=True)),
        min(half.upper for half in halves) - max(half.lower for half in halves),
    ]


def _audited(pair: Path, sources: Path) -> dict[str, list[float]]:
    """Ends and levels in an audit by these sources."""
    command = [sys.executable, "-P", "-c", AUDIT, str(pair)]
    outside = os.environ | {"PYTHONPATH": str(sources)}
    done = subprocess.run(command, env=outside, capture_output=True, text=True, check=True)
    result: dict[str, list[float]] = json.loads(done.stdout)
    return result


def audits(revision: str) -> Iterator[Record]:
    """Widths in whole audits, at a revision and now; of rows and values that both have."""
    command = ["git", "-C", str(ROOT), "archive", revision, *ROOMS]
    archive = subprocess.run(command, capture_output=True, check=True).stdout
    with TemporaryDirectory() as folder:
        with tarfile.open(fileobj=BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        for student, pair in PAIRS.items():
            before, now = _audited(pair, Path(folder)), _audited(pair, ROOT)
            for name in now:
                if name in before:
                    (old_lower, old_upper, old_level), (lower, upper, level) = before[name], now[name]
                    widths = old_upper - old_lower, upper - lower
                    yield _record(AUDITS, [student, name, old_level, level, *widths, widths[1] / widths[0]])


def _record(columns: tuple[Column, ...], cells: list[str | float]) -> Record:
    return dict(zip((column.name for column in columns), cells, strict=True))


def _range(records: list[Record], name: str, least: int) -> str:
    ratios = [record[name] for record in records if record["n"] >= least]
    return f"{min(ratios):.2f} to {max(ratios):.2f}"


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--before", metavar="REVISION", default="d53d668")
    options = parser.parse_args()
    first, second = shown(MEANS, means(options.draws)), shown(GAPS, gaps(options.draws))
    third = shown(AUDITS, audits(options.before))
    ratios = [record["width / before"] for record in third]
    worst = max(first, key=lambda record: record["any order / before"])
    save(
        options.save,
        title="Widths of intervals that depend on no order",
        environment=environment("numpy", "scipy"),
        setting={"draws": options.draws, "before": options.before},
        note=f"For a mean, betting in any order is {_range(first, 'any order / before', 1)} times as wide as betting in a "
        f"drawn order was, widest at {worst['law']}, n = {worst['n']:,}, δ = {worst['δ']:g}; in the order of the content it is "
        f"{_range(first, 'order of content / before', 1)} times as wide, which is chance: for different samples that order is "
        f"as good as drawn. For a difference of errors the exact interval is {_range(second, 'exact / before', 1)} times as "
        f"wide as two Clopper–Pearson intervals were, {_range(second, 'exact / before', 1000)} from n = 1,000; it is wider "
        f"where fewer than some fifteen inputs are discordant. In whole audits of two stored pairs intervals are "
        f"{min(ratios):.2f} to {max(ratios):.2f} times as wide as at revision {options.before}, half of them at most "
        f"{sorted(ratios)[len(ratios) // 2]:.2f} times",
        tables=[
            BenchmarkTable("a mean of values in [0, 1]", MEANS, first),
            BenchmarkTable("a difference of errors on the same inputs", GAPS, second),
            BenchmarkTable("everything guaranteed about the population in two whole audits", AUDITS, third),
        ],
    )


if __name__ == "__main__":
    main()
