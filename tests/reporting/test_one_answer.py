"""Everything that is said of a pair says the same: screen, table, page, tolerance, verdict; and its words hold what they stand for."""

import copy
import re
from dataclasses import asdict
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from printed import holds, read_back
from reports import CASES, report_of
from sampled import sampled

from kd2m_theory import Pair, audit, compare
from kd2m_theory.plausibility import DOUBTS
from kd2m_theory.reporting.clipped import reaches
from kd2m_theory.reporting.comparison_words import shown_ends
from kd2m_theory.reporting.first_screen import first_sections
from kd2m_theory.reporting.page import html_page
from kd2m_theory.reporting.summary import every_row_sections
from kd2m_theory.reporting.terminal_view import plain
from kd2m_theory.reporting.tolerance import tolerances
from kd2m_theory.reporting.verdict import population_intervals, verdict
from kd2m_theory.words import number

ANSWERS = {"worse": "not met", "better": "met"}
ROWS = ("T0", "T0.error", "F1.gap", "F1.error_gap", "F3.T0", "F3.T0.error")


@given(st.one_of(st.floats(-99_999, 99_999), st.integers(-99_999, 99_999).map(float)), st.integers(1, 6))
def test_a_number_of_everyday_size_has_no_power_of_ten(value, digits):
    words = number(value, digits)
    assert "e+" not in words
    assert abs(read_back(words) - value) <= abs(value) * 0.5 * 10.0 ** (1 - digits) * (1 + 1e-9)


@given(st.integers(-(10**12), 10**12), st.integers(1, 6))
def test_a_count_is_printed_in_full(count, digits):
    assert int(number(count, digits).replace(",", "").replace("−", "-")) == count


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_the_words_of_an_interval_hold_it(one, other):
    lower, upper = min(one, other), max(one, other)
    words = reaches(lower, upper, 100.0, "points")
    if words == "the same":
        low, high = "0", "0"
    elif words.startswith("between"):
        low, high = re.fullmatch(r"between (\S+) points lower and (\S+) higher", words).groups()
        low = f"−{low}"
    else:
        small, large, side = re.fullmatch(r"(\S+) to (\S+) points (higher|lower)", words).groups()
        low, high = (small, large) if side == "higher" else (f"−{large}", f"−{small}")
    assert holds(low, high, 100 * lower, 100 * upper, 3)
    assert holds(*shown_ends({"lower": lower, "upper": upper}, "errors"), 100 * lower, 100 * upper, 3)
    assert holds(*shown_ends({"lower": lower, "upper": upper}, "cross_entropy"), lower, upper, 3)


@cache
def plain_data():
    return report_of("plain").to_dict()


def told(lower, upper):
    """A report whose only guaranteed interval for the difference of errors has these ends."""
    data = plain_data()
    rows = [row for row in data["rows"] if row["target"] != "population_error_gap"]
    seen = data["measured"]["error_gap"] | {"value": (lower + upper) / 2, "lower": lower, "upper": upper}
    return data | {"rows": rows, "measured": data["measured"] | {"error_gap": seen}}


@given(st.integers(-(10**5), 10**5), st.integers(-9, 9), st.integers(0, 10**5), st.booleans())
def test_the_numbers_of_a_tolerance_show_its_decision(tolerance, beyond, width, below):
    """However near the interval comes to what is accepted: whoever reads both numbers decides as the sentence does."""
    most = tolerance / 10**6
    end = most + beyond * 1e-6
    lower, upper = (end - width / 10**6, end) if below else (end, end + width / 10**6)
    (found,) = tolerances(told(lower, upper), most, None)
    words = re.search(r"at most (\S+) points above .* is (\S+) to (\S+) points", found.sentence)
    accepted, low, high = map(read_back, words.groups())
    assert accepted == pytest.approx(100 * most, abs=1e-9)
    assert found.status == ("met" if high <= accepted else "not met" if low > accepted else "undecided")


def with_a_question(data):
    """The report of a pair whose labels look shifted."""
    numbers = {"right": 0.01, "shifted": 0.9, "offset": 1}
    return data | {"warnings": [{"key": "shifted labels", "numbers": numbers, "sentence": "Are they shifted?"}]}


def with_a_violation(data):
    return data | {"violations": ["T0.error"]}


@pytest.mark.parametrize("change", [dict, with_a_question, with_a_violation])
@pytest.mark.parametrize("ends", [(0.01, 0.3), (-0.3, -0.01), (-0.1, 0.2), (0.0, 0.1), (-0.1, 0.0)])
def test_a_verdict_is_what_a_tolerance_of_zero_decides(ends, change):
    data = change(told(*ends))
    found = verdict(data)
    (kept,) = tolerances(data, 0.0, None)
    if found.errors.status != "undecided":
        assert kept.status == ANSWERS[found.errors.status]
    assert (kept.status == "not met") == (found.errors.status == "worse")
    if data["violations"] or data["warnings"]:
        assert (found.overall, found.errors.status, found.cross_entropy.status, kept.status) == ("undecided",) * 4
        assert re.match(r"Errors: undecided, because (a bound is violated|the input looks wrong);", found.errors.sentence)
        page = html_page(data | {"verdict": found_as_data(data)})
        for light in ("Errors", "Cross-entropy"):
            assert f"{light}: undecided" in page


def found_as_data(data):
    return asdict(verdict(data))


@pytest.mark.parametrize("case", sampled(CASES, always=["plain", "unlabelled", "student better", "violated"]))
def test_every_report_decides_as_a_tolerance_of_zero_does(case):
    report = report_of(case)
    found = report.verdict
    for measure, kept in zip((found.errors, found.cross_entropy), report.within(max_error_gap=0.0, max_gap=0.0), strict=True):
        assert (kept.status == "not met") == (measure.status == "worse")
        if measure.status == "better":
            assert kept.status == "met"


def clipping_turns(sign):
    """A student that is better (or worse) where losses are clipped, and the opposite where they are not."""
    rng, n = np.random.default_rng(0), 3000
    labels = rng.integers(2, size=n)
    right = np.eye(2)[labels]
    rare = np.where((rng.random(n) < 0.05)[:, None], -40 * right, 5 * right)
    steady = 1.1 * right
    sides = (steady, rare) if sign < 0 else (rare, steady)
    return Pair(labels=labels, logits_teacher=sides[0], logits_student=sides[1])


@pytest.mark.parametrize("sign", [-1, 1])
def test_what_clipping_hides_decides_neither_verdict_nor_tolerance(sign):
    report = audit(clipping_turns(sign), only=ROWS)
    found = report.verdict.cross_entropy
    assert np.sign(found.sample) == sign == -np.sign(found.unclipped)
    assert found.lower > 0 if sign > 0 else found.upper < 0
    (kept,) = report.within(max_gap=0.0)
    assert (found.status, kept.status) == ("undecided", "undecided")
    assert f"clipped it {'is not' if sign > 0 else 'is'}, but unclipped the difference" in kept.sentence
    (line,) = (line for line in str(report).splitlines() if line.startswith("cross-entropy  "))
    assert line.rstrip().endswith("undecided")


def test_own_rows_are_counted_nowhere_among_the_guaranteed():
    data = copy.deepcopy(report_of("plain").to_dict())
    one = next(row for row in data["rows"] if row["guaranteed"])
    data["rows"].append(one | {"name": "mine"})
    data["settings"] = data["settings"] | {"rows": ["mine"]}
    data["verdict"] = found_as_data(data)
    counts = {
        match
        for text in (plain(first_sections(data), 200), plain(every_row_sections(data), 200), html_page(data))
        for match in re.findall(r"(\d+) of (\d+) guaranteed (?:bound|row)s", text)
    }
    assert len(counts) == 1


def test_one_thing_is_one_thing():
    data = copy.deepcopy(report_of("plain").to_dict())
    row = next(row for row in data["rows"] if row["guaranteed"])
    lacking = next(row for row in data["rows"] if row["status"] == "not applicable")
    data["rows"] = [row, lacking]
    data["verdict"] = found_as_data(data)
    for text in (plain(first_sections(data), 200), html_page(data)):
        assert not re.search(r"\b1 (guaranteed )?(rows|bounds|samples|classes|groups)\b", text)


def a_breakdown(parts):
    """A report of which the classes contribute these parts of the gap."""
    data = plain_data()
    one = data["breakdown"]["classes"][0] | {"name": None}
    kinds = [one | {"label": label, "gap": gap} for label, gap in enumerate(parts)]
    whole = data["measured"]["gap"] | {"value": sum(parts)}
    made = data["breakdown"] | {"classes": kinds, "names": {}}
    return data | {"breakdown": made, "measured": data["measured"] | {"gap": whole}}


@given(st.lists(st.integers(-20, 60), min_size=2, max_size=6))
def test_shares_of_the_gap_add_up_for_the_reader(parts):
    text = plain(first_sections(a_breakdown([part / 100 for part in parts])), 200)
    said = re.search(r"(most|the largest parts) of the gap: (.*)", text)
    if said is None:
        return
    shares = [int(words) for words in re.findall(r"\((\d+) %\)", said[2])]
    assert sum(shares) <= 100 + len(shares)
    if said[1] == "most" and shares:
        assert sum(shares) >= 50 - len(shares)


def shifted_students():
    rng = np.random.default_rng(2)
    labels = rng.integers(4, size=400)
    teacher, *students = (size * np.eye(4)[labels] + rng.normal(size=(400, 4)) for size in (5, 4.5, 0.5))
    late = (labels + 1) % 4
    return {
        name: Pair(labels=late, logits_teacher=teacher, logits_student=each) for name, each in zip("ab", students, strict=True)
    }


def test_students_whose_labels_look_shifted_are_not_ranked(tmp_path):
    """An audit of each gives no verdict, so the comparison has none."""
    given_pairs = shifted_students()
    made = compare(given_pairs)
    assert [audit(pair, only=()).verdict.headline for pair in given_pairs.values()] == [made.to_dict()["headline"]] * 2
    assert (made.best, made.decided) == (("a", "b"), frozenset())
    assert [name for name, found in made.warnings if found.key in DOUBTS] == ["a", "b"]
    assert "No verdict: the input looks wrong." in str(made)
    assert "Check the input (a" in str(made)
    made.to_json(tmp_path / "c.json")
    assert type(made).from_json(tmp_path / "c.json") == made


@pytest.mark.parametrize(
    "only",
    [
        (),
        pytest.param(("T5.logits",), marks=pytest.mark.long),
        pytest.param(("F1.gap",), marks=pytest.mark.long),
        ("F1.error_gap",),
        ("F1.gap", "F1.error_gap"),
        pytest.param(None, marks=pytest.mark.long),
    ],
)
def test_what_decides_holds_together(only):
    """By a union over the intervals that decide: their failure probabilities sum to δ at most."""
    data = audit(clipping_turns(1), 0.1, only=only).to_dict()
    rows = {row["name"] for row in data["rows"]} & {"F1.gap", "F1.error_gap"} or {"measured.error_gap"}
    targets = ("population_gap", "population_error_gap")
    used = {name: level for target in targets for name, level, *_ in population_intervals(data, target)}
    assert rows <= set(used)
    distinct = used if only is not None else {name: used[name] for name in rows}  # other rows read the same limits again
    assert sum(1 - level for level in distinct.values()) <= 0.1 * (1 + 1e-9)
    deciding = {data["verdict"][measure]["row"] for measure in ("errors", "cross_entropy")} - {None}
    assert deciding <= set(used)
    assert ("by itself" in " ".join(data["verdict"]["caveats"])) == (only is not None)
