"""What a suite of evidence is: a claim, cases that try to break it, and what was seen of them.

A suite has numbered blocks and a block has numbered items. What an item is depends on (suite, block, item) alone, so one case
can be run again by its numbers: `--only rows --case 17:203`. Nothing here imports anything slow.
"""

import hashlib
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kd2m_theory import version
from kd2m_theory.errors import InputError

if TYPE_CHECKING:
    import numpy as np

# The seed of every suite. Another one is other evidence, so it is written in the tables.
SEED = 20261128
# Failures that a block describes; all are counted.
DESCRIBED = 12
# Rooms whose code is on trial. Suites themselves, figures and pages do not change what is found.
_ON_TRIAL = ("", "theory", "estimators", "bounds", "validation", "validation/campaigns", "validation/populations")


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison of what the package says with what is true.

    Attributes:
        strata: the level of everything that was varied, by name: {"family": "offset 1e6", "row": "T1.head_aware"}.
        failure: what is wrong, in words; empty if nothing is.
    """

    strata: Mapping[str, str]
    failure: str = ""


@dataclass(slots=True)
class Tally:
    """Counts of cases, which add up over items and blocks.

    Attributes:
        cases: comparisons.
        failed: those that failed.
        strata: for each thing that was varied and each of its levels, [cases, failed].
        failures: the first that failed: block and item, strata and words.
    """

    cases: int = 0
    failed: int = 0
    strata: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)

    def add(self, case: Case, where: str, described: int = DESCRIBED) -> None:
        """Count one case of the item `where`, "BLOCK:ITEM"."""
        failed = bool(case.failure)
        self.cases += 1
        self.failed += failed
        for name, level in case.strata.items():
            counts = self.strata.setdefault(name, {}).setdefault(level, [0, 0])
            counts[0] += 1
            counts[1] += failed
        if failed and len(self.failures) < described:
            words = case.failure.encode("utf-8", "backslashreplace").decode()  # a name of bytes that are not text
            self.failures.append({"case": where, **case.strata, "failure": words})

    def merge(self, other: "Tally") -> None:
        """Add another one's counts to these."""
        self.cases += other.cases
        self.failed += other.failed
        for name, levels in other.strata.items():
            mine = self.strata.setdefault(name, {})
            for level, (cases, failed) in levels.items():
                counts = mine.setdefault(level, [0, 0])
                counts[0] += cases
                counts[1] += failed
        self.failures += other.failures

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"cases": self.cases, "failed": self.failed, "strata": self.strata, "failures": self.failures}

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> "Tally":
        """What `to_dict` wrote."""
        return cls(table["cases"], table["failed"], table["strata"], table["failures"])


@dataclass(frozen=True)
class Judgement:
    """What all blocks of a suite say together.

    Attributes:
        failed: how many failures there are.
        failures: descriptions of the first of each kind.
        doubts: why the evidence is incomplete although its blocks are done, in words.
        more: further entries of the suite's table.
    """

    failed: int
    failures: Sequence[Mapping[str, Any]]
    doubts: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)


def each_failure(tally: Tally) -> Judgement:
    """Every case that failed is a failure; the first of each kind are described, the kinds in the order of their names."""
    kinds: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for failure in tally.failures:
        kinds.setdefault(tuple(failure[name] for name in list(failure)[1:3]), []).append(failure)
    return Judgement(tally.failed, [each for kind in sorted(kinds) for each in kinds[kind][:2]])


@dataclass(frozen=True)
class Suite:
    """One kind of evidence.

    Attributes:
        name: of the suite and of its table.
        claim: what is claimed, in one sentence.
        oracle: where the truth comes from, in one sentence.
        case: what one case is, in words.
        blocks: wanted blocks.
        items: items in a block.
        seconds: a block that has not ended after so many is stopped and counts as lost.
        memory: bytes that a worker may need beyond what its libraries need.
        modules: names of the modules that decide what its cases are and what is true of them.
        examine: the cases of one item, from its random numbers.
        judge: what all of it says.
        warm_up: loads what a worker needs before its memory is limited.
    """

    name: str
    claim: str
    oracle: str
    case: str
    blocks: int
    items: int
    seconds: float
    memory: int
    modules: tuple[str, ...]
    examine: Callable[["np.random.Generator"], Iterable[Case]]
    judge: Callable[[Tally], Judgement] = each_failure
    warm_up: Callable[[], object] = dict

    def item(self, block: int, item: int) -> list[Case]:
        """The cases of one item.

        Raises:
            InputError: there is no such item.
        """
        return list(self.examine(self.numbers(block, item)))

    def numbers(self, block: int, item: int) -> "np.random.Generator":
        """The random numbers of one item.

        Raises:
            InputError: there is no such item.
        """
        import numpy as np

        if block < 0 or not 0 <= item < self.items:
            raise InputError(f"{self.name} has no case {block}:{item}; a block has items 0 to {self.items - 1}")
        return np.random.default_rng([SEED, zlib.crc32(self.name.encode()), block, item])

    def block(self, block: int) -> tuple[Tally, float]:
        """What a block shows, and the seconds of CPU it took."""
        began, tally = time.process_time(), Tally()
        for item in range(self.items):
            for case in self.item(block, item):
                tally.add(case, f"{block}:{item}")
        return tally, time.process_time() - began

    def code(self) -> str:
        """A digest of the code on trial and of the suite: blocks of another one are other evidence."""
        root = Path(version.__file__).parent
        paths = [path for room in _ON_TRIAL for path in sorted(_folder(root, room).glob("*.py"))]
        paths += [Path(str(import_module(name).__file__)) for name in (*self.modules, __name__)]
        hashed = hashlib.sha256(f"{self.items} {SEED}".encode())
        for path in paths:
            hashed.update(path.name.encode() + b"\0" + path.read_bytes())
        return hashed.hexdigest()[:16]


def _folder(root: Path, room: str) -> Path:
    inside = root / room
    return inside if inside.is_dir() else root.parent / room  # a checkout has its rooms beside the package
