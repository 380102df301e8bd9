"""Which distance explains the gap best: rank correlation over pairs, with an interval from resampled seeds.

Epochs of one run resemble each other, and runs of one seed begin with the same weights and see the same images, so seeds are
resampled, with everything that was computed from them; teachers, objectives and λ are as the campaign has them. Distances of
two populations have different scales, so the correlation is taken within each population and the mean over them reported.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from kd2m_theory.arrays import Float64
from kd2m_theory.validation.campaigns.table import Row

_RESAMPLES = 500
_LEVEL = 0.95
_FEWEST = 5  # runs of a population, below which no correlation is taken
_FEWEST_SEEDS = 2


@dataclass(frozen=True)
class Explained:
    """Spearman's correlation of a distance with a gap.

    Attributes:
        distance: its name.
        gap: name of the measured value.
        last: whether only pairs after the last epoch count; else all of trained students.
        seeds: of all populations, each with all its runs.
        value: mean over populations.
        lower: 2.5 % quantile over resampled seeds.
        upper: 97.5 % quantile.
        within: of each population.
    """

    distance: str
    gap: str
    last: bool
    seeds: int
    value: float
    lower: float
    upper: float
    within: Mapping[str, float]


def explained(
    measured: Iterable[Row], distances: Iterable[Row], gaps: Sequence[str] = ("gap", "gap_shared_head"), seed: int = 0
) -> list[Explained]:
    """Every distance against every gap, over all trained pairs and after the last epoch, the best first.

    Untrained students are left out: each is the start of many runs, and all of them are far from their teacher.

    Args:
        measured: rows of kind "measured".
        distances: rows of kind "distance".
        gaps: names of measured values.
        seed: of the resampling.
    """
    values: defaultdict[tuple[str, str], dict[tuple[str, int], float]] = defaultdict(dict)
    for row in (*measured, *distances):
        values[row["kind"], row["name"]][row["configuration"], row["epoch"]] = row["value"]
    origin = {row["configuration"]: (row["population"], row["seed"]) for row in measured}
    names = [name for kind, name in values if kind == "distance"]
    found = []
    for gap in gaps:
        for last in (False, True):
            series = [values["measured", gap], *(values["distance", name] for name in names)]
            clouds = _clouds(series, origin, last)
            if clouds:
                found += _correlations(names, gap, last, clouds, seed)
    return sorted(found, key=lambda each: (each.gap, each.last, -each.value))


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
        if len(seeds) >= _FEWEST_SEEDS and sum(map(len, seeds.values())) >= _FEWEST
    }


def _correlations(
    names: Sequence[str], gap: str, last: bool, clouds: Mapping[str, Sequence[Float64]], seed: int
) -> list[Explained]:
    generator = np.random.default_rng(seed)
    within = {population: _spearman([np.concatenate(arrays, axis=1)])[0] for population, arrays in clouds.items()}
    samples: dict[str, list[Float64]] = {population: [] for population in clouds}
    for _ in range(_RESAMPLES):
        for population, arrays in clouds.items():
            chosen = generator.integers(len(arrays), size=len(arrays))
            samples[population].append(np.concatenate([arrays[k] for k in chosen], axis=1))
    drawn = np.mean([_spearman(each) for each in samples.values()], axis=0)
    tail = (1 - _LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    value = np.mean(list(within.values()), axis=0)
    seeds = sum(map(len, clouds.values()))
    each = {name: {population: float(values[k]) for population, values in within.items()} for k, name in enumerate(names)}
    return [
        Explained(
            distance=name,
            gap=gap,
            last=last,
            seeds=seeds,
            value=float(value[k]),
            lower=float(low[k]),
            upper=float(high[k]),
            within=each[name],
        )
        for k, name in enumerate(names)
    ]


def _spearman(samples: Sequence[Float64]) -> Float64:
    """Of each sample, series × points: correlation of the first series with each of the others; 0 with a constant one."""
    found = np.zeros((len(samples), len(samples[0]) - 1))
    # Samples of one size are ranked together: a call costs many times what it sorts.
    sizes = np.array([sample.shape[1] for sample in samples])
    for size in np.unique(sizes):
        members = np.flatnonzero(sizes == size).tolist()
        together: Float64 = np.asarray(rankdata(np.array([samples[k] for k in members]), axis=2))
        together -= together.mean(axis=2, keepdims=True)
        for k, ranks in zip(members, together, strict=True):
            lengths = np.sqrt((ranks**2).sum(axis=1))
            products = lengths[0] * lengths[1:]
            np.divide(ranks[1:] @ ranks[0], products, out=found[k], where=products > 0)
    return found
