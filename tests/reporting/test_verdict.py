"""The sentences a reader takes away."""

import copy
import math

import pytest
from reports import reports

from kd2m_theory.reporting.verdict import verdict
from kd2m_theory.words import number


def words_of(case):
    found = verdict(reports()[case].to_dict())
    return found.headline, " ".join(found.findings), " ".join(found.caveats)


def edited(**gap):
    record = copy.deepcopy(reports()["plain"].to_dict())
    record["measured"]["gap"] |= gap
    return verdict(record)


def test_a_worse_student_is_called_worse_with_its_interval():
    headline, findings, _ = words_of("plain")
    gap = reports()["plain"].measured["gap"]
    assert headline == f"The student is worse than its teacher: its cross-entropy is {number(gap.value, 3)} nats higher."
    assert f"{number(gap.lower, 3)} to {number(gap.upper, 3)} nats higher (asymptotic interval)" in findings
    assert "With 95 % confidence" in findings
    assert "It errs on 35 % of the samples, its teacher on 0 %" in findings


def test_a_better_student_is_called_better():
    headline, findings, _ = words_of("student better")
    gap = reports()["student better"].measured["gap"]
    assert gap.upper < 0
    assert headline == f"The student is better than its teacher: its cross-entropy is {number(-gap.value, 3)} nats lower."
    assert f"{number(-gap.upper, 3)} to {number(-gap.lower, 3)} nats lower" in findings


@pytest.mark.parametrize(("value", "words"), [(0.2, ("higher", "worse")), (-0.2, ("lower", "better"))])
def test_a_gap_that_chance_explains_is_not_called_a_difference(value, words):
    found = edited(value=value, lower=-0.5, upper=0.6)
    assert f"0.2 nats {words[0]} than its teacher's on these samples" in found.headline
    assert f"do not show that it is {words[1]} on the population" in found.headline
    assert "between 0.5 nats lower and 0.6 higher" in " ".join(found.findings)


def test_no_gap_is_no_gap():
    headline, findings, _ = words_of("no gap")
    assert headline == "Student and teacher have the same loss on these samples."
    assert "cross-entropy on the population" not in findings


def test_without_labels_the_population_bound_is_the_news():
    report = reports()["unlabelled"]
    headline, findings, _ = words_of("unlabelled")
    assert headline.startswith("How much worse the student is cannot be measured without labels")
    most = 100 * report["F3.T0.error"].upper
    assert f"the student errs at most {number(most, 3)} percentage points more than its teacher (F3.T0.error)" in findings
    assert "None of the" in findings


def test_nothing_measured_and_nothing_bounded_is_said():
    headline, findings, _ = words_of("unlabelled logits of other inputs")
    assert "neither measured nor bounded" in headline
    assert findings == "No guaranteed bound could be evaluated."


def test_a_violation_comes_first_and_is_counted():
    found = verdict(reports()["violated"].to_dict())
    assert found.violated
    assert found.headline.startswith("Violated: T0.error.")
    assert found.findings[0].startswith("The student is worse")
    checked = sum(row.guaranteed and row.holds is not None for row in reports()["violated"].rows)
    assert f"Of the {checked} guaranteed bounds that could be checked 1 does not hold." in found.findings


def test_the_tightest_bound_has_the_least_ratio_and_is_no_identity():
    report = reports()["plain"]
    rivals = [
        row
        for row in report.rows
        if row.target == "gap" and row.guaranteed and row.status == "informative" and row.name != "T9.kl"
    ]
    best = min(rivals, key=lambda row: row.ratio)
    assert 1 < best.ratio < math.inf
    expected = f"{best.name} on the gap, from {number(best.lower, 3)} to {number(best.upper, 3)} nats"
    assert f"{expected} ({number(best.ratio, 3)} times what was measured)" in words_of("plain")[1]


def test_no_violated_or_unpromised_row_is_recommended():
    assert "T0.error on" not in words_of("violated")[1]
    record = copy.deepcopy(reports()["plain"].to_dict())
    for row in record["rows"]:
        row["status"] = "vacuous"
    assert "No guaranteed bound on a gap is informative" in " ".join(verdict(record).findings)


def test_caveats_name_what_is_vouched_for_and_what_is_unmet():
    _, _, caveats = words_of("plain")
    assert "same inputs, independent samples" in caveats
    assert "An assumption is unmet in T1.literal:" in caveats
    assert "about these samples." in caveats
    assert "hold together at 95 %" in caveats
    assert "asymptotic" in caveats
    _, _, told = words_of("told much")
    assert "gaussian classes" in told
    assert "An assumption is unmet in T1.literal:" in told
    assert "hold together at 90 %" in told
    assert "asymptotic" not in words_of("unlabelled")[2]
