"""What a campaign is: grids of runs to sweep, and pairs whose population rows are tried on fresh samples. Read from TOML."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from kd2m_theory.bounds import ROWS
from kd2m_theory.checks import did_you_mean, whole
from kd2m_theory.errors import InputError
from kd2m_theory.validation.training.configuration import Configuration, configuration, digest
from kd2m_theory.validation.training.toml_tables import names, read_table

# Rows whose hypotheses a campaign meets by construction: nobody vouches for anything there.
POPULATION_ROWS = tuple(row.name for row in ROWS if row.limits and not row.vouched_for)
_MOST_RUNS = 100_000


@dataclass(frozen=True)
class Audits:
    """Independent audits of one trained pair.

    Attributes:
        sizes: images of an audit.
        repeats: audits of each size.
        rows: rows about the population; all of them if None.
        block: audits in one task.
    """

    sizes: tuple[int, ...]
    repeats: tuple[int, ...]
    rows: tuple[str, ...] | None = None
    block: int = 100

    def __post_init__(self) -> None:
        """Check every value."""
        _fill(self, "sizes", _wholes(self.sizes, "sizes", 2, 2**31))
        if len(_fill(self, "repeats", _wholes(self.repeats, "repeats", 1, 2**31, distinct=False))) != len(self.sizes):
            raise InputError(f"there are {len(self.repeats)} repeats for {len(self.sizes)} sizes; give one for each")
        whole(self.block, "block", 1)
        for name in self.rows or ():
            if name not in POPULATION_ROWS:
                raise InputError(
                    f"rows names {name!r}, which is not a row about the population; {did_you_mean(name, POPULATION_ROWS)}"
                    f"these are {', '.join(POPULATION_ROWS)}"
                )
        _fill(self, "rows", POPULATION_ROWS if self.rows is None else tuple(dict.fromkeys(self.rows)))


@dataclass(frozen=True)
class Coverage:
    """A trained pair, its population risks, and audits of it on fresh samples.

    Attributes:
        run: how the pair is trained.
        audits: of it.
        deltas: failure probabilities that each sample is audited at.
        draws: fresh images on which the population risks are measured.
        seed: of those images and of all samples.
    """

    run: Configuration
    audits: tuple[Audits, ...]
    deltas: tuple[float, ...] = (0.05, 0.2)
    draws: int = 1_000_000
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every value."""
        if not self.audits:
            raise InputError("there are no audits; add [[coverage.audits]] with sizes and repeats")
        _fill(self, "deltas", _list(self.deltas, "deltas"))
        for delta in self.deltas:
            if not isinstance(delta, float) or not 0 < delta < 1:
                raise InputError(f"deltas has {delta!r}; give probabilities between 0 and 1")
        whole(self.draws, "draws", 10_000)
        whole(self.seed, "seed", 0)


@dataclass(frozen=True)
class Campaign:
    """A whole campaign.

    Attributes:
        runs: every point of every sweep, each once.
        coverages: coverage studies.
        delta: failure probability of each audit in the sweeps.
        device: where networks run.
        table: what it was read from.
    """

    runs: tuple[Configuration, ...]
    coverages: tuple[Coverage, ...]
    delta: float
    device: str
    table: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Hash of the table."""
        return digest(self.table)


def read_campaign(source: str | Path, changes: Iterable[str] = ()) -> Campaign:
    """The campaign in a TOML file, or the shipped one of that name.

    Args:
        source: a path, or one of `shipped_campaigns`.
        changes: "key=value" in the place of what the file says, for example "delta=0.1", "sweep.1.seeds=[0]", or
            "sweep.*.seeds=[0]" for every sweep.

    Raises:
        InputError: no such file or name, no TOML, a change that does not fit, or what `campaign` refuses.
    """
    return campaign(read_table(source, "campaign", _shipped(), changes))


def campaign(table: Mapping[str, Any]) -> Campaign:
    """The campaign that a table of plain data says.

    Raises:
        InputError: a key that is missing or not known, a value out of its range, a grid without points; the message names the
            table.
    """
    _known(table, "the campaign", ("sweep", "coverage", "delta", "device"))
    sweeps, studies = (_tables(table, name) for name in ("sweep", "coverage"))
    if not sweeps and not studies:
        raise InputError("the campaign has neither [[sweep]] nor [[coverage]]; add one")
    runs: dict[str, Configuration] = {}
    for number, sweep in enumerate(sweeps, 1):
        with _in(f"[[sweep]] {number}"):
            for run in _points(sweep):
                alike = replace(run, pairs=replace(run.pairs, at=None)).digest
                runs[alike] = _at_both(runs[alike], run) if alike in runs else run
    delta = table.get("delta", 0.05)
    if not isinstance(delta, float) or not 0 < delta < 1:
        raise InputError(f"delta is {delta!r}; choose a probability between 0 and 1")
    device = table.get("device", "cpu")
    if not isinstance(device, str) or device.split(":")[0] not in ("cpu", "cuda"):
        raise InputError(f"device is {device!r}; choose 'cpu' or 'cuda'")
    coverages = []
    for number, study in enumerate(studies, 1):
        with _in(f"[[coverage]] {number}"):
            coverages.append(_coverage(study))
    return Campaign(runs=tuple(runs.values()), coverages=tuple(coverages), delta=delta, device=device, table=table)


def shipped_campaigns() -> tuple[str, ...]:
    """Names of the campaigns that come with the package."""
    return names(_shipped())


def _at_both(run: Configuration, same: Configuration) -> Configuration:
    """One run for a point of two sweeps, kept at the epochs of both."""
    assert run.pairs.at is not None
    assert same.pairs.at is not None
    return replace(run, pairs=replace(run.pairs, at=tuple(sorted({*run.pairs.at, *same.pairs.at}))))


_OPTIONAL = ("head", "images", "audited_seeds")
_SWEEP = ("population", "teacher", "students", "training", "objectives", "epochs", "seeds", *_OPTIONAL)


def _points(sweep: Mapping[str, Any]) -> Iterator[Configuration]:
    """Student × objective × λ × seed, the seed last. The untrained student is kept once, with the first objective."""
    _known(sweep, "it", _SWEEP, _OPTIONAL)
    students, seeds, epochs = (_list(sweep[name], name) for name in ("students", "seeds", "epochs"))
    if not isinstance(sweep["objectives"], Mapping) or not sweep["objectives"]:
        raise InputError(f"objectives is {sweep['objectives']!r}; name some, for example objectives.kd.weight = [0.5, 0.9]")
    objectives = [each for label, options in sweep["objectives"].items() for each in _weights(label, options)]
    _local_teacher(sweep["teacher"])
    if (count := len(students) * len(objectives) * len(seeds)) > _MOST_RUNS:
        raise InputError(f"the grid has {count:,} points; make several campaigns of at most {_MOST_RUNS:,} and merge them")
    images = {"images": sweep["images"]} if "images" in sweep else {}
    trained = [epoch for epoch in epochs if epoch != 0] or epochs
    audited = _list(sweep.get("audited_seeds", seeds), "audited_seeds")
    if other := [seed for seed in audited if seed not in seeds]:
        raise InputError(f"audited_seeds names {other[0]!r}, and seeds is {list(seeds)}; name some of these")
    for student, objective, seed in itertools.product(students, objectives, seeds):
        at = epochs if objective is objectives[0] else trained
        yield configuration(
            {
                "population": sweep["population"],
                "teacher": sweep["teacher"],
                "student": {"network": student, "training": sweep["training"], "head": sweep.get("head", "own")},
                "objective": objective,
                "pairs": {"at": at if seed in audited else [], "audit": False, **images},
                "seed": seed,
            }
        )


def _weights(label: str, options: Any) -> Iterator[dict[str, Any]]:
    """An objective for each of its weights; a label is the name of an objective, or its table has one."""
    if not isinstance(options, Mapping):
        raise InputError(f"objectives.{label} is {options!r}; give a table, for example {{ weight = [0.5, 0.9] }}")
    fixed = {"name": label, **{name: value for name, value in options.items() if name != "weight"}}
    if "weight" not in options:
        yield fixed
        return
    weights = options["weight"]
    for weight in _list(weights if isinstance(weights, list) else [weights], f"objectives.{label}.weight"):
        yield fixed | {"weight": weight}


def _coverage(study: Mapping[str, Any]) -> Coverage:
    run = ("population", "teacher", "student", "objective", "run_seed")
    _known(study, "it", (*run, "audits", "deltas", "draws", "seed"), ("run_seed", "deltas", "draws", "seed"))
    _local_teacher(study["teacher"])
    # The pair that the run itself keeps is not used: samples are drawn again.
    pairs = {"audit": False, "images": 2}
    parts = {name: study[name] for name in run[:-1]} | {"seed": study.get("run_seed", 0), "pairs": pairs}
    audits = []
    for number, each in enumerate(_tables(study, "audits"), 1):
        with _in(f"[[coverage.audits]] {number}"):
            names = tuple(item.name for item in fields(Audits))
            _known(each, "it", names, tuple(item.name for item in fields(Audits) if item.default is not MISSING))
            audits.append(Audits(**{name: _tupled(value) for name, value in each.items()}))
    others = {name: _tupled(study[name]) for name in ("deltas", "draws", "seed") if name in study}
    return Coverage(configuration(parts), tuple(audits), **others)


def _local_teacher(teacher: Any) -> None:
    if isinstance(teacher, Mapping) and "weights" in teacher:
        raise InputError(
            f"teacher.weights names the file {teacher['weights']}, which other machines do not have; give [teacher.training]"
        )


def _known(table: Any, what: str, names: Sequence[str], optional: Sequence[str] | None = None) -> None:
    if not isinstance(table, Mapping):
        raise InputError(f"{what} is {table!r}; make it a table")
    for key in table:
        if key not in names:
            raise InputError(f"{what} has no {key!r}; {did_you_mean(key, names)}it takes {', '.join(names)}")
    for name in names if optional is not None else ():
        if name not in table and name not in (optional or ()):
            raise InputError(f"{what} lacks {name!r}; add it")


def _tables(table: Mapping[str, Any], name: str) -> list[Any]:
    found = table.get(name, [])
    if not isinstance(found, list):
        raise InputError(f"{name} is one table; write [[{name}]], of which there may be several")
    return found


def _list(values: Any, name: str) -> tuple[Any, ...]:
    if not isinstance(values, list | tuple) or not values:
        raise InputError(f"{name} is {values!r}; give a list with at least one entry")
    if len({repr(value) for value in values}) < len(values):
        raise InputError(f"{name} is {list(values)!r}; give each entry once")
    return tuple(values)


def _wholes(values: Any, name: str, low: int, high: int, distinct: bool = True) -> tuple[int, ...]:
    listed = _list(values, name) if distinct else values
    if not isinstance(listed, list | tuple):
        raise InputError(f"{name} is {values!r}; give a list of whole numbers")
    return tuple(whole(value, name, low, high) for value in listed)


def _fill(thing: Any, name: str, value: Any) -> Any:
    object.__setattr__(thing, name, value)
    return value


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _shipped() -> Traversable:
    return files("kd2m_theory.validation.campaigns") / "shipped"


@contextmanager
def _in(place: str) -> Iterator[None]:
    """Name the table in errors."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
