"""Does distillation help? Test accuracy of every objective of a setting, and its gain over the student without a teacher.

Students that differ in λ alone are one objective; the λ with the best mean accuracy on the validation images is taken. The test
images choose nothing, but a network that is lucky on the first is so on the second, so intervals that hold at once count every
λ that could have been chosen. Gains are of two students with the same seed. Accuracies are in per cent, gains in points.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from scipy.special import stdtrit

from kd2m_theory.validation.campaigns.trainings import Setting, Students, chosen, flat

LEVEL = 0.95  # of each interval, and of all intervals of a setting at once

# Parts of UniKD that an ablation takes away.
PARTS = ("fusion", "predict_variance", "supplement")

Decision = Literal["a gain", "a loss", "undecided"]


@dataclass(frozen=True)
class Mean:
    """A mean over seeds with half of Student's interval, one taken by itself.

    Attributes:
        mean: of the values.
        half: of the interval at `LEVEL`; None for one value.
        seeds: how many values there are.
    """

    mean: float
    half: float | None
    seeds: int


@dataclass(frozen=True)
class Gain:
    """What an objective adds to the test accuracy of the student without a teacher.

    Attributes:
        points: differences of accuracies, seed by seed; its interval is that of a λ which was given beforehand.
        at_once: half of an interval that holds together with those of all objectives of the setting at all their λ
            (Bonferroni); None for one seed, equal differences, or a campaign that is not finished.
    """

    points: Mean
    at_once: float | None

    @property
    def decision(self) -> Decision:
        """The sign, where the interval that holds together with all others leaves no other."""
        if self.at_once is None or abs(self.points.mean) <= self.at_once:
            return "undecided"
        return "a gain" if self.points.mean > 0 else "a loss"


@dataclass(frozen=True)
class Learned:
    """An objective at its λ.

    Attributes:
        name: the objective, with its options where the setting has it with several; a sum with its terms.
        students: those with the chosen λ.
        at_an_end: whether that is the smallest or largest λ of its grid: another one may be better.
        accuracy: on the test images.
        gain: None without a student alone of the same seeds.
    """

    name: str
    students: Students
    at_an_end: bool
    accuracy: Mean
    gain: Gain | None


@dataclass(frozen=True)
class Comparison:
    """The objectives of one setting.

    Attributes:
        setting: population, networks and recipes.
        teacher: its test accuracy; None where it was not measured.
        alone: the student without a teacher; None if there is none.
        learned: the objectives, in their order.
    """

    setting: Setting
    teacher: float | None
    alone: Mean | None
    learned: tuple[Learned, ...]


def comparison(setting: Setting, seeds: Collection[int] | None = None) -> Comparison:
    """Every objective of a setting against the student without a teacher.

    UniKD without one of its parts is left out where the whole is there: that is an ablation.

    Args:
        setting: what was trained.
        seeds: judge these alone; λ is chosen with all.
    """

    def judged(students: Students) -> dict[int, float]:
        return {seed: value for seed, value in _accuracies(students).items() if seeds is None or seed in seeds}

    base = {} if setting.alone is None else judged(setting.alone)
    taught = [100 * value for each in setting.students for value in each.results("accuracy", "teacher test").values()]
    return Comparison(
        setting=setting,
        teacher=fmean(taught) if taught else None,
        alone=_mean(base.values()) if base else None,
        learned=tuple(_learned(setting, base, judged)),
    )


def _learned(setting: Setting, base: Mapping[int, float], judged: Callable[[Students], dict[int, float]]) -> Iterator[Learned]:
    groups: dict[tuple[str, str], list[Students]] = {}
    for each in setting.students:
        if each is not setting.alone and each.objective != "none" and judged(each) and not _ablation(setting, each):
            groups.setdefault((each.objective, repr(each.options)), []).append(each)
    same = Counter(objective for objective, _ in groups)
    candidates = sum(map(len, groups.values()))
    for (objective, options), group in groups.items():
        one = chosen(group)
        found = judged(one)
        gains = [value - base[seed] for seed, value in found.items() if seed in base]
        tried = {each.weight for each in setting.students if (each.objective, repr(each.options)) == (objective, options)}
        weights = [weight for weight in tried if weight is not None]
        several = same[objective] > 1 or any(one.options.get(part) is False for part in PARTS) or objective == "sum"
        said = ((name.removeprefix("terms."), value) for name, value in flat(one.options))
        words = ", ".join(f"{name} = {value}".lower() for name, value in said) if several else ""
        # Accuracies are multiples of one test image: equal differences of a few seeds say nothing of their spread.
        equal = not gains or max(gains) - min(gains) < 1e-9
        at_once = None if setting.missing or equal else _half(gains, candidates)
        yield Learned(
            name=f"{objective} ({words})" if words else objective,
            students=one,
            at_an_end=len(weights) > 1 and one.weight in (min(weights), max(weights)),
            accuracy=_mean(found.values()),
            gain=Gain(_mean(gains), at_once) if gains else None,
        )


def _ablation(setting: Setting, students: Students) -> bool:
    """Whether it is UniKD without one of its parts, beside the whole."""
    return students.objective == "unikd" and _lacks(students) and any(not _lacks(each) for each in setting.of("unikd"))


def _lacks(students: Students) -> bool:
    return students.weight == 0 or any(students.options.get(part) is False for part in PARTS)


def _accuracies(students: Students) -> dict[int, float]:
    return {seed: 100 * value for seed, value in students.results("accuracy", "student test").items()}


def _mean(values: Collection[float]) -> Mean:
    return Mean(fmean(values), _half(values), len(values))


def _half(values: Collection[float], together: int = 1) -> float | None:
    """Half of Student's interval, so wide that as many as `together` hold at once."""
    if len(values) < 2:
        return None
    quantile = -float(stdtrit(len(values) - 1, (1 - LEVEL) / 2 / together))
    return quantile * stdev(values) / math.sqrt(len(values))


def plus_minus(mean: float, half: float | None, sign: str = "") -> str:
    """A mean with half of its interval, to two digits after the point."""
    words = f"{mean:{sign}.2f}".replace("-", "−")
    return words if half is None else f"{words} ± {half:.2f}"
