"""What rows cost, counted from sizes: it orders them, and no number depends on the order."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reports import interrupted_after

from kd2m_theory import InputError, Pair, audit
from kd2m_theory.bounds import ROWS, Ladder, Settings
from kd2m_theory.bounds.result import INTERRUPTED, OUT_OF_TIME
from kd2m_theory.bounds.work import Part, Rates, Size, Work, size_of

RATES = Rates(steps=1.0, products=math.inf)


def drawn(n=40, dimension=4, classes=4, seed=0, **changes):
    rng = np.random.default_rng(seed)
    teacher = rng.normal(size=(n, dimension))
    weight = rng.normal(size=(classes, dimension))
    student = teacher + 0.5 * rng.normal(size=teacher.shape)
    logits = student @ weight.T + 0.3 * rng.normal(size=(n, classes))
    labels = np.arange(n) % classes
    return Pair(teacher, student, labels, logits_student=logits, head_weight=weight, **changes)


def without_seconds(rows):
    return [replace(row, seconds=0.0) for row in rows]


def said(rows):
    return list(map(repr, without_seconds(rows)))


@cache
def whole():
    return said(Ladder(drawn(), 0.05).evaluate())


@settings(max_examples=4)
@given(order=st.permutations(range(len(ROWS))))
def test_no_number_depends_on_the_order_of_the_rows(order):
    ladder = Ladder(drawn(), 0.05)
    assert said(ladder.evaluate(lambda rows: [list(rows)[k] for k in order])) == whole()


@pytest.mark.parametrize("turned", [lambda rows: rows, lambda rows: rows[::-1]])
def test_nor_does_it_where_views_coincide(turned):
    """Logits that are the features under the head: both views share what is a function of the logits."""
    pair = replace(drawn(), logits_student=None)
    found = [said(Ladder(pair, 0.05).evaluate(watch)) for watch in (lambda _: ROWS, lambda _: turned(ROWS))]
    assert found[0] == found[1]


def test_rows_come_back_in_ladder_order_whatever_runs_first():
    ladder = Ladder(drawn(), 0.05)
    assert [row.name for row in ladder.evaluate()] == [row.name for row in ROWS]
    assert sorted(row.name for row in ladder.in_order()) == sorted(row.name for row in ROWS)
    assert [row.name for row in ladder.in_order()] != [row.name for row in ROWS]


def test_what_decides_runs_first_and_transport_of_everything_last():
    names = [row.name for row in Ladder(drawn(400), 0.05).in_order() if row.told is None]
    assert {"F1.gap", "F1.error_gap"} <= {*names[:6]}
    cheap = ("T0", "T0.error", "T1.l2", "T9.tv", "F1.risk", "F3.T0")
    dear = ("T3.directed", "T3.head_aware", "T3.lipschitz", "T4", "T5.envelope", "T8.ramp")
    assert max(map(names.index, cheap)) < min(map(names.index, dear))


@pytest.mark.parametrize("count", [0, 12, 40])
def test_rows_that_were_reached_say_what_they_say_in_a_whole_audit(count):
    ladder = Ladder(drawn(), 0.05)
    found = ladder.evaluate(interrupted_after(count), partial=True)
    left = [row for row in found if row.status == "not computed"]
    assert {row.why for row in left} <= {INTERRUPTED}
    assert all(not row.applicable and not row.guaranteed and math.isnan(row.upper) and row.level is None for row in left)
    rows = dict(zip((row.name for row in ROWS), whole(), strict=True))
    kept = [row for row in found if row.status != "not computed"]
    assert said(kept) == [rows[row.name] for row in kept]
    # A row that has no number says why, computed or not.
    assert [row.name for row in found if row.status == "not applicable"] == [
        row.name for row in Ladder(drawn(), 0.05).evaluate() if row.status == "not applicable"
    ]
    assert len(kept) >= min(count, len(ROWS))


def test_an_interruption_is_raised_unless_a_part_is_asked_for():
    with pytest.raises(KeyboardInterrupt):
        audit(drawn(), watch=interrupted_after(3))
    report = audit(drawn(), watch=interrupted_after(3), partial=True)
    assert report.machine_dependent
    assert report.not_computed
    assert report.violations == ()


def test_a_second_interruption_ends_the_audit_at_once(monkeypatch):
    """It comes while the rows that are left are looked at, or the parts that follow them are computed."""
    pressed = []

    def again(_situation):
        if pressed:
            raise KeyboardInterrupt
        return "met", "seen"

    def watch(rows):
        yield from rows[:3]
        pressed.append(True)
        raise KeyboardInterrupt

    base = next(row for row in ROWS if row.name == "T0")
    own = replace(base, name="own", inputs=(replace(base.inputs[0], find=again),), work=lambda size: [Part("", Work(1e30))])
    with pytest.raises(KeyboardInterrupt):
        audit(drawn(), watch=watch, partial=True, rows=[own])
    assert pressed


def test_after_its_seconds_an_audit_begins_no_row(monkeypatch):
    from kd2m_theory.bounds import ladder

    clock = iter(range(1000))
    monkeypatch.setattr(ladder.time, "perf_counter", lambda: float(next(clock)))
    only = ["T0", "T1.logits.l2", "F1.gap", "T9.tv"]
    chosen = Ladder(drawn(), 0.05, only)
    first = [row.name for row in chosen.in_order()]
    # Every row and every look at the clock takes a second or a few; after two of them no row is begun.
    found = {row.name: row for row in chosen.evaluate(seconds=2.0)}
    assert found[first[0]].applicable
    assert [found[name].why for name in first[1:]] == [OUT_OF_TIME] * 3
    assert not found[first[-1]].applicable


def test_a_limit_marks_a_report_even_if_everything_was_computed():
    only = ["T0", "T1.logits.l2"]
    plain, limited = audit(drawn(), only=only), audit(drawn(), only=only, seconds=1e6)
    assert (plain.machine_dependent, limited.machine_dependent) == (False, True)
    assert said(plain.rows) == said(limited.rows)
    assert "which depends on the machine" in " ".join(limited.table().split())
    for seconds in (0, -1.0, math.inf, math.nan):
        with pytest.raises(InputError, match="seconds is"):
            audit(drawn(), seconds=seconds)


@pytest.mark.parametrize("part", ["measure", "clipping", "breakdown"])
def test_what_memory_does_not_suffice_for_is_left_out_and_named(monkeypatch, part, tmp_path):
    def too_large(*_arguments):
        raise MemoryError

    only = ["T0", "T2.head_aware", "T9.kl", "F1.gap"]
    whole = audit(drawn(), only=only)
    monkeypatch.setattr(Ladder, part, too_large)
    found = audit(drawn(), only=only)
    assert set(found.left_out) == ({"measured", "clipping", "breakdown"} if part == "measure" else {part})
    assert said(found.rows) == said(whole.rows)
    assert "there is not enough memory" in found.table()
    found.to_html(tmp_path / "r.html")
    found.to_json(tmp_path / "r.json")
    assert type(whole).from_json(tmp_path / "r.json").left_out == found.left_out


# Counting.


def sizes(n, classes, dimension):
    return Size(n, n, classes, dimension, pairs=((n // classes, n // classes, classes),), head=True)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_work_is_counted_of_every_row_and_grows_with_every_size(row):
    def count(n, classes, dimension):
        parts = row.work(sizes(n, classes, dimension))
        total = sum((part.work for part in parts), Work())
        assert total.steps > 0
        return np.array([total.steps, total.products, total.memory])

    small = count(1000, 10, 32)
    for larger in ((2000, 10, 32), (1000, 10, 64)):
        assert (count(*larger) >= small).all()
    assert count(1_000_000, 1000, 512)[2] > small[2]


def test_parts_are_named_as_the_rows_know_them(monkeypatch):
    """A part that rows share is paid for by the first of them: its name is the one under which the view keeps it."""
    from kd2m_theory.bounds.view import View

    kept = {}
    shared = View.shared

    def noted(self, key, compute, *, of_logits=False, **more):
        kept.setdefault(key, of_logits)
        return shared(self, key, compute, of_logits=of_logits, **more)

    monkeypatch.setattr(View, "shared", noted)
    ladder = Ladder(drawn(300, classes=3), 0.05, settings=Settings(whole_cloud=False))
    ladder.evaluate()
    named = {part.name: part.of_logits for row in ROWS for part in row.work(sizes(300, 3, 4)) if part.name not in ("", "head")}
    assert named.items() <= kept.items()


def test_an_estimate_counts_a_shared_part_once_and_the_largest_row_of_memory():
    ladder = Ladder(drawn(400), 0.05, only=["T2.w2", "T2.cw2", "T5", "T5.logits"])
    found = ladder.estimate(RATES)
    seconds = {row.name: row.seconds for row in found.rows}
    assert seconds["T2.cw2"] == 0.0 < seconds["T2.w2"] or seconds["T2.w2"] == 0.0 < seconds["T2.cw2"]
    assert found.seconds == sum(seconds.values())
    assert found.memory == found.samples + max(row.memory for row in found.rows)
    assert seconds["T5"] > 0 < seconds["T5.logits"]
    # Views that coincide share the problems of T5.
    same = Ladder(replace(drawn(400), logits_student=None), 0.05, only=["T5", "T5.logits"]).estimate(RATES)
    assert sorted(row.seconds for row in same.rows)[0] == 0.0


def test_rows_without_a_number_are_not_in_an_estimate():
    names = {row.name for row in Ladder(replace(drawn(), labels=None), 0.05).estimate(RATES).rows}
    assert "T0" in names
    assert not names & {"T5", "T0.teacher_risk", "T9.ttm", "F1.gap"}


def test_classes_of_one_size_are_counted_together():
    """However many there are, the count itself takes no time."""
    assert size_of(Ladder(drawn(400, classes=200), 0.05)._views["logits"]).pairs == ((2, 2, 200),)
