"""The audit of a pair: measured differences, the ladder of bounds on them, and ways to show both."""

import io
import json
import math
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from kd2m_theory.bounds import BoundResult, Ladder
from kd2m_theory.bounds.affine import aligned
from kd2m_theory.bounds.settings import Settings
from kd2m_theory.bounds.targets import MEASURED, SUBJECTS
from kd2m_theory.errors import InputError
from kd2m_theory.estimators import Confidence
from kd2m_theory.files import check_writable, write_atomically
from kd2m_theory.pair import Pair
from kd2m_theory.version import __version__
from kd2m_theory.words import number, percent

SCHEMA = "kd2m-audit/3"
_WIDTH = 104


@dataclass(frozen=True)
class AuditReport:
    """What an audit found. `report["T2.head_aware"]` is a row; `report.measured["gap"]` a measured value.

    A report is read as a mapping from names to rows: `report[name]` raises `KeyError` for a name that is no row of it (the
    message lists those that are), and `name in report` asks first.

    Attributes:
        measured: values by name, each with its interval at its own level 1 − `share`: in nats of cross-entropy "risk_teacher",
            "risk_student", "gap" and, where features and the teacher's head are there, "risk_student_shared_head",
            "gap_shared_head", "head_mismatch"; as probabilities "accuracy_teacher", "accuracy_student", "error_gap",
            "disagreement". What the pair lacks (labels, the same inputs) is left out.
        rows: the ladder.
        delta: failure probability of all intervals and rows about the population together.
        share: failure probability of each of them.
        n: samples.
        classes: classes K.
        provenance: where the pair came from.
        settings: what `audit` was told besides the pair and δ, by argument; `align` is whether there was one.
        environment: versions that computed this.
        seconds: time of the whole audit.

    Example:
        >>> from kd2m_theory import AuditReport, Pair, audit
        >>> report = audit(Pair([[2.0], [-1.0]], [[1.0], [-1.0]], labels=[0, 1], head_weight=[[1.0], [-1.0]]))
        >>> isinstance(report, AuditReport), "T2.head_aware" in report, len(report.rows) == len(list(report))
        (True, True, True)
        >>> round(report.measured["gap"].value, 4), report["T2.head_aware"].holds
        (0.0544, True)
        >>> print(report.table().splitlines()[0])
        measured on n = 2, K = 2
    """

    measured: Mapping[str, Confidence]
    rows: tuple[BoundResult, ...]
    delta: float
    share: float
    n: int
    classes: int
    provenance: Mapping[str, str]
    settings: Mapping[str, Any]
    environment: Mapping[str, str]
    seconds: float

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

    def table(self, width: int = _WIDTH) -> str:
        """The report as plain text."""
        console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
        console.print(self)
        text: str = console.file.getvalue()  # type: ignore[attr-defined]
        return "\n".join(line.rstrip() for line in text.splitlines())

    __str__ = table

    def __rich__(self) -> RenderableType:
        notes = [
            Text(note, style="dim")
            for note in (
                f"Intervals and rows about the population hold together at {percent(1 - self.delta)}, each at "
                f"{percent(1 - self.share)}; * = asymptotic only.  ratio = bound / gap on the gap's side.",
                "vacuous: allows a student as bad as uniform guessing.  unmet: without an assumption the row promises nothing.",
            )
        ]
        return Group(self._measured_table(), *self._ladder_tables(), *notes, self._verdict())

    def _measured_table(self) -> Table:
        table = Table(box=None, pad_edge=False, title=f"measured on n = {self.n}, K = {self.classes}", title_justify="left")
        table.add_column("measured", min_width=32)
        for heading in ("value", "from", "to"):
            table.add_column(heading, justify="right", min_width=10)
        table.add_column("interval")
        for name, value in self.measured.items():
            cells = [number(x) for x in (value.value, value.lower, value.upper)]
            table.add_row(MEASURED[name], *cells, value.method + ("" if value.guaranteed else " *"))
        return table

    def _ladder_tables(self) -> Iterable[RenderableType]:
        for target, subject in SUBJECTS.items():
            rows = [row for row in self.rows if row.target == target]
            if not rows:
                continue
            value = next((row.measured for row in rows if row.measured is not None), None)
            title = subject.words if value is None else f"{subject.words}: {number(value)}"
            table = Table(box=None, pad_edge=False, title=f"\n{title}", title_justify="left")
            table.add_column("bound", min_width=22, no_wrap=True)
            for heading in ("lower", "upper", "slack", "ratio"):
                table.add_column(heading, justify="right", min_width=9, no_wrap=True)
            table.add_column("holds", no_wrap=True)
            table.add_column("assumed", min_width=7, no_wrap=True)
            table.add_column("says", min_width=11, no_wrap=True)
            table.add_column("seconds", justify="right", no_wrap=True)
            for row in rows:
                table.add_row(*_cells(row), style=_style(row))
            yield table
            for why in dict.fromkeys(row.why for row in rows if not row.applicable):
                yield Text(f"n/a: {why}", style="dim")

    def _verdict(self) -> Text:
        applicable = [row for row in self.rows if row.applicable]
        guaranteed = [row for row in applicable if row.guaranteed]
        if self.violations:
            names = ", ".join(row.name for row in self.violations)
            return Text(f"VIOLATED: {names}. A vouched assumption, the theory or the code is wrong.", style="bold red")
        checked = [row for row in guaranteed if row.holds is not None]
        return Text(
            f"{len(checked)} of {len(guaranteed)} guaranteed rows checked against the measured gap, none violated; "
            f"{sum(row.status == 'informative' for row in guaranteed)} informative.  {self.seconds:.1f} s",
            style="bold",
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON: numbers that are not finite are null, and each row's status says why."""
        return {
            "schema": SCHEMA,
            "delta": self.delta,
            "share": self.share,
            "n": self.n,
            "classes": self.classes,
            "provenance": dict(self.provenance),
            "settings": _plain(self.settings),
            "environment": dict(self.environment),
            "seconds": self.seconds,
            "violations": [row.name for row in self.violations],
            "measured": {name: _plain(value) for name, value in self.measured.items()},
            "rows": [_plain(row) | {name: _plain(getattr(row, name)) for name in _DERIVED} for row in self.rows],
        }

    def to_json(self, path: str | Path) -> None:
        """Write the report as JSON (schema "kd2m-audit/3"), whole or not at all.

        Raises:
            InputError: nothing can be written there.
        """
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        write_atomically(path, (text + "\n").encode())

    def plot(self, path: str | Path) -> None:
        """Draw the ladder; the file's ending (.png, .svg or .pdf) chooses the format.

        Raises:
            InputError: another ending, or nothing can be written there.
        """
        path = check_figure(path)
        from kd2m_theory.reporting.ladder import picture

        write_atomically(path, picture(self.to_dict(), path.suffix[1:]))

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
    pair: Pair,
    delta: float = 0.05,
    *,
    only: Sequence[str] | None = None,
    align: Pair | None = None,
    loss_bound: float | None = None,
    head_lipschitz: float | None = None,
    temperature: float | None = None,
    vouch: Iterable[str] = (),
    whole_cloud: bool | None = None,
    watch: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> AuditReport:
    """Measure a pair and evaluate every bound on it.

    Rows T0 to T10 are deterministic statements about this sample. Intervals of measured values and rows F1 to F5 are about the
    population; they share `delta` equally, so that everything printed holds together with probability 1 − δ (asymptotic
    intervals, which are marked, as far as they do).

    Args:
        pair: the pair; what it lacks (labels, a shared head, the same inputs) makes rows not applicable.
        delta: failure probability of everything together.
        only: names of the rows to compute; all if None.
        align: a pair of the same two networks on *other* inputs; an affine map from student to teacher features is fitted
            on it, and with it the teacher's head fits student features of another dimension.
        loss_bound: B in nats; rows about the population clip cross-entropy there. 2 ln K if None.
        head_lipschitz: Lipschitz constant of a nonlinear head that both networks share, from features to logits.
        temperature: T of the transformed teacher in T9.ttm.
        vouch: assumptions that you make: "gaussian classes" (T7.gaussian), "teacher labels" (T9.kl without labels).
        whole_cloud: whether to solve transport problems of all samples at once (T3, T4); up to 2,000 samples if None.
        watch: wraps the iteration over rows, for a progress display.

    Raises:
        InputError: the pair has neither head nor logits, delta is outside (0, 1), `only` names no row, a setting is out of
            range, or `align` shares inputs with the pair.

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
    settings = Settings(
        loss_bound=loss_bound,
        head_lipschitz=head_lipschitz,
        temperature=temperature,
        vouched=frozenset([vouch] if isinstance(vouch, str) else vouch),
        whole_cloud=whole_cloud,
    )
    if align is not None:
        pair = aligned(pair, align)
    ladder = Ladder(pair, delta, only, settings)
    measured = ladder.measure()
    rows = ladder.evaluate(watch)
    assert pair.classes is not None
    return AuditReport(
        measured=measured,
        rows=rows,
        delta=delta,
        share=ladder.share,
        n=pair.n,
        classes=pair.classes,
        provenance=pair.provenance,
        settings={
            "only": None if only is None else [row.name for row in ladder.rows],
            "align": align is not None,
            "loss_bound": loss_bound,
            "head_lipschitz": head_lipschitz,
            "temperature": temperature,
            "vouch": sorted(settings.vouched),
            "whole_cloud": whole_cloud,
        },
        environment=dict(_environment()),
        seconds=time.perf_counter() - start,
    )


@cache
def _environment() -> Mapping[str, str]:
    # Reading the packages' metadata would take longer than the audit of a small pair.
    packages = {name: version(name) for name in ("numpy", "scipy", "POT")}
    python, machine = platform.python_version(), platform.machine()
    return {"python": python, "machine": machine, "kd2m-theory": __version__, **packages}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    return value


def _cells(row: BoundResult) -> list[str]:
    if not row.applicable:
        return [row.name, *["–"] * 5, row.assumed, "n/a", "–"]
    numbers = [number(x) for x in (row.lower, row.upper, row.slack, row.ratio)]
    return [row.name, *numbers, row.verdict, row.assumed, row.status, f"{row.seconds:.2f}"]


def _style(row: BoundResult) -> str:
    if row.violated:
        return "bold red"
    if not row.applicable or not row.guaranteed:
        return "dim"
    return "" if row.status == "vacuous" else "green"
