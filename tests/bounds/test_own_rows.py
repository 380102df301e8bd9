"""A bound of a user's own, passed to an audit: computed, paid for, shown, stored, tried, and refused in words."""

import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest

import kd2m_theory as kd2m
from kd2m_theory.bounds import ROWS, Ladder, Requirement, Row, Sides
from kd2m_theory.bounds.own_rows import named_rows
from kd2m_theory.bounds.rows.row import LABELS, LOGITS, OWN_HEADS, SAME_INPUTS, SAMPLED, SHARED_HEAD, both_sides, two_limits
from kd2m_theory.commands.main import main
from kd2m_theory.errors import InputError
from kd2m_theory.estimators import Enclosure, hoeffding
from kd2m_theory.validation.trial.falsifier import falsify

rng = np.random.default_rng(0)
Z, HEAD, LABELLED = rng.normal(size=(60, 4)), rng.normal(size=(3, 4)), rng.integers(0, 3, 60)
PAIR = kd2m.Pair(Z, Z + 0.1 * rng.normal(size=Z.shape), labels=LABELLED, head_weight=HEAD)


def steepness(view):
    return max(float(np.linalg.norm(a - b)) for a in view.weight for b in view.weight)


def moves(view):
    return np.linalg.norm(view.student - view.teacher, axis=1)


def largest(view):
    return both_sides(1.0000001 * steepness(view) * float(moves(view).max()), details={"L": steepness(view)})


MINE = Row(
    name="mine.largest",
    sentence="The gap is at most the steepness of the loss times the largest move of an input's features.",
    statement="|R_S − R_T| ≤ L max ‖z_S − z_T‖",
    latex=r"|R_S-R_T| \le L \max\|z_S-z_T\|",
    source="mine",
    target="gap_shared_head",
    space="features",
    inputs=(),
    needs=(SHARED_HEAD, SAME_INPUTS),
    structural={"vertex gradient": "the loss is cross-entropy"},
    compute=largest,
)


def wrong_share(view):
    """Hoeffding's interval of the difference of errors, each side at its share of δ."""
    student, teacher = (
        (logits.argmax(1) != view.labels_student) * 1.0 for logits in (view.logits_student, view.logits_teacher)
    )
    found = hoeffding(student - teacher, -1.0, 1.0, delta=2 * view.tail, range_known=True)
    return Sides(found.lower, found.upper, details={"tail": view.tail})


POPULATION = Row(
    name="mine.errors",
    sentence="The difference of the error rates on the population.",
    statement="err_S − err_T within √(2 ln(2/δ)/n)",
    latex="",
    source="Hoeffding 1963, Theorem 2",
    target="population_error_gap",
    space="logits",
    inputs=(LABELS, LOGITS),
    needs=(SAME_INPUTS, *SAMPLED),
    structural=OWN_HEADS,
    compute=wrong_share,
    limits=two_limits("mine.errors"),
)


def test_it_stands_in_the_report_as_any_row_does(tmp_path):
    report = kd2m.audit(PAIR, rows=[MINE])
    row = report["mine.largest"]
    assert [*report] == [*(each.name for each in ROWS), "mine.largest"]
    assert row.guaranteed
    assert row.holds
    expected = max(np.linalg.norm(a - b) for a in HEAD for b in HEAD)
    expected *= np.linalg.norm(PAIR.features_student - PAIR.features_teacher, axis=1).max()
    assert row.upper == pytest.approx(expected)
    assert row.details == {"L": pytest.approx(steepness_of_head())}
    assert report["T1.l2"].upper <= row.upper
    assert report.settings["rows"] == ["mine.largest"]
    assert "mine.largest" in report.table(200, every_row=True)
    assert any(words.startswith("Bounds of your own: mine.largest.") for words in report.verdict.caveats)
    report.to_html(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert MINE.statement in page
    assert "rows=own_rows" in page
    report.to_json(tmp_path / "report.json")
    assert kd2m.AuditReport.from_json(tmp_path / "report.json") == report


def steepness_of_head():
    return max(float(np.linalg.norm(a - b)) for a in HEAD for b in HEAD)


def test_the_rows_of_the_package_do_not_notice_it():
    alone, beside = kd2m.audit(PAIR), kd2m.audit(PAIR, rows=[MINE])
    assert alone.share == beside.share
    for row in alone.rows:
        same = beside[row.name]
        assert (row.lower, row.upper) == (same.lower, same.upper) or not row.applicable
    assert alone.verdict.overall == beside.verdict.overall
    assert alone.verdict.findings[1:] == beside.verdict.findings[1:]


def test_a_row_about_the_population_shares_delta():
    alone, beside = kd2m.audit(PAIR), kd2m.audit(PAIR, rows=[POPULATION])
    count = round(alone.delta / alone.share)
    assert beside.share == pytest.approx(alone.delta / (count + 2))
    row = beside["mine.errors"]
    assert row.level == pytest.approx(1 - 2 * beside.share)
    assert row.details["tail"] == beside.share
    only = kd2m.audit(PAIR, only=["mine.errors"], rows=[POPULATION])
    assert only["mine.errors"].level == pytest.approx(0.95)
    n, gap = PAIR.n, only.measured["error_gap"].value
    assert only["mine.errors"].upper == pytest.approx(gap + math.sqrt(2 * math.log(2 / 0.05) / n))


def test_a_row_that_ends_the_process_has_failed():
    report = kd2m.audit(PAIR, rows=[replace(MINE, compute=lambda view: sys.exit(0))])
    assert "SystemExit" in report["mine.largest"].why


def test_a_row_that_nothing_proves_decides_no_comparison():
    bold = replace(POPULATION, compute=lambda view: Sides(0.2, 0.3))
    report = kd2m.audit(PAIR, rows=[bold])
    assert report["mine.errors"].guaranteed
    assert report.verdict.overall == kd2m.audit(PAIR).verdict.overall
    assert "mine.errors" not in (report.verdict.errors.row, report.verdict.cross_entropy.row)


def test_only_chooses_among_both():
    report = kd2m.audit(PAIR, only=["T1.l2", "mine.largest"], rows=[MINE, POPULATION])
    assert [*report] == ["T1.l2", "mine.largest"]
    assert report.settings["rows"] == ["mine.largest"]
    with pytest.raises(InputError, match=r"there is no row mine\.other.*mine\.largest"):
        kd2m.audit(PAIR, only=["mine.other"], rows=[MINE])


def test_a_false_row_is_violated_and_the_report_says_so():
    low = replace(MINE, compute=lambda view: both_sides(0.0))
    report = kd2m.audit(PAIR, rows=[low])
    assert [row.name for row in report.violations] == ["mine.largest"]
    assert report.verdict.headline.startswith("Violated: mine.largest.")


def test_the_falsifier_takes_the_row_alone():
    held = falsify(MINE, steps=120)
    assert 0.3 < held.ratio <= 1
    wrong = replace(MINE, name="mine.mean", compute=lambda view: both_sides(steepness(view) * float(np.median(moves(view)))))
    found = falsify(wrong, steps=1500)
    assert found.violated
    assert falsify(next(row for row in ROWS if row.name == "T1.head_aware"), steps=60).ratio <= 1


@pytest.mark.long
def test_a_row_of_logits_is_tried_with_heads_of_each_network_own():
    def compute(view):
        return both_sides(0.6 * math.sqrt(2) * float(moves(view).max()))

    row = replace(
        MINE, name="mine.logits", space="logits", target="gap", inputs=(LOGITS,), needs=(SAME_INPUTS,), structural=OWN_HEADS
    )
    assert falsify(replace(row, compute=compute), steps=1500).violated


def test_what_no_sample_can_refute_and_what_was_not_tried_is_said():
    with pytest.raises(InputError, match="about the population, which no sample can refute"):
        falsify(POPULATION, steps=10)
    never = replace(MINE, needs=(SHARED_HEAD, Requirement("same inputs", lambda _: ("unmet", "never"))))
    with pytest.raises(InputError, match="has not been tried"):
        falsify(never, steps=10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "T1.l2"}, "row T1.l2 is of this package; give yours another name"),
        ({"limits": ("F1.gap, lower",)}, "which is a statement of this package's"),
        ({"limits": ("disagreement, upper",)}, "which is a statement of this package's"),
        ({"target": "population_gap"}, "names no limits"),
    ],
)
def test_what_collides_with_the_package_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        Ladder(PAIR, 0.05, rows=[replace(MINE, **change)])


def test_what_is_no_row_is_refused():
    for rows, message in (
        ([largest], r"rows\[0\] is a function; pass a kd2m_theory\.bounds\.Row"),
        (3, "rows is a int"),
        ([MINE, MINE], "row mine.largest is twice in rows"),
    ):
        with pytest.raises(InputError, match=message):
            kd2m.audit(PAIR, rows=rows)
    assert "mine.largest" in kd2m.audit(PAIR, only=["mine.largest"], rows=MINE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "name of a row is ''"),
        ({"sentence": "Two\nlines."}, "give it in one line of text"),
        ({"target": "gap of risks"}, "target of row mine.largest is 'gap of risks'"),
        ({"space": "pixels"}, "space of row mine.largest is 'pixels'"),
        ({"needs": SHARED_HEAD}, "needs of row mine.largest"),
        ({"inputs": ["labels"]}, "inputs of row mine.largest"),
        ({"limits": "mine, upper"}, "limits of row mine.largest is 'mine, upper'"),
        ({"structural": ()}, "structural of row mine.largest"),
        ({"compute": 1.0}, "compute of row mine.largest is 1.0"),
    ],
)
def test_a_row_of_a_bad_form_is_refused_in_words(change, message):
    with pytest.raises(InputError, match=message) as error:
        replace(MINE, **change)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("compute", "words"),
    [
        (lambda view: (0.0, 1.0), "compute returned a tuple; return kd2m_theory.bounds.Sides"),
        (lambda view: Sides("low", "high"), "could not convert string to float"),
        (lambda view: Sides(0.0, 1.0, distances={"W1": 0.5}), "distances['W1'] is not an Enclosure"),
        (lambda view: Sides(1.0, 0.0), "has no number"),
        (lambda view: Sides(math.inf, math.inf), "has no number: its ends do not form an interval (it says [inf, inf])"),
        (lambda view: Sides(-math.inf, -math.inf), "has no number"),
        (lambda view: Sides(0.0, 1.0, details={"L": math.nan}), "details['L'] is nan; give a number"),
        (lambda view: Sides(0.0, 1.0, details={"L": -np.inf}), "details['L'] is -inf"),
        (lambda view: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_row_that_fails_says_so_and_the_others_go_on(compute, words, tmp_path):
    report = kd2m.audit(PAIR, only=["T1.l2", "mine.largest"], rows=[replace(MINE, compute=compute)])
    report.to_json(tmp_path / "a.json")
    assert kd2m.AuditReport.from_json(tmp_path / "a.json") == report
    assert not report["mine.largest"].applicable
    assert words in report["mine.largest"].why
    assert report["T1.l2"].applicable


def test_numbers_of_numpy_and_torch_are_stored(tmp_path):
    import torch

    def compute(view):
        sides = Sides(np.float32(-1.0), torch.tensor(1.0), details={"n": np.int64(3)})
        return replace(sides, distances={"W1": Enclosure(0.1, 0.2, "distance", "by hand")})

    report = kd2m.audit(PAIR, rows=[replace(MINE, compute=compute)])
    report.to_json(tmp_path / "a.json")
    assert kd2m.AuditReport.from_json(tmp_path / "a.json") == report


def test_a_stored_row_that_nobody_named_is_refused(tmp_path):
    path = tmp_path / "a.json"
    kd2m.audit(PAIR, rows=[MINE]).to_json(path)
    table = json.loads(path.read_text(encoding="utf-8"))
    for rows, message in (([], "is neither of this package nor one of settings.rows"), (["T1.l2", "mine.largest"], "T1.l2")):
        path.write_text(json.dumps(table | {"settings": table["settings"] | {"rows": rows}}), encoding="utf-8")
        with pytest.raises(InputError, match=message):
            kd2m.AuditReport.from_json(path)


FILE = """
from dataclasses import replace
from kd2m_theory.bounds import Row
from kd2m_theory.bounds.rows.row import SAME_INPUTS, SHARED_HEAD, both_sides

ROW = Row(
    name="mine.wide", sentence="The gap is at most 1,000.", statement="|gap| <= 1000", latex="", source="mine",
    target="gap_shared_head", space="features", inputs=(), needs=(SHARED_HEAD, SAME_INPUTS),
    structural={"vertex gradient": "the loss is cross-entropy"}, compute=lambda view: both_sides(1000.0),
)
ROWS = [replace(ROW, name="mine.first"), replace(ROW, name="mine.false", compute=lambda view: both_sides(0.0))]
class Box:
    row = ROW
LEVEL, NONE, MIXED = 3, [], [ROW, 3]
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A file with rows in the current folder, which is not on Python's path."""
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each not in ("", str(tmp_path))])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_bounds.py").write_text(FILE, encoding="utf-8")
    PAIR.save("pair.safetensors")
    yield "my_bounds"
    sys.modules.pop("my_bounds", None)


def test_rows_are_found_by_name(module):
    assert [row.name for row in named_rows([f"{module}:Box.row", f"{module}:ROWS"])] == [
        "mine.wide",
        "mine.first",
        "mine.false",
    ]
    assert named_rows([]) == ()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("my_bounds", "'my_bounds' names no row; write module:row, such as my_bounds:ROW"),
        ("my_bounds.py:ROW", "A module is named without its ending: my_bounds:ROW"),
        ("my_bounds:RAW", "module my_bounds has no RAW"),
        ("my_bounds:LEVEL", "my_bounds:LEVEL is a int; name a kd2m_theory.bounds.Row, or a list of them"),
        ("my_bounds:NONE", "my_bounds:NONE is a list of nothing"),
        ("my_bounds:MIXED", "my_bounds:MIXED is a list of int"),
    ],
)
def test_what_names_no_row_is_refused_in_one_line(module, target, message):
    with pytest.raises(InputError) as error:
        named_rows([target])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_command_takes_rows_by_name(module, monkeypatch, capsys):
    def status(*arguments):
        monkeypatch.setattr(sys, "argv", ["kd2m", "audit", "pair.safetensors", *arguments])
        try:
            main()
        except SystemExit as stop:
            return stop.code or 0
        return 0

    assert status("--rows", f"{module}:ROW", "--json", "a.json") == 0
    stored = kd2m.AuditReport.from_json("a.json")
    assert stored.settings["rows"] == ["mine.wide"]
    assert (stored["mine.wide"].upper, stored["mine.wide"].holds) == (1000.0, True)
    assert status("--rows", f"{module}:ROW", "--rows", f"{module}:ROWS") == 1
    capsys.readouterr()
    assert status("--rows", f"{module}:ROW", "--rows", f"{module}:ROW") == 2
    assert capsys.readouterr().err.strip().endswith("row mine.wide is twice in rows; give yours another name")
