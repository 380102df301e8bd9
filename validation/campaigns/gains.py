"""Does distillation help? Test accuracy of every objective of a setting, and its gain over the student without a teacher.

Students that differ in λ alone are one objective; the λ with the best mean accuracy on the validation images is taken, so the
test images choose nothing. Gains are of pairs with one seed. All numbers are in per cent of the images, gains in points.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from scipy import stats

from kd2m_theory.validation.campaigns.trainings import Setting, Students, chosen

LEVEL = 0.95  # of each interval, and of all intervals of a setting at once

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
        points: of the accuracies, seed by seed.
        at_once: half of an interval that holds together with those of the setting's other objectives (Bonferroni); None for
            one seed.
    """

    points: Mean
    at_once: float | None

    @property
    def decision(self) -> Decision:
        """The sign, where the interval that holds with all others leaves no other."""
        if self.at_once is None or abs(self.points.mean) <= self.at_once:
            return "undecided"
        return "a gain" if self.points.mean > 0 else "a loss"


@dataclass(frozen=True)
class Learned:
    """An objective at its λ.

    Attributes:
        name: the objective, with its options where the setting has it with several.
        students: those with the chosen λ.
        at_an_end: whether that is the smallest or largest λ of several: another one may be better.
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


def comparison(setting: Setting) -> Comparison:
    """Every objective of a setting against the student without a teacher; UniKD without one of its parts is left out."""
    base = {} if setting.alone is None else _accuracies(setting.alone)
    taught = [100 * value for each in setting.students for value in each.results("accuracy", "teacher test").values()]
    return Comparison(
        setting=setting,
        teacher=fmean(taught) if taught else None,
        alone=_mean(base.values()) if base else None,
        learned=tuple(_learned(setting, base)),
    )


def _learned(setting: Setting, base: dict[int, float]) -> Iterator[Learned]:
    groups: dict[tuple[str, str], list[Students]] = {}
    for each in setting.students:
        if each is not setting.alone and each.objective != "none" and _accuracies(each) and not _ablation(setting, each):
            groups.setdefault((each.objective, repr(each.options)), []).append(each)
    same = Counter(objective for objective, _ in groups)
    best = {key: chosen(group) for key, group in groups.items()}
    gains = {key: _gains(one, base) for key, one in best.items()}
    compared = sum(map(bool, gains.values()))
    for key, group in groups.items():
        one = best[key]
        weights = [each.weight for each in group if each.weight is not None]
        options = ", ".join(f"{name} = {value}".lower() for name, value in one.options.items()) if same[key[0]] > 1 else ""
        yield Learned(
            name=f"{one.objective} ({options})" if options else one.objective,
            students=one,
            at_an_end=len(weights) > 1 and one.weight in (min(weights), max(weights)),
            accuracy=_mean(_accuracies(one).values()),
            gain=Gain(_mean(gains[key]), _half(gains[key], compared)) if gains[key] else None,
        )


def _ablation(setting: Setting, students: Students) -> bool:
    """Whether it is UniKD without one of its parts, which has a figure of its own."""
    whole = min(len(each.options) for each in setting.of(students.objective))
    return students.objective == "unikd" and (len(students.options) > whole or students.weight == 0)


def _accuracies(students: Students) -> dict[int, float]:
    return {seed: 100 * value for seed, value in students.results("accuracy", "student test").items()}


def _gains(students: Students, base: dict[int, float]) -> list[float]:
    return [value - base[seed] for seed, value in _accuracies(students).items() if seed in base]


def _mean(values: Collection[float]) -> Mean:
    return Mean(fmean(values), _half(values), len(values))


def _half(values: Collection[float], together: int = 1) -> float | None:
    """Half of Student's interval, so wide that as many as `together` hold at once."""
    if len(values) < 2:
        return None
    return float(stats.t.isf((1 - LEVEL) / 2 / together, len(values) - 1)) * stdev(values) / len(values) ** 0.5


def plus_minus(mean: float, half: float | None, sign: str = "") -> str:
    """A mean with half of its interval, to two digits after the point."""
    words = f"{mean:{sign}.2f}".replace("-", "−")
    return words if half is None else f"{words} ± {half:.2f}"
