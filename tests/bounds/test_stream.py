import html
import re
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kd2m_theory import AuditReport, InputError, Pair, PairStream, audit
from kd2m_theory.bounds import Ladder, ladder, statistics
from kd2m_theory.bounds.settings import Settings
from kd2m_theory.bounds.statistics import OF_BOTH, OF_ONE
from kd2m_theory.bounds.work import Rates
from kd2m_theory.reporting.page import html_page

STREAMED = [row.name for row in ladder.ROWS if row.streams]


def numbers(report):
    """Everything that a report says of a row or a measured value, without seconds."""
    rows = [
        (row.name, row.status, row.lower, row.upper, row.measured, row.rounding, row.vacuous_from, row.level, dict(row.details))
        for row in report.rows
    ]
    return repr((rows, sorted(report.measured.items()), report.clipping, report.n, report.groups, report.classes))


def drawn(seed, n, classes, labelled, grouped, repeated):
    rng = np.random.default_rng(seed)
    teacher = rng.normal(size=(n, classes)) * rng.choice([0.1, 3.0, 900.0])
    student = teacher + rng.normal(size=(n, classes))
    labels = rng.integers(0, classes, n)
    if repeated:
        chosen = rng.integers(0, 3, n)
        teacher, student, labels = teacher[chosen], student[chosen], labels[chosen]
    return teacher, student, labels if labelled else None, rng.permutation(np.arange(n) % 4) if grouped else None


def cut(arrays, sizes, order):
    """Batches of these sizes, of rows in this order."""
    stops = np.cumsum(sizes)
    for start, stop in zip(stops - sizes, stops, strict=True):
        rows = order[start:stop]
        yield [None if array is None else array[rows] for array in arrays]


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, 40), min_size=2, max_size=8),
    st.sampled_from([2, 3, 11]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_any_cut_in_any_order_says_what_the_whole_pair_says(seed, sizes, classes, labelled, grouped, repeated):
    n = sum(sizes) + 4
    teacher, student, labels, groups = arrays = drawn(seed, n, classes, labelled, grouped, repeated)
    told = {"loss_bound": 1.7, "temperature": 2.5} if seed % 2 else {}
    stream = PairStream(**told)
    order = np.random.default_rng(seed).permutation(n)
    for batch in cut(arrays, [*sizes, 4], order):
        stream.update(*batch)
    pair = Pair(logits_teacher=teacher, logits_student=student, labels=labels, groups=groups)
    also = {"vouch": "teacher labels", "teacher_error": 0.7}
    whole = audit(pair, only=STREAMED, **told, **also)
    found = audit(stream, only=STREAMED, **also)
    if not labelled:  # what T0 says of the teacher's risk needs all logits
        whole["T0"].details.clear()
    assert numbers(found) == numbers(whole)
    assert numbers(audit(stream, only=STREAMED, **told, **also)) == numbers(whole)
    assert any(row.applicable for row in found.rows)


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_blocks_of_any_size_give_the_same_numbers(rows, monkeypatch):
    """The statistics of the pair itself, too, whose blocks are larger than a test's pair."""
    teacher, student, labels, groups = drawn(3, 150, 5, True, True, False)
    pair = Pair(logits_teacher=teacher, logits_student=student, labels=labels, groups=groups)
    whole = audit(pair, only=STREAMED, temperature=2.0)
    monkeypatch.setattr(statistics, "BLOCK", 5 * rows)
    assert numbers(audit(pair, only=STREAMED, temperature=2.0)) == numbers(whole)


def test_gathered_blocks_and_what_is_left_give_the_same_numbers(monkeypatch):
    monkeypatch.setattr("kd2m_theory.bounds.stream._GATHERED", 64 * 4)
    arrays = drawn(5, 700, 4, True, False, False)
    halves = PairStream(), PairStream()
    for k, batch in enumerate(cut(arrays, [70] * 10, np.arange(700))):
        halves[k % 2].update(*map(torch.tensor, batch[:3]))
        halves[k % 2].summary()  # in the middle changes nothing
    halves[0].merge(halves[1])
    assert halves[0].n == 700
    teacher, student, labels, _ = arrays
    pair = Pair(logits_teacher=teacher, logits_student=student, labels=labels)
    assert numbers(audit(halves[0], only=STREAMED)) == numbers(audit(pair, only=STREAMED))


def test_labels_left_out_and_names_are_those_of_a_pair():
    teacher, student, labels, groups = drawn(1, 40, 3, True, True, False)
    words = np.array(["cat", "dog", "eel"])[labels].astype(object)
    words[[0, 5, 39]] = -100
    stream = PairStream(class_names=["cat", "dog", "eel"], provenance={"run": "7"})
    for batch in cut((teacher, student, words, groups), [1] * 40, np.arange(40)):
        stream.update(*batch)
    pair = Pair(None, None, words, teacher, student, class_names=["cat", "dog", "eel"], groups=groups)
    found = audit(stream, only=STREAMED)
    assert numbers(found) == numbers(audit(pair, only=STREAMED))
    assert found.provenance["run"] == "7"
    assert found.provenance["rows left out by labels"].startswith("3 rows")


def test_one_column_is_a_sigmoid():
    rng = np.random.default_rng(0)
    teacher, labels = 3 * rng.normal(size=200), rng.integers(0, 2, 200)
    student = teacher + rng.normal(size=200)
    stream = PairStream()
    stream.update(teacher[:90], student[:90], labels[:90])
    stream.update(teacher[90:, None], student[90:, None], labels[90:, None])
    pair = Pair(logits_teacher=teacher, logits_student=student, labels=labels)
    assert numbers(audit(stream, only=STREAMED)) == numbers(audit(pair, only=STREAMED))


def test_other_rows_say_what_they_lack_and_cost_no_delta():
    stream = PairStream()
    stream.update(*drawn(0, 60, 3, True, False, False)[:3])
    report = audit(stream)
    for row in report.rows:
        if row.name not in STREAMED:
            assert not row.applicable
            if ladder.ROWS[[each.name for each in ladder.ROWS].index(row.name)].space == "logits":
                assert row.why == "it needs the logits themselves, and a stream keeps numbers of each sample", row.name
    assert report.breakdown is None
    assert report.share > audit(Pair(None, None, *_pair_of(0)), whole_cloud=False).share
    assert "Undecided" in str(report) or "worse" in str(report) or "better" in str(report) or "alike" in str(report)
    assert report.to_dict()["verdict"]


def _pair_of(seed):
    teacher, student, labels, _ = drawn(seed, 60, 3, True, False, False)
    return labels, teacher, student


def peak(n, classes):
    """Largest memory of a stream of n samples, in bytes."""
    rng = np.random.default_rng(0)
    batch = rng.normal(size=(64, classes)).astype(np.float32)
    stream = PairStream()
    tracemalloc.start()
    for _ in range(n // 64):
        noise = rng.normal(size=(64, 1)).astype(np.float32)
        stream.update(batch + noise, batch * noise, np.zeros(64, int))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert stream.n == n
    return most


def test_memory_grows_by_a_few_hundred_bytes_per_sample(monkeypatch):
    """A sample of one network has 8,192 bytes in float64."""
    monkeypatch.setattr("kd2m_theory.bounds.stream._GATHERED", 1)
    peak(256, 1024)
    assert peak(1024, 1024) - peak(256, 1024) < 400 * 768


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([(np.zeros((3, 2)), np.zeros((4, 2)))], r"logits_teacher of shape \(3, 2\) and logits_student of \(4, 2\)"),
        ([(np.zeros((3, 2, 2)), np.zeros((3, 2, 2)))], r"of shape \(3, 2, 2\)"),
        ([(np.eye(3) - 1, np.eye(3), [0, 1])], "labels has 2 entries for 3 samples"),
        ([(np.eye(3) - 1, np.eye(3), [0, 1, 2]), (np.eye(3), np.eye(3))], "the batch lacks labels, unlike those before it"),
        ([(np.eye(3) - 1, np.eye(3)), (np.eye(3), np.eye(3), None, [0, 1, 2])], "the batch has groups, unlike those before it"),
        ([(np.eye(3) - 1, np.eye(3), None, [0, 1])], r"groups has shape \(2,\) for 3 samples"),
        ([(np.eye(3) - 1, np.eye(3)), (np.eye(4), np.eye(4))], "logits in 4 columns, and those before it have 3"),
        ([], "nothing was added to the stream yet"),
        ([(np.zeros((1, 2)) - 1, np.zeros((1, 2)))], "a pair needs at least two"),
        ([(np.full((3, 2), np.nan), np.zeros((3, 2)))], "logits_teacher holds 6 NaN"),
        ([(np.full((3, 2), 0.5), np.zeros((3, 2)))], "logits_teacher are probabilities"),
        ([(np.eye(3) - 1, np.eye(3) - 1, [0, 1, 3])], r"labels has 1 value outside 0\.\.2"),
    ],
)
def test_what_is_no_stream_is_refused_in_one_line(batches, message):
    stream = PairStream()

    def run():
        for batch in batches:
            stream.update(*batch)
        audit(stream)

    with pytest.raises(InputError, match=message) as caught:
        run()
    assert "\n" not in str(caught.value)


def test_an_audit_takes_what_the_stream_was_told():
    stream = PairStream(loss_bound=3.0)
    stream.update(*drawn(0, 60, 3, True, False, False)[:3])
    with pytest.raises(InputError, match=r"loss_bound is 2\.0, and the stream was made with 3\.0"):
        audit(stream, loss_bound=2.0)
    with pytest.raises(InputError, match=r"temperature is 2\.0, and the stream was made with None"):
        audit(stream, temperature=2.0)
    with pytest.raises(InputError, match="align fits a map between features"):
        audit(stream, align=Pair(np.eye(3), np.eye(3)))
    with pytest.raises(InputError, match="teacher_risk needs the losses at all labels"):
        audit(stream, teacher_risk=0.5)
    with pytest.raises(InputError, match="cannot merge a stream with loss_bound=None into"):
        stream.merge(PairStream())
    with pytest.raises(InputError, match="samples would count twice"):
        stream.merge(stream)
    with pytest.raises(InputError, match="loss_bound is -1; give a positive"):
        PairStream(loss_bound=-1)
    assert audit(stream).settings["loss_bound"] == 3.0


def test_every_statistic_is_read_by_a_row_or_a_measured_value():
    """What nobody reads would be paid for by every stream."""
    stream = PairStream(temperature=2.0)
    stream.update(*drawn(0, 60, 3, True, False, False)[:3])
    kept = set(stream.summary().statistics)
    assert kept == {f"{name}_{side}" for name in OF_ONE for side in ("student", "teacher")} | {
        name for group in OF_BOTH for name in group
    }


def test_a_ladder_orders_and_estimates_what_a_stream_kept_and_stops_where_it_is_told(monkeypatch):
    arrays = drawn(0, 60, 3, True, False, False)
    stream, pair = PairStream(), Pair(None, None, arrays[2], *arrays[:2])
    stream.update(*arrays[:3])
    found, whole = (Ladder(each, 0.05, settings=Settings()) for each in (stream.summary(), pair))
    assert [row.name for row in found.in_order() if row.name in STREAMED] == [
        row.name for row in whole.in_order() if row.name in STREAMED
    ]
    rates = Rates(steps=1e6, products=1e6)
    expected = found.estimate(rates)
    one_by_one = Ladder(pair, 0.05, STREAMED).estimate(rates)
    assert {row.name for row in expected.rows} == {row.name for row in one_by_one.rows}
    assert expected.seconds == pytest.approx(one_by_one.seconds)
    assert expected.samples == sum(values.nbytes for values in stream.summary().statistics.values())

    def pressed(rows):
        for k, row in enumerate(rows):
            if k == 5:
                raise KeyboardInterrupt
            yield row

    with pytest.raises(KeyboardInterrupt):
        audit(stream, watch=pressed)
    report = audit(stream, partial=True, watch=pressed)
    there = [row.name for row in found.in_order()][:5]
    assert {row.name for row in report.not_computed} == {row.name for row in expected.rows} - set(there)
    late = audit(stream, seconds=1e-9)
    assert {row.name for row in late.not_computed} == {row.name for row in expected.rows}
    assert late.measured == audit(stream).measured


@pytest.mark.parametrize("told", [{}, {"loss_bound": 1.5, "temperature": 2.0}])
def test_the_page_of_a_stream_says_how_to_make_it_again(told, tmp_path):
    stream, arrays = PairStream(**told), drawn(0, 60, 3, True, True, False)
    stream.update(*arrays)
    report = audit(stream, only=STREAMED, teacher_error=0.7)
    assert report.settings["stream"]
    report.to_json(tmp_path / "r.json")
    assert numbers(AuditReport.from_json(tmp_path / "r.json")) == numbers(report)
    code = next(text for text in codes(html_page(report.to_dict())) if "PairStream" in text)
    names = {"batches": list(cut(arrays, [20, 40], np.arange(60)[::-1]))}
    *setup, call = code.splitlines()
    exec("\n".join(setup), names)
    assert numbers(eval(call, names)) == numbers(report)
    assert "Pair.load" not in code


def codes(page):
    """The text of every block of code of a page."""
    found = re.findall(r"<code[^>]*>(.*?)</code>", page, flags=re.DOTALL)
    return [html.unescape(re.sub(r"<[^>]+>", "", text)) for text in found]


@pytest.mark.parametrize("left", [1, 2, 63, 64, 65])
@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_a_few_rows_left_at_the_end_are_judged_with_those_before_them(left, batch, monkeypatch):
    monkeypatch.setattr("kd2m_theory.bounds.stream._GATHERED", 1)
    n = 128 + left
    teacher, student, labels, _ = drawn(3, n, 4, True, False, False)
    teacher[-2:] = np.eye(4)[:2]  # alone they would be probabilities
    stream = PairStream()
    for start in range(0, n, batch):
        stream.update(*(array[start : start + batch] for array in (teacher, student, labels)))
        assert stream.n == min(n, start + batch)
    assert numbers(audit(stream, only=STREAMED)) == numbers(audit(Pair(None, None, labels, teacher, student), only=STREAMED))
    other = PairStream()
    other.merge(stream)
    assert other.n == n


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher": np.full((5, 4), np.nan)}, "logits_teacher holds 20 NaN"),
        ({"student": np.full((5, 4), -np.inf)}, "logits_student has 20 values −∞"),
        ({"student": np.zeros((5, 4), np.float16)}, "float16"),
        ({"teacher": np.zeros((5, 4), bool)}, "bool"),
        ({"teacher": np.full((5, 4), 1e200)}, "beyond 1e\\+150"),
        ({"labels": np.full(5, 4)}, r"labels has 5 values outside 0\.\.3"),
        ({"labels": np.full(5, -100), "student": np.full((5, 4), np.nan)}, "logits_student holds 20 NaN"),
        ({"labels": np.array([-100, 0, 0, 0, 9])}, "labels has 1 value outside"),
        ({"groups": np.array(list("abcde"))}, "groups of type str, and those before it of int64"),
        ({"groups": np.arange(5, dtype=np.uint64)}, "groups of type uint64, and those before it of int64"),
        ({"groups": np.array([0.5] * 5)}, "groups has values that are not whole"),
    ],
)
def test_a_batch_that_is_refused_leaves_the_stream_as_it_was(change, message):
    teacher, student, labels, groups = drawn(4, 50, 4, True, True, False)
    whole, stream = PairStream(), PairStream()
    whole.update(teacher, student, labels, groups)
    stream.update(teacher[:20], student[:20], labels[:20], groups[:20])
    bad = {"teacher": teacher[:5], "student": student[:5], "labels": labels[:5], "groups": groups[:5]} | change
    with pytest.raises(InputError, match=message):
        stream.update(*bad.values())
    stream.update(teacher[20:], student[20:], labels[20:], groups[20:])
    assert numbers(audit(stream, only=STREAMED)) == numbers(audit(whole, only=STREAMED))
    assert stream.summary().provenance == whole.summary().provenance


@pytest.mark.parametrize("kind", [str, np.float32, np.float64, np.int8, np.uint64])
def test_groups_are_numbers_or_names_as_those_of_a_pair(kind):
    teacher, student, labels, groups = drawn(5, 60, 3, True, True, False)
    groups = groups.astype(kind)
    stream = PairStream()
    for start in range(0, 60, 25):
        stream.update(*(array[start : start + 25] for array in (teacher, student, labels, groups)))
    pair = Pair(None, None, labels, teacher, student, groups=groups)
    assert numbers(audit(stream, only=STREAMED)) == numbers(audit(pair, only=STREAMED))


def test_large_numbers_of_groups_are_not_rounded():
    teacher, student, labels, _ = drawn(6, 60, 3, True, False, False)
    stream = PairStream()
    stream.update(teacher[:30], student[:30], labels[:30], 2**53 + np.arange(30))
    stream.update(teacher[30:], student[30:], labels[30:], np.arange(30.0))
    assert len(np.unique(stream.summary().groups)) == 60


def test_only_a_stream_is_merged():
    with pytest.raises(InputError, match="a ndarray cannot be merged into a stream"):
        PairStream().merge(np.zeros((3, 2)))
