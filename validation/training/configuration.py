"""What a run of distillation is: population, teacher, student, objective, and the pairs to keep. Read from TOML.

Every key is checked before anything is trained; a key that is not known is refused with the nearest known one.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

from kd2m_theory.checks import above_zero, at_least_zero, did_you_mean, whole
from kd2m_theory.errors import InputError
from kd2m_theory.validation.training.toml_tables import names, read_table

Optimiser = Literal["adamw", "sgd"]
Schedule = Literal["cosine", "step", "constant"]
Precision = Literal["float32", "bf16"]
Head = Literal["own", "teacher"]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes:
        epochs: ≥ 1.
        batch: images a step, over all processes.
        learning_rate: at the start.
        steps: steps an epoch; None: as many as the training split fills. An unlimited population needs a number.
        optimiser: "adamw" or "sgd".
        momentum: of SGD.
        nesterov: whether SGD's momentum is Nesterov's.
        weight_decay: of either.
        schedule: of the learning rate: "cosine" falls to `final_learning_rate` over all steps; "step" multiplies by `decay`
            before each of the epochs `milestones` (from 0); "constant" stays.
        final_learning_rate: where the cosine ends.
        milestones: epochs, ascending.
        decay: factor at a milestone.
        gradient_clip: largest norm of the gradient; None: no limit.
        precision: "float32", or "bf16": autocast of the networks on CUDA, float32 elsewhere.
        images_per_class: training images of each class that the network sees, the same for every seed; None: all of them. A
            teacher that saw all can teach a student that sees few.

    Raises:
        InputError: a value out of its range.
    """

    epochs: int
    batch: int
    learning_rate: float
    steps: int | None = None
    optimiser: Optimiser = "adamw"
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    schedule: Schedule = "cosine"
    final_learning_rate: float = 0.0
    milestones: tuple[int, ...] = ()
    decay: float = 0.1
    gradient_clip: float | None = None
    precision: Precision = "float32"
    images_per_class: int | None = None

    def __post_init__(self) -> None:
        """Check every value."""
        for name in ("epochs", "batch", "steps", "images_per_class"):
            if name in ("epochs", "batch") or getattr(self, name) is not None:
                whole(getattr(self, name), name, 1)
        above_zero(self.learning_rate, "learning_rate")
        above_zero(self.decay, "decay")
        for name in ("momentum", "weight_decay", "final_learning_rate"):
            at_least_zero(getattr(self, name), name)
        if self.gradient_clip is not None:
            above_zero(self.gradient_clip, "gradient_clip")
        _truth(self.nesterov, "nesterov")
        _one_of(self.optimiser, "optimiser", get_args(Optimiser))
        _one_of(self.schedule, "schedule", get_args(Schedule))
        _one_of(self.precision, "precision", get_args(Precision))
        object.__setattr__(self, "milestones", _epochs(self.milestones, "milestones", 0, self.epochs - 1))
        if (self.schedule == "step") != bool(self.milestones):
            raise InputError(f"schedule {self.schedule!r} with milestones {list(self.milestones)}; they belong together")


@dataclass(frozen=True)
class TeacherPlan:
    """The teacher: trained on cross-entropy by a recipe, or weights of yours.

    Attributes:
        network: its name, as `networks.network` takes it.
        training: recipe; None with `weights`.
        weights: a .safetensors file with its state dict; None with `training`.
        seed: of its initial weights and of the order of its images.
        cache: whether its outputs for training batches are kept on disk, for later runs that see the same batches.
    """

    network: str
    training: Recipe | None = None
    weights: str | None = None
    seed: int = 0
    cache: bool = False

    def __post_init__(self) -> None:
        """Check every value."""
        _text(self.network, "network")
        if (self.training is None) == (self.weights is None):
            raise InputError("a teacher needs either [teacher.training] or weights = 'FILE.safetensors', and not both")
        if self.weights is not None:
            _text(self.weights, "weights")
        whole(self.seed, "seed", 0)
        _truth(self.cache, "cache")


@dataclass(frozen=True)
class StudentPlan:
    """The student.

    Attributes:
        network: its name, as `networks.network` takes it.
        training: recipe.
        head: "own", or "teacher": the teacher's head, frozen, makes its logits; features must be of one size.
    """

    network: str
    training: Recipe
    head: Head = "own"

    def __post_init__(self) -> None:
        """Check every value."""
        _text(self.network, "network")
        _one_of(self.head, "head", get_args(Head))


@dataclass(frozen=True)
class PairsPlan:
    """Which pairs a run keeps.

    Attributes:
        at: epochs, counted from 1, after which a pair is kept; 0 is the student before training. None: after the last.
        images: of the test split, where it is unlimited.
        audit: whether each is audited.
        delta: failure probability of an audit.
    """

    at: tuple[int, ...] | None = None
    images: int = 2000
    audit: bool = True
    delta: float = 0.05

    def __post_init__(self) -> None:
        """Check every value."""
        if self.at is not None:
            object.__setattr__(self, "at", _epochs(self.at, "at", 0, 2**31))
        whole(self.images, "images", 2)
        _truth(self.audit, "audit")
        if not 0 < above_zero(self.delta, "delta") < 1:
            raise InputError(f"delta is {self.delta!r}; choose a probability between 0 and 1")


@dataclass(frozen=True)
class Configuration:
    """A whole run.

    Attributes:
        population: `name` and options, as `populations.registry.population` takes them.
        student: the student.
        objective: `name` and options, as `objectives.registry.objective` takes them.
        teacher: the teacher.
        pairs: what is kept.
        seed: of the student's initial weights, of learnable parts of the objective, of the order of the images, and of the
            images that a student is judged on where the population is unlimited.
    """

    population: Mapping[str, Any]
    teacher: TeacherPlan
    student: StudentPlan
    objective: Mapping[str, Any]
    pairs: PairsPlan = field(default_factory=PairsPlan)
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what one part says of another."""
        for name in ("population", "objective"):
            table = getattr(self, name)
            if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
                raise InputError(f"[{name}] needs a name = '…'")
        whole(self.seed, "seed", 0)
        beyond = [epoch for epoch in self.pairs.at or () if epoch > self.student.training.epochs]
        if beyond:
            raise InputError(
                f"pairs.at names epoch {beyond[0]} of {self.student.training.epochs}; name epochs that are trained"
            )

    @property
    def pairs_at(self) -> tuple[int, ...]:
        """Epochs, from 1, after which a pair is kept; 0 is the untrained student."""
        return (self.student.training.epochs,) if self.pairs.at is None else self.pairs.at

    def to_table(self) -> dict[str, Any]:
        """Plain data, every key present."""
        table: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return table

    @property
    def digest(self) -> str:
        """Hash of everything that decides the numbers of a run."""
        return digest(self.to_table())

    @property
    def teacher_digest(self) -> str:
        """Hash of everything that decides the teacher's weights."""
        teacher = {key: value for key, value in self.to_table()["teacher"].items() if key != "cache"}
        return digest({"population": dict(self.population), "teacher": teacher})


def digest(table: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits of SHA-256 of a table, the same for equal tables."""
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:16]


def read_configuration(source: str | Path, changes: Iterable[str] = ()) -> Configuration:
    """The configuration in a TOML file, or the shipped one of that name.

    Args:
        source: a path, or one of `shipped_names`.
        changes: "key=value" with a dotted key and a TOML value or bare words, for example "objective.weight=1e-3", in the place
            of what the file says; "variant=kd" chooses a variant of a file that has some.

    Raises:
        InputError: no such file or name, no TOML, an invalid change, or what `configuration` refuses.

    Example:
        >>> chosen = read_configuration("digits-cw2", ["objective.weight=1e-4", "seed=2"])
        >>> chosen.objective["name"], chosen.objective["weight"], chosen.seed
        ('cw2', 0.0001, 2)
    """
    return configuration(read_table(source, "configuration", _shipped(), changes))


def configuration(table: Mapping[str, Any]) -> Configuration:
    """The configuration that a table of plain data says.

    Raises:
        InputError: a key that is missing, or not known (the message has the nearest), or a value out of its range; the
            message names the table.
    """
    made: Configuration = _made(Configuration, table, "")
    return made


def shipped_names() -> tuple[str, ...]:
    """Names of the configurations that come with the package: FILE, and FILE-VARIANT where a file has variants.

    Example:
        >>> "digits-cw2" in shipped_names()
        True
    """
    return names(_shipped())


def _shipped() -> Traversable:
    return files("kd2m_theory.validation.training") / "configurations"


_TABLES: dict[str, type[Any]] = {"training": Recipe, "teacher": TeacherPlan, "student": StudentPlan, "pairs": PairsPlan}


def _made(kind: type[Any], table: Any, where: str) -> Any:
    place = f"[{where}]" if where else "the configuration"
    if not isinstance(table, Mapping):
        raise InputError(f"{place} is {table!r}; make it a table")
    known = {each.name: each for each in dataclasses.fields(kind)}
    for key in table:
        if key not in known:
            raise InputError(f"{place} has no {key!r}; {did_you_mean(key, known)}it takes {', '.join(known)}")
    for name, each in known.items():
        if name not in table and each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
            raise InputError(f"{place} lacks {name!r}; add it")
    parts = {
        key: _made(_TABLES[key], value, f"{where}.{key}" if where else key) if key in _TABLES and value is not None else value
        for key, value in table.items()
    }
    try:
        return kind(**parts)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None if where else error


def _text(value: object, name: str) -> None:
    if not isinstance(value, str) or not value:
        raise InputError(f"{name} is {value!r}; give a text")


def _truth(value: object, name: str) -> None:
    if not isinstance(value, bool):
        raise InputError(f"{name} is {value!r}; choose true or false")


def _one_of(value: object, name: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"{name} is {value!r}; {did_you_mean(value, known)}choose one of {', '.join(known)}")


def _epochs(values: object, name: str, low: int, high: int) -> tuple[int, ...]:
    if not isinstance(values, list | tuple):
        raise InputError(f"{name} is {values!r}; give a list of epochs")
    epochs = tuple(whole(value, name, low, high) for value in values)
    if any(late <= early for early, late in pairwise(epochs)):
        raise InputError(f"{name} is {list(epochs)}; give epochs in ascending order, each once")
    return epochs
