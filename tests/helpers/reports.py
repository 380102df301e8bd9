"""Audits of every kind that a report's page must show."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import islice
from typing import Any

import numpy as np

from kd2m_theory import AuditReport, Pair, StudentComparison, audit, compare
from kd2m_theory.bounds import Known

N, DIMENSION, CLASSES = 60, 4, 3


def a_pair(**changes: object) -> Pair:
    """A teacher that is right on every sample, and a student that is not, with a head of its own."""
    rng = np.random.default_rng(0)
    teacher = rng.normal(size=(N, DIMENSION))
    weight = rng.normal(size=(CLASSES, DIMENSION))
    student = teacher + 0.7 * rng.normal(size=teacher.shape)
    arguments = {
        "features_teacher": teacher,
        "features_student": student,
        "labels": (teacher @ weight.T).argmax(axis=1),
        "logits_student": student @ weight.T + 0.3 * rng.normal(size=(N, CLASSES)),
        "head_weight": weight,
        "provenance": {"teacher": "drawn", "student": "drawn"},
    }
    return Pair(**(arguments | changes))


def _logits_only(**changes: object) -> Pair:
    whole = a_pair()
    teacher = whole.features_teacher @ whole.head_weight.T
    return Pair(logits_teacher=teacher, logits_student=whole.logits_student, **({"labels": whole.labels} | changes))


def _teacher() -> np.ndarray:
    return a_pair().features_teacher


def _with(report: AuditReport, name: str, **changes: object) -> AuditReport:
    return replace(report, rows=tuple(replace(row, **changes) if row.name == name else row for row in report.rows))


def interrupted_after(count: int) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """What watches an audit whose user presses Ctrl-C after so many rows."""

    def watch(rows: Iterable[Any]) -> Iterator[Any]:
        yield from islice(rows, count)
        raise KeyboardInterrupt

    return watch


_KINDS: dict[str, Callable[[], AuditReport]] = {
    "plain": lambda: audit(a_pair()),
    "student better": lambda: audit(a_pair(features_student=3.0 * _teacher(), logits_student=None)),
    "no gap": lambda: audit(a_pair(features_student=_teacher(), logits_student=None)),
    "unlabelled": lambda: audit(a_pair(labels=None)),
    "logits only": lambda: audit(_logits_only()),
    "unlabelled logits of other inputs": lambda: audit(_logits_only(labels=None, inputs_paired=False)),
    "violated": lambda: _with(report_of("plain"), "T0.error", lower=-1.0, upper=-0.5),
    "infinite": lambda: _with(report_of("plain"), "T1.l2", lower=-np.inf, upper=np.inf),
    "told much": lambda: audit(a_pair(), 0.1, loss_bound=5.0, temperature=4.0, vouch="gaussian classes", whole_cloud=False),
    "told of the teacher": lambda: audit(
        a_pair(labels=None), teacher_risk={0: (0.1, 2.0), 2: 1.5}, teacher_error=Known((0.01, 0.2), about="population")
    ),
    "evaluated teacher": lambda: audit(a_pair(), teacher_risk=a_pair(), teacher_error=a_pair()),
    "groups": lambda: audit(a_pair(groups=np.arange(N) // 3 % 15)),
    "one row": lambda: audit(a_pair(), only=["T5"]),
    "no rows": lambda: audit(a_pair(), only=[]),
    "interrupted": lambda: audit(a_pair(), watch=interrupted_after(30), partial=True),
    "out of time": lambda: audit(a_pair(), seconds=1e-9),
    "out of memory": lambda: replace(report_of("plain"), breakdown=None, left_out={"breakdown": "there is not enough memory"}),
}
CASES = tuple(_KINDS)


@cache
def report_of(case: str) -> AuditReport:
    """The report of a kind; made when it is first asked for, so that collecting tests computes nothing."""
    return _KINDS[case]()


@cache
def a_comparison() -> StudentComparison:
    """Three students of one teacher, one of them with a long name, and one with a name of one long word."""
    rng = np.random.default_rng(0)
    labels = rng.integers(CLASSES, size=200)
    teacher, *students = (size * np.eye(CLASSES)[labels] + rng.normal(size=(200, CLASSES)) for size in (5, 4.5, 4.5, 1.0))
    names = ("distilled with class-conditional W2", "runs/2026-11-28/a-very-long-folder/pair", "small")
    given = {
        name: Pair(labels=labels, logits_teacher=teacher, logits_student=each, provenance={"student": "drawn"})
        for name, each in zip(names, students, strict=True)
    }
    return compare(given)
