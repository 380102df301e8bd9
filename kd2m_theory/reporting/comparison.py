"""Several students side by side on the same inputs: the comparison, and ways to show and to store it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from kd2m_theory.bounds.compare import (
    MEASURES,
    Claim,
    Difference,
    Measure,
    NetworkValues,
    check_names,
    compared,
    decided,
    hypotheses,
)
from kd2m_theory.checks import one_of
from kd2m_theory.errors import InputError
from kd2m_theory.files import json_bytes, write_atomically
from kd2m_theory.pair import Pair
from kd2m_theory.plausibility import DOUBTS, Finding, findings
from kd2m_theory.reporting import html_view, terminal_view
from kd2m_theory.reporting.comparison_sections import page, summary_sections
from kd2m_theory.reporting.comparison_stored import SCHEMA, check_derived, comparison_fields, read_comparison
from kd2m_theory.reporting.comparison_words import headline, sentences
from kd2m_theory.reporting.report import check_figure, check_page
from kd2m_theory.version import __version__
from kd2m_theory.words import counted


@dataclass(frozen=True, repr=False)
class StudentComparison:
    """What `compare` found about several students of one teacher.

    All intervals hold together with probability 1 − δ: δ is divided over their limits (F6.union). All decisions are right
    together with probability 1 − δ: they are made by Holm's method (F6.holm), which decides at least as much as the intervals,
    and sometimes more. Both statements are about the population; the measured values are about the samples.

    Attributes:
        networks: measured values of the students, in the order in which they were given, then those of the teacher.
        differences: for every pair of students, and for each student and the teacher: the difference of error rates and of
            clipped cross-entropy, with intervals.
        delta: failure probability of all intervals together, and of all decisions together.
        share: failure probability of each limit, of which an interval has two.
        bound: B in nats, where cross-entropy is clipped.
        n: samples.
        groups: groups of the samples; None where each is a draw of its own. All numbers are then means over groups.
        classes: classes K.
        loss_bound: B if it was given; None for 2 ln K.
        provenance: where the pair of each student came from, by its name.
        warnings: what about a pair looks like a mistake, with the name of its student; usually nothing. Where the input looks
            wrong (`plausibility.DOUBTS`), nothing is decided.
        version: of kd2m-theory that computed this.

    Example:
        >>> import numpy as np
        >>> from kd2m_theory import Pair, StudentComparison, compare
        >>> labels = np.arange(400) % 2
        >>> right, wrong = 3 * np.eye(2)[labels], 3 * np.eye(2)[1 - labels]
        >>> def student(errors):
        ...     chosen = (np.arange(400) < errors)[:, None]
        ...     return Pair(labels=labels, logits_teacher=right, logits_student=np.where(chosen, wrong, right))
        >>> found = compare({"small": student(80), "large": student(10)})
        >>> isinstance(found, StudentComparison), found.best
        (True, ('large',))
        >>> found["small", "large"].errors
        Confidence(0.175 in [0.1077, 0.2345], probability, guaranteed at 99.1667 %)
    """

    networks: tuple[NetworkValues, ...]
    differences: tuple[Difference, ...]
    delta: float
    share: float
    bound: float
    n: int
    groups: int | None
    classes: int
    loss_bound: float | None
    provenance: Mapping[str, Mapping[str, str]]
    warnings: tuple[tuple[str, Finding], ...]
    version: str

    @property
    def students(self) -> tuple[str, ...]:
        """Names of the students."""
        return tuple(network.name for network in self.networks[:-1])

    def __getitem__(self, names: tuple[str, str]) -> Difference:
        for each in self.differences:
            if (each.first, each.second) == names:
                return each
        known = ", ".join(f"{each.first!r}, {each.second!r}" for each in self.differences)
        raise KeyError(f"no difference {names!r}; differences are {known}")

    @property
    def decided(self) -> frozenset[Claim]:
        """All decisions, each a measure, the network that is surely better in it, and the one that is surely worse.

        There are none if the input looks wrong.
        """
        if any(found.key in DOUBTS for _, found in self.warnings):
            return frozenset()
        claims = ((each.claim(measure), each.among(measure)) for each in self.differences for measure in MEASURES)
        among = {claim: most for claim, most in claims if claim is not None}
        return decided(among, hypotheses(len(self.networks)))

    def surely_better(self, measure: Measure = "errors") -> tuple[tuple[str, str], ...]:
        """Pairs of networks of which the first is surely better in a measure: a partial order.

        Args:
            measure: "errors" or "cross_entropy", which is clipped.

        Raises:
            InputError: another measure.
        """
        one_of(measure, MEASURES, "measure")
        place = {network.name: k for k, network in enumerate(self.networks)}
        found = [(better, worse) for name, better, worse in self.decided if name == measure]
        return tuple(sorted(found, key=lambda pair: (place[pair[0]], place[pair[1]])))

    @property
    def best(self) -> tuple[str, ...]:
        """Students that are not surely worse than another one: in errors, and of those that are left, in cross-entropy."""
        left = self.students
        for measure in MEASURES:
            worse = {loser for winner, loser in self.surely_better(measure) if winner in left}
            left = tuple(name for name in left if name not in worse)
        return left

    def table(self, width: int = 104, *, every_difference: bool = False) -> str:
        """The comparison as plain text.

        Args:
            width: characters in a line.
            every_difference: whether all sentences and differences are in it, or, of more than four students, what fits on a
                screen.
        """
        return terminal_view.plain(summary_sections(self.to_dict(), every_difference=every_difference), width)

    __str__ = table

    def __repr__(self) -> str:
        """One line."""
        size = f"{len(self.students)} students, n={self.n}, K={self.classes}"
        return f"StudentComparison({size}, best: {', '.join(self.best)}, delta={self.delta:g})"

    def __rich__(self) -> RenderableType:
        return terminal_view.printed(summary_sections(self.to_dict()))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return html_view.fragment(summary_sections(self.to_dict()))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON: the fields, and what follows from them."""
        data = {
            "schema": SCHEMA,
            "version": self.version,
            "delta": self.delta,
            "share": self.share,
            "bound": self.bound,
            "loss_bound": self.loss_bound,
            "n": self.n,
            "groups": self.groups,
            "classes": self.classes,
            "provenance": {name: dict(words) for name, words in self.provenance.items()},
            "warnings": [
                {"student": name, "key": found.key, "numbers": dict(found.numbers), "sentence": found.sentence}
                for name, found in self.warnings
            ],
            "networks": [asdict(network) for network in self.networks],
            "differences": [asdict(each) for each in self.differences],
            "surely_better": {measure: [list(pair) for pair in self.surely_better(measure)] for measure in MEASURES},
            "best": list(self.best),
        }
        return data | {"headline": headline(data), "sentences": sentences(data)}

    def to_json(self, path: str | Path) -> None:
        """Write the comparison as JSON (schema "kd2m-compare/1"), atomically; `from_json` reads it back.

        Raises:
            InputError: nothing can be written there.
        """
        write_atomically(path, json_bytes(self.to_dict(), indent=2))

    @classmethod
    def from_json(cls, path: str | Path) -> "StudentComparison":
        """The comparison that `to_json` wrote: equal in every field.

        Decisions, the best students and all sentences are computed again; a file that says something else is refused.

        Raises:
            InputError: the file cannot be read, is not a comparison, or contradicts itself; one line names file and field.
        """
        path = Path(path)
        table = read_comparison(path)
        try:
            found = cls(**comparison_fields(table))
            check_derived(table, found.to_dict())
        except (InputError, RecursionError) as error:
            raise InputError(f"{path} is not a comparison ({error})") from None
        return found

    def plot(self, path: str | Path) -> None:
        """Draw the differences with their intervals; the file's ending (.png, .svg or .pdf) chooses the format.

        Raises:
            InputError: another ending, or nothing can be written there.
        """
        path = check_figure(path)
        from kd2m_theory.reporting.comparison_picture import picture

        write_atomically(path, picture(self.to_dict(), path.suffix[1:]))

    def to_html(self, path: str | Path, command: str | None = None) -> None:
        """Write the comparison as one HTML page that loads nothing from anywhere.

        Args:
            path: where to; it ends in .html.
            command: what was typed to make the comparison, for its section on reproduction; the call in Python if None.

        Raises:
            InputError: another ending, or nothing can be written there.
        """
        path = check_page(path)
        write_atomically(path, page(self.to_dict(), command).encode())


def compare(
    pairs: Mapping[str, Pair] | Iterable[Pair],
    delta: float = 0.05,
    *,
    names: Sequence[str] | None = None,
    loss_bound: float | None = None,
) -> StudentComparison:
    """Compare several students of one teacher on the same labelled inputs.

    Args:
        pairs: a pair of each student, all with the same teacher, labels, groups and order of the rows; by name, or in a list.
        delta: failure probability of all intervals together, and of all decisions together.
        names: of the students, for pairs in a list; "student 1", "student 2", … if None.
        loss_bound: B in nats, chosen before the samples were seen, where cross-entropy is clipped; 2 ln K if None.

    Returns:
        Measured values of every network, and for every pair of students and each student and the teacher an interval for the
        difference of error rates and of clipped cross-entropy. Numbers do not depend on the order of the rows.

    Raises:
        InputError: fewer than two students, names that do not tell them apart, pairs that are unlabelled, have no logits, or
            differ in inputs, labels, groups or teacher, a δ outside (0, ½], or a loss bound that is not positive or is the
            samples' own largest loss.

    Source:
        Theorem F6 (union of limits; Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6
        (1979)), with F1 for each interval.

    Example:
        >>> import numpy as np
        >>> from kd2m_theory import Pair, compare
        >>> logits, labels = np.random.default_rng(0).normal(size=(3, 200, 4)), np.arange(200) % 4
        >>> pairs = [Pair(labels=labels, logits_teacher=logits[0], logits_student=each) for each in logits[1:]]
        >>> compare(pairs, names=["narrow", "deep"])
        StudentComparison(2 students, n=200, K=4, best: narrow, deep, delta=0.05)
    """
    given = _by_name(pairs, names)
    found = compared(given, delta, loss_bound)
    return StudentComparison(
        networks=found.networks,
        differences=found.differences,
        delta=float(delta),
        share=found.share,
        bound=found.bound,
        n=found.n,
        groups=found.groups,
        classes=found.classes,
        loss_bound=None if loss_bound is None else float(loss_bound),
        provenance={name: dict(pair.provenance) for name, pair in given.items()},
        warnings=tuple((name, each) for name, pair in given.items() for each in findings(pair)),
        version=__version__,
    )


def _by_name(pairs: Mapping[str, Pair] | Iterable[Pair], names: Sequence[str] | None) -> dict[str, Pair]:
    if isinstance(pairs, Mapping):
        if names is not None:
            raise InputError("pairs have names already; leave out names")
        return dict(pairs)
    if isinstance(pairs, Pair):
        raise InputError("pairs is one Pair; pass a list of pairs, or a mapping of names to pairs")
    listed = list(pairs)
    given = [f"student {k}" for k in range(1, len(listed) + 1)] if names is None else list(names)
    if len(given) != len(listed):
        raise InputError(
            f"{counted(len(given), 'name')} for {counted(len(listed), 'pair')}; give one name for each pair, in order"
        )
    check_names(given)
    return dict(zip(given, listed, strict=True))
