"""Which distance explains the gap best: rank correlation over pairs of a population, with an interval over seeds.

Epochs of one run resemble each other, and runs of one seed begin with the same weights and see the same images. So seeds are
the sample: each is left out in turn, with everything that was computed from it, and the interval is the jackknife's with
Student's t [Tukey 1958]; teachers, objectives and λ are as the campaign has them. Resampling three to five seeds with
replacement gives intervals that miss two to four times as often as they say. Under three seeds there is no interval, and no
correlation is reported.

Distances of two populations have different scales, so the correlation is taken within each population. The mean over
populations is reported only where they agree, by Welch's test of equal means [Welch 1951].
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from kd2m_theory.arrays import Float64
from kd2m_theory.validation.campaigns.table import Row

_LEVEL = 0.95
# Populations disagree if so large a difference between them has a smaller chance than this where there is none.
_DISAGREEMENT = 0.05
_FEWEST = 5  # runs of a population, below which no correlation is taken
FEWEST_SEEDS = 3
# A variance below this is rounding.
_EXACT = 1e-24


@dataclass(frozen=True)
class Correlation:
    """Spearman's correlation with its 95 % interval.

    Attributes:
        value: the correlation.
        lower: lower end.
        upper: upper end.
        seeds: that it comes from, each with all its runs.
    """

    value: float
    lower: float
    upper: float
    seeds: int


@dataclass(frozen=True)
class Explained:
    """How a distance correlates with a gap.

    Attributes:
        distance: its name.
        gap: name of the measured value.
        last: whether only pairs after the last epoch count; else all of trained students.
        within: the correlation in each population.
        pooled: the mean over populations; None where they disagree.
    """

    distance: str
    gap: str
    last: bool
    within: Mapping[str, Correlation]
    pooled: Correlation | None

    @property
    def mean(self) -> float:
        """The mean over populations, to rank distances by; where populations disagree it describes none of them."""
        return float(np.mean([each.value for each in self.within.values()]))


def short_of_seeds(measured: Iterable[Row]) -> dict[str, int]:
    """The seeds of every population that has trained pairs of fewer than three."""
    seeds: defaultdict[str, set[int]] = defaultdict(set)
    for row in measured:
        if row["epoch"]:
            seeds[row["population"]].add(row["seed"])
    return {population: len(each) for population, each in sorted(seeds.items()) if len(each) < FEWEST_SEEDS}


def explained(
    measured: Iterable[Row], distances: Iterable[Row], gaps: Sequence[str] = ("gap", "gap_shared_head")
) -> list[Explained]:
    """Every distance against every gap, over all trained pairs and after the last epoch, the best first.

    Untrained students are left out: each is the start of many runs, and all of them are far from their teacher. So are
    populations of fewer than three seeds or five runs.

    Args:
        measured: rows of kind "measured".
        distances: rows of kind "distance".
        gaps: names of measured values.
    """
    values: defaultdict[tuple[str, str], dict[tuple[str, int], float]] = defaultdict(dict)
    for row in (*measured, *distances):
        values[row["kind"], row["name"]][row["configuration"], row["epoch"]] = row["value"]
    origin = {row["configuration"]: (row["population"], row["seed"]) for row in measured}
    names = [name for kind, name in values if kind == "distance"]
    found: list[Explained] = []
    for gap in gaps:
        for last in (False, True):
            series = [values["measured", gap], *(values["distance", name] for name in names)]
            clouds = _clouds(series, origin, last)
            if clouds:
                found += _correlations(names, gap, last, clouds)
    return sorted(found, key=lambda each: (each.gap, each.last, -each.mean))


def _clouds(
    series: Sequence[Mapping[tuple[str, int], float]], origin: Mapping[str, tuple[str, int]], last: bool
) -> dict[str, list[Float64]]:
    """For each population its seeds, each an array series × (epochs of all its runs)."""
    shared = set.intersection(*(set(each) for each in series))
    runs: defaultdict[str, list[int]] = defaultdict(list)
    for configuration, epoch in sorted(shared):
        if epoch:
            runs[configuration].append(epoch)
    clouds: defaultdict[str, defaultdict[int, list[Float64]]] = defaultdict(lambda: defaultdict(list))
    for configuration, epochs in runs.items():
        kept = epochs[-1:] if last else epochs
        array = np.array([[each[configuration, epoch] for epoch in kept] for each in series])
        population, seed = origin[configuration]
        clouds[population][seed].append(array)
    return {
        population: [np.concatenate(arrays, axis=1) for arrays in seeds.values()]
        for population, seeds in clouds.items()
        if len(seeds) >= FEWEST_SEEDS and sum(map(len, seeds.values())) >= _FEWEST
    }


def _correlations(names: Sequence[str], gap: str, last: bool, clouds: Mapping[str, Sequence[Float64]]) -> Iterator[Explained]:
    within = {population: _within(arrays) for population, arrays in clouds.items()}
    for k, name in enumerate(names):
        values = np.array([value[k] for value, _ in within.values()])
        variances = np.array([variance[k] for _, variance in within.values()])
        seeds = [len(arrays) for arrays in clouds.values()]
        each = {
            population: _interval(value, variance, count - 1, count)
            for population, value, variance, count in zip(clouds, values, variances, seeds, strict=True)
        }
        yield Explained(distance=name, gap=gap, last=last, within=each, pooled=_pooled(values, variances, seeds))


def _within(arrays: Sequence[Float64]) -> tuple[Float64, Float64]:
    """The correlations of the distances over a population's seeds, and their jackknife variances."""
    count = len(arrays)
    without = [np.concatenate([each for j, each in enumerate(arrays) if j != k], axis=1) for k in range(count)]
    whole, *rest = _spearman([np.concatenate(arrays, axis=1), *without])
    return whole, (count - 1) * np.var(rest, axis=0)


def _interval(value: float, variance: float, freedom: float, seeds: int) -> Correlation:
    radius = float(stats.t.ppf((1 + _LEVEL) / 2, freedom)) * float(np.sqrt(variance))
    value = float(value)
    return Correlation(value=value, lower=max(value - radius, -1.0), upper=min(value + radius, 1.0), seeds=seeds)


def _pooled(values: Float64, variances: Float64, seeds: Sequence[int]) -> Correlation | None:
    """The mean over populations, unless they disagree."""
    if _disagreement(values, variances, seeds) < _DISAGREEMENT:
        return None
    parts = np.maximum(variances, _EXACT)
    # Degrees of freedom of a sum of independent parts [Satterthwaite 1946].
    freedom = float(parts.sum() ** 2 / (parts**2 / (np.array(seeds) - 1)).sum())
    return _interval(float(values.mean()), float(variances.sum()) / len(values) ** 2, freedom, sum(seeds))


def _disagreement(values: Float64, variances: Float64, seeds: Sequence[int]) -> float:
    """The level at which Welch's test of equal means would find that populations differ; 1 for one population."""
    count = len(values)
    if count == 1:
        return 1.0
    weights = 1 / np.maximum(variances, _EXACT)
    shares = weights / weights.sum()
    between = (weights * (values - (shares * values).sum()) ** 2).sum() / (count - 1)
    unsure = ((1 - shares) ** 2 / (np.array(seeds) - 1)).sum()
    statistic = between / (1 + 2 * (count - 2) / (count**2 - 1) * unsure)
    return float(stats.f.sf(statistic, count - 1, (count**2 - 1) / (3 * unsure)))


def _spearman(samples: Sequence[Float64]) -> Float64:
    """Correlation of the first series of each sample (series × points) with each of the others; 0 with a constant one."""
    found = np.zeros((len(samples), len(samples[0]) - 1))
    # Samples of one size are ranked together: a call costs many times what it sorts.
    sizes = np.array([sample.shape[1] for sample in samples])
    for size in np.unique(sizes):
        members = np.flatnonzero(sizes == size).tolist()
        together: Float64 = np.asarray(stats.rankdata(np.array([samples[k] for k in members]), axis=2))
        together -= together.mean(axis=2, keepdims=True)
        for k, ranks in zip(members, together, strict=True):
            lengths = np.sqrt((ranks**2).sum(axis=1))
            products = lengths[0] * lengths[1:]
            np.divide(ranks[1:] @ ranks[0], products, out=found[k], where=products > 0)
    return found
