"""The audit of a pair: measured differences, the ladder of bounds on them, and ways to show both."""

import datetime
import math
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from kd2m_theory.bounds import BoundResult, Ladder, Row
from kd2m_theory.bounds.affine import aligned
from kd2m_theory.bounds.breakdown import Breakdown
from kd2m_theory.bounds.clipping import Clipping
from kd2m_theory.bounds.known import QUANTITIES, as_stored
from kd2m_theory.bounds.settings import Settings
from kd2m_theory.bounds.stream import PairStream, StreamedPair
from kd2m_theory.bounds.work import Estimate
from kd2m_theory.checks import real_number
from kd2m_theory.errors import InputError
from kd2m_theory.estimators import Confidence
from kd2m_theory.estimators.interval_inputs import check_chosen_delta
from kd2m_theory.files import check_writable, json_bytes, write_atomically
from kd2m_theory.pair import Pair, check_pair
from kd2m_theory.plausibility import Finding, findings
from kd2m_theory.reporting import html_view, terminal_view
from kd2m_theory.reporting.first_screen import first_sections
from kd2m_theory.reporting.stored import SCHEMA, check_derived, fields_of, read_audit
from kd2m_theory.reporting.summary import every_row_sections
from kd2m_theory.reporting.tolerance import Tolerance, tolerances
from kd2m_theory.reporting.verdict import Verdict, verdict
from kd2m_theory.version import __version__
from kd2m_theory.words import counted


@dataclass(frozen=True, repr=False)
class AuditReport:
    """What an audit found. `report["T2.head_aware"]` is a row; `report.measured["gap"]` a measured value.

    A report is read as a mapping from names to rows: `report[name]` raises `KeyError` for a name that is not a row of it (the
    message lists those that are), and `name in report` asks first.

    Attributes:
        measured: values by name, each with its interval at the level that it has: in nats of cross-entropy "risk_teacher",
            "risk_student", "gap" and, where features and the teacher's head are there, "risk_student_shared_head",
            "gap_shared_head", "head_mismatch"; as probabilities "accuracy_teacher", "accuracy_student", "error_gap",
            "disagreement". What the pair lacks (labels, the same inputs) is left out.
        rows: the ladder.
        clipping: how much of the losses the rows about clipped cross-entropy do not see; None without logits of both
            networks, and in reports of 0.1.0.
        breakdown: where the difference of the two networks comes from on these samples: classes, confusions, single samples,
            and the calibration of both; None without logits of both networks, for unlabelled pairs of other inputs, and in
            reports that were stored before there was one.
        delta: failure probability of everything guaranteed about the population together: of the rows that `only` named, or,
            without it, of all rows and guaranteed intervals. Every other interval is at 1 − δ by itself.
        share: failure probability of each limit, which is a statement on one side: δ over their number.
        n: samples.
        groups: groups that the samples belong to; None where each is a draw of its own. Measured values and clipping are then
            means over groups of the mean within a group, as rows about the population are; all other rows count samples.
        classes: classes K.
        provenance: where the pair came from.
        settings: what `audit` was told besides the pair and δ, by argument; `align` is whether there was one.
        environment: versions that computed this.
        seconds: time of the whole audit.
        warnings: what about the pair looks like a mistake (shifted labels, rows in another order, …); usually nothing.
        left_out: which of "measured", "clipping" and "breakdown" could not be computed, and why: for lack of memory.

    Example:
        >>> from kd2m_theory import AuditReport, Pair, audit
        >>> report = audit(Pair([[2.0], [-1.0]], [[1.0], [-1.0]], labels=[0, 1], head_weight=[[1.0], [-1.0]]))
        >>> isinstance(report, AuditReport), "T2.head_aware" in report, len(report.rows) == len(list(report))
        (True, True, True)
        >>> round(report.measured["gap"].value, 4), report["T2.head_aware"].holds
        (0.0544, True)
        >>> print(report.table(200).splitlines()[1])
        Undecided: these samples do not show that the student is worse or better than its teacher.
    """

    measured: Mapping[str, Confidence]
    rows: tuple[BoundResult, ...]
    clipping: Clipping | None
    delta: float
    share: float
    n: int
    groups: int | None
    classes: int
    provenance: Mapping[str, str]
    settings: Mapping[str, Any]
    environment: Mapping[str, str]
    seconds: float
    warnings: tuple[Finding, ...] = ()
    breakdown: Breakdown | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> BoundResult:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"no row {name!r}; rows are {', '.join(row.name for row in self.rows)}")

    def __contains__(self, name: object) -> bool:
        return any(row.name == name for row in self.rows)

    def __iter__(self) -> Iterator[str]:
        """Names of the rows, as a mapping has keys."""
        return (row.name for row in self.rows)

    @property
    def violations(self) -> tuple[BoundResult, ...]:
        """Rows whose assumptions stand and whose inequality does not: theory, code or a vouched assumption is wrong."""
        return tuple(row for row in self.rows if row.violated)

    @property
    def not_computed(self) -> tuple[BoundResult, ...]:
        """Rows that were not computed because the audit was interrupted or its seconds had passed."""
        return tuple(row for row in self.rows if row.status == "not computed")

    @property
    def machine_dependent(self) -> bool:
        """Whether a clock decided which rows have a number: the audit had a limit of seconds, or was interrupted.

        The numbers that are there do not depend on it.
        """
        return self.settings["seconds"] is not None or bool(self.not_computed)

    @property
    def verdict(self) -> Verdict:
        """What a reader should take away, in sentences: computed from the rows and the measured values."""
        return verdict(self._data())

    def table(self, width: int = 104, *, every_row: bool = False) -> str:
        """The report as plain text.

        Args:
            width: characters in a line.
            every_row: whether all rows and measured values are in it, or what matters most in at most 25 lines.
        """
        data = self.to_dict()
        return terminal_view.plain(every_row_sections(data) if every_row else first_sections(data), width)

    __str__ = table

    def within(self, *, max_error_gap: float | None = None, max_gap: float | None = None) -> tuple[Tolerance, ...]:
        """Whether the student is within a tolerance on the population: a decision for each number that is given.

        Only guaranteed intervals decide. All of them hold together, so that every "met" and every "not met" is right with
        probability 1 − δ, however many tolerances are tried.

        Args:
            max_error_gap: largest difference of the error rates that is accepted, a probability: 0.02 for 2 points.
            max_gap: largest difference of cross-entropy in nats, of losses clipped where the audit clips them.

        Raises:
            InputError: a number is not finite, or the difference of error rates is outside [−1, 1].
        """
        return tolerances(self.to_dict(), max_error_gap, max_gap)

    def __repr__(self) -> str:
        """One line."""
        found = f"{len(self.violations)} violated" if self.violations else "none violated"
        return f"AuditReport(n={self.n}, K={self.classes}, {counted(len(self.rows), 'row')}, {found}, delta={self.delta:g})"

    def __rich__(self) -> RenderableType:
        return terminal_view.printed(first_sections(self.to_dict()))

    def _repr_html_(self) -> str:
        """What a notebook shows: the same as is printed."""
        return html_view.fragment(first_sections(self.to_dict()))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON: numbers that are not finite are null, and each row's status says why."""
        data = self._data()
        return data | {"verdict": _plain(verdict(data))}

    def _data(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "delta": self.delta,
            "share": self.share,
            "n": self.n,
            "groups": self.groups,
            "classes": self.classes,
            "provenance": dict(self.provenance),
            "settings": _plain(self.settings),
            "environment": dict(self.environment),
            "seconds": self.seconds,
            "warnings": [_plain(each) | {"sentence": each.sentence} for each in self.warnings],
            "violations": [row.name for row in self.violations],
            "machine_dependent": self.machine_dependent,
            "left_out": dict(self.left_out),
            "measured": {name: _plain(value) for name, value in self.measured.items()},
            "clipping": _plain(self.clipping),
            "breakdown": _plain(self.breakdown),
            "rows": [_plain(row) | {name: _plain(getattr(row, name)) for name in _DERIVED} for row in self.rows],
        }

    def to_json(self, path: str | Path) -> None:
        """Write the report as JSON (schema "kd2m-audit/4"), atomically; `from_json` reads it back.

        Raises:
            InputError: nothing can be written there.
        """
        write_atomically(path, json_bytes(self.to_dict(), indent=2))

    @classmethod
    def from_json(cls, path: str | Path) -> "AuditReport":
        """The report that `to_json` wrote to a file, by this version or an earlier one: equal in every field.

        Nothing that follows from the rows is taken from the file. Verdict, violations, and what follows from a row are
        computed again, and a file that says something else is refused.

        Args:
            path: of a file with schema "kd2m-audit/4", or "kd2m-audit/3" or "kd2m-audit/2" of earlier versions.

        Raises:
            InputError: the file cannot be read, is not an audit, or contradicts itself; one line names file and field.

        Example:
            >>> from pathlib import Path
            >>> from tempfile import TemporaryDirectory
            >>> from kd2m_theory import AuditReport, Pair, audit
            >>> report = audit(Pair([[2.0], [-1.0]], [[1.0], [-1.0]], labels=[0, 1], head_weight=[[1.0], [-1.0]]))
            >>> with TemporaryDirectory() as folder:
            ...     report.to_json(Path(folder, "report.json"))
            ...     again = AuditReport.from_json(Path(folder, "report.json"))
            >>> again.verdict == report.verdict, again.measured == report.measured
            (True, True)
        """
        path = Path(path)
        table = read_audit(path)
        try:
            report = cls(**fields_of(table))
            check_derived(table, report.to_dict())
        except (InputError, RecursionError) as error:
            raise InputError(f"{path} is not an audit ({error})") from None
        return report

    def plot(self, path: str | Path) -> None:
        """Draw the ladder; the file's ending (.png, .svg or .pdf) chooses the format.

        Raises:
            InputError: another ending, or nothing can be written there.
        """
        path = check_figure(path)
        from kd2m_theory.reporting.ladder import picture

        write_atomically(path, picture(self.to_dict(), path.suffix[1:]))

    def plot_breakdown(self, path: str | Path) -> None:
        """Draw where the gap comes from; the file's ending (.png, .svg or .pdf) chooses the format.

        Raises:
            InputError: another ending, nothing can be written there, or the report has no breakdown.
        """
        path = check_figure(path)
        from kd2m_theory.reporting.breakdown_picture import picture

        write_atomically(path, picture(self.to_dict(), path.suffix[1:]))

    def save_samples(self, path: str | Path) -> None:
        """Write the samples that carry most of the gap, `breakdown.samples`, as CSV: one line per sample, most first.

        The columns are the fields of `CarryingSample`; where the pair names its classes, three columns have the names.

        Raises:
            InputError: the name does not end in .csv, nothing can be written there, or the audit has no such samples: it needs
                labels of inputs that both networks saw.
        """
        path = check_samples(path)
        found = self.breakdown
        if found is None or found.by == "teacher" or found.added is None:
            raise InputError(
                "no samples can be listed: that needs logits of both networks, labels, and inputs that both networks saw"
            )
        from kd2m_theory.reporting.samples_file import samples_csv

        write_atomically(path, samples_csv(found))

    def to_html(self, path: str | Path, command: str | None = None) -> None:
        """Write the report as one HTML page that loads nothing from anywhere: verdict, ladder, every row, origin.

        Args:
            path: where to; it ends in .html.
            command: what was typed to make the report, for its section on reproduction; the call in Python if None.

        Raises:
            InputError: another ending, or nothing can be written there.
        """
        path = check_page(path)
        from kd2m_theory.reporting.page import html_page

        write_atomically(path, html_page(self.to_dict(), command).encode())


def check_figure(path: str | Path) -> Path:
    """The path, refused if no picture could be written there.

    Raises:
        InputError: an unknown ending, a folder, or a folder that does not exist.
    """
    path = check_writable(path)
    formats = (".pdf", ".png", ".svg")
    if path.suffix not in formats:
        raise InputError(f"{path.name} ends in {path.suffix or 'nothing'}; a picture ends in {', '.join(formats)}")
    return path


def check_samples(path: str | Path) -> Path:
    """The path, refused if no table of samples could be written there.

    Raises:
        InputError: an ending other than .csv, a folder, or a folder that does not exist.
    """
    path = check_writable(path)
    if path.suffix != ".csv":
        raise InputError(f"{path.name} ends in {path.suffix or 'nothing'}; a table of samples ends in .csv")
    return path


def check_page(path: str | Path) -> Path:
    """The path, refused if no page could be written there.

    Raises:
        InputError: an ending other than .html, a folder, or a folder that does not exist.
    """
    path = check_writable(path)
    if path.suffix != ".html":
        raise InputError(f"{path.name} ends in {path.suffix or 'nothing'}; a report for the browser ends in .html")
    return path


_DERIVED = ("direction", "guaranteed", "assumed", "holds", "slack", "ratio")


def audit(
    pair: Pair | PairStream,
    delta: float = 0.05,
    *,
    only: Sequence[str] | None = None,
    rows: Iterable[Row] = (),
    align: Pair | None = None,
    loss_bound: float | None = None,
    head_lipschitz: float | None = None,
    temperature: float | None = None,
    vouch: Iterable[str] = (),
    whole_cloud: bool | None = None,
    teacher_risk: Any = None,
    teacher_error: Any = None,
    seconds: float | None = None,
    partial: bool = False,
    watch: Callable[[Iterable[Any]], Iterable[Any]] = iter,
    announce: Callable[[Estimate], None] | None = None,
) -> AuditReport:
    """Measure a pair and evaluate every bound on it.

    Rows T0 to T10 are deterministic statements about this sample. Intervals of measured values and rows F1 to F5 are about the
    population. They are made of limits, each a statement on one side that may be wrong by chance, and `delta` is divided
    equally among the different limits that are read: two by an interval, one by a row with one side, each paid for once. So
    everything guaranteed holds together with probability 1 − δ. Asymptotic intervals, which are marked, cost nothing and are at
    1 − δ each. With `only`, the rows that it names share `delta` among themselves, and every measured value has an interval at
    1 − δ by itself.

    Args:
        pair: the pair; what it lacks (labels, a shared head, the same inputs) makes rows not applicable. Or a stream, whose
            loss bound and temperature are taken, and for which rows that need all logits at once are not applicable.
        delta: failure probability of everything guaranteed together.
        only: names of the rows to compute, which then share `delta` among themselves; all if None.
        rows: bounds of your own, which follow those of the package, share `delta` by their limits, and have no say in the
            verdict: nothing here proves them.
        align: a pair of the same two networks on *other* inputs; an affine map from student to teacher features is fitted
            on it, and with it the teacher's head fits student features of another dimension.
        loss_bound: B in nats, chosen before the sample was seen; rows about the population clip cross-entropy there. 2 ln K
            if None. The sample's own largest loss is refused.
        head_lipschitz: Lipschitz constant of a nonlinear head that both networks share, from features to logits.
        temperature: T of the transformed teacher in T9.ttm.
        vouch: assumptions that you make: "gaussian classes" (T7.gaussian), "teacher labels" (T9.kl_teacher).
        whole_cloud: whether to solve transport problems of all samples at once (T3, T4); up to 2,000 samples if None.
        teacher_risk: what is known of the teacher's mean cross-entropy in nats. A number is an upper bound for these very
            inputs, (lower, upper) an interval, a mapping from predicted classes to these is about the inputs that the teacher
            predicts so; `bounds.Known(…, about="population")` is about the population that they are drawn from. A labelled
            pair is an evaluation of the teacher: an interval for the population is made of it at its share of `delta`, and its
            student is not read. Rows T0.teacher_risk and F3.teacher_risk need it.
        teacher_error: the same of the teacher's error rate, for T0.teacher_error and F3.teacher_error.
        seconds: after so many seconds no further row is begun; the one that runs is finished, and so is what is measured. The
            report is then marked as dependent on the machine. No limit if None, and no number depends on a clock.
        partial: what Ctrl-C does while rows are computed: if true, the report with the rows that are there is returned, and the
            others are "not computed"; if false, KeyboardInterrupt is raised, as a notebook and a script expect.
        watch: wraps the iteration over rows, for a progress display.
        announce: is called with the expected work before any of it is done.

    Raises:
        KeyboardInterrupt: Ctrl-C, unless `partial`; a second one at any time.
        InputError: the pair has neither head nor logits, delta is outside (0, ½], `only` names no row, a setting is out of
            range, `loss_bound` is the largest loss of the sample, no labels could give the teacher the stated risk, `align`
            shares inputs with the pair or is given for a stream, as is `teacher_risk`, a stream was made with another loss
            bound or temperature, or one of `rows` is not a row, or has the name of another or a limit of the package's.

    Example:
        >>> import numpy as np
        >>> from kd2m_theory import Pair, audit
        >>> z = np.random.default_rng(0).normal(size=(50, 2))
        >>> pair = Pair(z, 1.1 * z, labels=np.arange(50) % 2, head_weight=np.eye(2))
        >>> report = audit(pair)
        >>> report["T1.head_aware"].holds, report.violations
        (True, ())
    """
    start = time.perf_counter()
    check_chosen_delta(delta)
    if isinstance(pair, PairStream):
        loss_bound, temperature = _of_stream(pair, align, loss_bound=loss_bound, temperature=temperature)
    else:
        check_pair(pair)
    if align is not None:
        check_pair(align, "align")
    settings = Settings(
        loss_bound=loss_bound,
        head_lipschitz=head_lipschitz,
        temperature=temperature,
        vouched=frozenset([vouch] if isinstance(vouch, str) else vouch),
        whole_cloud=whole_cloud,
        teacher_risk=teacher_risk,
        teacher_error=teacher_error,
    )
    if seconds is not None and not 0 < real_number(seconds) < math.inf:
        raise InputError(f"seconds is {seconds}; give a finite number > 0, or leave it out for no limit")
    if align is not None and isinstance(pair, Pair):
        pair = aligned(pair, align)
    seen = pair.summary() if isinstance(pair, PairStream) else pair
    ladder = Ladder(seen, delta, only, settings, rows=rows)
    if announce is not None:
        announce(ladder.estimate())
    warnings = () if isinstance(seen, StreamedPair) else findings(seen)
    measured, left_out = dict[str, Confidence](), dict[str, str]()
    with _unless_too_large("measured", left_out):
        measured = ladder.measure()
    limit = math.inf if seconds is None else seconds - (time.perf_counter() - start)
    results = ladder.evaluate(watch, seconds=limit, partial=partial)
    found: Clipping | None = None
    parts: Breakdown | None = None
    if left_out:  # both take apart what is measured
        left_out |= dict.fromkeys(("clipping", "breakdown"), left_out["measured"])
    else:
        with _unless_too_large("clipping", left_out):
            found = ladder.clipping()
        with _unless_too_large("breakdown", left_out):
            parts = ladder.breakdown(results)
    assert seen.classes is not None
    return AuditReport(
        measured=measured,
        rows=results,
        clipping=found,
        breakdown=parts,
        delta=delta,
        share=ladder.share,
        n=seen.n,
        groups=None if seen.groups is None else int(seen.groups.max()) + 1,
        classes=seen.classes,
        provenance=seen.provenance,
        settings={
            "only": None if only is None else [row.name for row in ladder.rows],
            "rows": list(ladder.own),
            "stream": isinstance(pair, PairStream),
            "align": align is not None,
            "loss_bound": settings.loss_bound,
            "head_lipschitz": settings.head_lipschitz,
            "temperature": settings.temperature,
            "vouch": sorted(settings.vouched),
            "whole_cloud": settings.whole_cloud,
            "seconds": None if seconds is None else float(seconds),
            **{quantity: as_stored(getattr(settings, quantity)) for quantity in QUANTITIES},
        },
        environment={**_environment(), "date": datetime.date.today().isoformat()},
        seconds=time.perf_counter() - start,
        warnings=warnings,
        left_out=left_out,
    )


def _of_stream(stream: PairStream, align: Pair | None, **given: float | None) -> tuple[float | None, float | None]:
    """Loss bound and temperature of a stream, which statistics of its samples depend on.

    Raises:
        InputError: `align` is given, or one of the two that is not the stream's.
    """
    if align is not None:
        raise InputError("align fits a map between features, and a stream has logits alone; leave it out")
    for name, value in given.items():
        if value is not None and value != getattr(stream, name):
            raise InputError(
                f"{name} is {value!r}, and the stream was made with {getattr(stream, name)!r}; say it there, as "
                f"PairStream({name}={value!r})"
            )
    return stream.loss_bound, stream.temperature


@contextmanager
def _unless_too_large(what: str, left_out: dict[str, str]) -> Iterator[None]:
    """What is within is left out, and the reason noted, where memory does not suffice for it."""
    try:
        yield
    except MemoryError:
        left_out[what] = "there is not enough memory"


@cache
def _environment() -> Mapping[str, str]:
    # Reading the packages' metadata would take longer than the audit of a small pair.
    packages = {name: version(name) for name in ("numpy", "scipy", "POT")}
    python, machine = platform.python_version(), platform.machine()
    return {"python": python, "machine": machine, "kd2m-theory": __version__, **packages}


def _plain(value: Any) -> Any:
    """The value as JSON has it: records as tables, tuples as lists, numbers that are not finite as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    return value
