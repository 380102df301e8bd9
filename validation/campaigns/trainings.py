"""What the students of a campaign learned, read from its table: settings, in each its students, over their seeds."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow

    from kd2m_theory.validation.campaigns.table import Row

KINDS = ("result", "curve", "histogram", "correlation", "embedding")
# Students are compared with students that are alike in all of this.
_SETTING = ("population", "law", "teacher", "student", "head", "training")


@dataclass(frozen=True)
class Students:
    """Runs of one setting that differ in their seed alone.

    Attributes:
        objective: its name.
        weight: λ; None for an objective without one.
        options: the others of the objective.
        rows: by seed, each by kind, name and target.
    """

    objective: str
    weight: float | None
    options: Mapping[str, Any]
    rows: Mapping[int, Mapping[tuple[str, str, str | None], "Row"]]

    @property
    def seeds(self) -> tuple[int, ...]:
        """In ascending order."""
        return tuple(sorted(self.rows))

    def found(self, kind: str, name: str, target: str | None = None) -> dict[int, "Row"]:
        """This row of every seed that has it, by seed."""
        key = kind, name, target
        return {seed: self.rows[seed][key] for seed in self.seeds if key in self.rows[seed]}

    def results(self, name: str, target: str) -> dict[int, float]:
        """What was measured after training, by seed: `name` of `Evaluation`, `target` "student test" and the like."""
        return {seed: row["value"] for seed, row in self.found("result", name, target).items()}

    def curves(self, name: str, target: str) -> dict[int, list[float]]:
        """Means after each epoch, from the first on, by seed."""
        return {seed: row["values"] for seed, row in self.found("curve", name, target).items()}

    @property
    def parts(self) -> tuple[str, ...]:
        """Terms of the training loss beside the cross-entropy that have a curve."""
        names = {name for rows in self.rows.values() for kind, name, target in rows if (kind, target) == ("curve", "train")}
        return tuple(sorted(names - {"cross_entropy"}))


@dataclass(frozen=True)
class Setting:
    """A population, networks and recipes, and all students that were trained with them.

    Attributes:
        name: the population; it says more where the campaign has several settings of that population.
        population: its name.
        teacher: the network.
        student: the network.
        students: in the order of the objectives, each by rising λ.
        missing: tasks of the campaign that are not computed.
    """

    name: str
    population: str
    teacher: str
    student: str
    students: tuple[Students, ...]
    missing: int = 0

    def of(self, *objectives: str) -> tuple[Students, ...]:
        """Students of these objectives."""
        return tuple(each for each in self.students if each.objective in objectives)

    @property
    def alone(self) -> Students | None:
        """The student without a teacher that is trained as the others are: λ = 0 of a term that is alone, or `none`.

        Of several the one with most seeds; of those with as many, one with λ = 0, if any: its distance was measured too.
        """
        without = [each for each in self.students if each.objective == "none"]
        # The loss of UniKD and of a sum has other terms.
        zero = [each for each in self.students if each.weight == 0 and not each.objective.startswith(("unikd", "sum"))]
        return max(zero + without, key=lambda each: len(each.seeds), default=None)

    def images(self) -> int | None:
        """The test images; None where no row says it."""
        for students in self.students:
            for rows in students.rows.values():
                for (kind, _, _), row in rows.items():
                    if kind in ("histogram", "correlation") and row["n"] is not None:
                        return int(row["n"])
        return None


@dataclass(frozen=True)
class Trainings:
    """All of a campaign.

    Attributes:
        settings: in the order of their names.
        missing: tasks of the campaign that are not computed.
    """

    settings: tuple[Setting, ...]
    missing: int = 0


def trainings(table: "pyarrow.Table", missing: int = 0) -> Trainings:
    """What a table says of training; no settings where it has no such rows."""
    import pyarrow
    import pyarrow.compute

    kept = table.filter(pyarrow.compute.is_in(table["kind"], pyarrow.array(KINDS))).to_pylist()
    settings: dict[tuple[Any, ...], list[Row]] = {}
    for row in kept:
        settings.setdefault(tuple(row[key] for key in _SETTING), []).append(row)
    names = _names(settings)
    made = [
        Setting(
            name=names[key],
            population=rows[0]["population"],
            teacher=rows[0]["teacher"],
            student=rows[0]["student"],
            students=_students(rows),
            missing=missing,
        )
        for key, rows in settings.items()
    ]
    return Trainings(tuple(sorted(made, key=lambda each: each.name)), missing)


def chosen(students: Iterable[Students]) -> Students:
    """The one with the best mean accuracy on the validation images; the smaller λ where they are equal.

    Means are over the seeds that all of them have, if there are any.

    Raises:
        ValueError: there is none, or one of several has no accuracy on the validation images.
    """
    first, *others = students
    if not others:
        return first
    every = (first, *others)
    validated = [each.results("accuracy", "student validation") for each in every]
    common = set.intersection(*map(set, validated))

    def rank(place: int) -> tuple[float, float]:
        found = validated[place]
        return fmean(found[seed] for seed in common or found), -(every[place].weight or 0.0)

    return every[max(range(len(every)), key=rank)]


def _students(rows: Iterable["Row"]) -> tuple[Students, ...]:
    from kd2m_theory.validation.objectives.registry import NAMES  # torch

    groups: dict[tuple[str, str, float | None], dict[int, dict[tuple[str, str, str | None], Row]]] = {}
    for row in rows:
        seeds = groups.setdefault((row["objective"], row["options"], row["weight"]), {})
        seeds.setdefault(row["seed"], {})[row["kind"], row["name"], row["target"]] = row
    order = {name: place for place, name in enumerate(NAMES)}

    def place(key: tuple[str, str, float | None]) -> tuple[Any, ...]:
        name, options, weight = key
        return order.get(name, len(order)), name, len(json.loads(options)), options, -1.0 if weight is None else weight

    return tuple(
        Students(objective=name, weight=weight, options=json.loads(options), rows=groups[name, options, weight])
        for name, options, weight in sorted(groups, key=place)
    )


def _names(settings: Iterable[tuple[Any, ...]]) -> dict[tuple[Any, ...], str]:
    """The population's name; the networks and the law too where that is the name of several, and last the recipe."""
    from kd2m_theory.validation.campaigns.verdict import in_words  # reads Parquet, which is optional

    keys = list(settings)
    names = {key: str(key[0]) for key in keys}
    setting = {key: f"{key[0]}{in_words(key[1])}, {key[2]} to {key[3]}, {key[4]} head" for key in keys}
    for more in (setting, {key: setting[key] + _recipe(key, keys) for key in keys}):
        same = Counter(names.values())
        names = {key: more[key] if same[name] > 1 else name for key, name in names.items()}
    return names


def _recipe(setting: tuple[Any, ...], settings: Sequence[tuple[Any, ...]]) -> str:
    """What the recipes of a setting have that those of another one, alike in all else, have not."""
    recipes = [dict(flat(json.loads(other[5] or "{}"))) for other in settings if other[:5] == setting[:5]]
    mine = dict(flat(json.loads(setting[5] or "{}")))
    return "".join(f", {name} {value}" for name, value in mine.items() if any(each.get(name) != value for each in recipes))


def flat(table: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    """The values of a table and of the tables in it, by dotted names."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
