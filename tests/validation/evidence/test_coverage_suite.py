"""A sample of the suite `coverage`, its truths, and claims that are wrong on purpose."""

from math import exp, log, log1p

import numpy as np
import pytest

from kd2m_theory.validation.campaigns.claims import TOGETHER
from kd2m_theory.validation.evidence import coverage, coverage_laws
from kd2m_theory.validation.evidence.suite import Case, Tally


def sample(rows, items, monkeypatch, law="continuous"):
    """Audits of rows that cost little, in the order in which samples were drawn."""
    monkeypatch.setattr(coverage, "POPULATION_ROWS", rows)
    monkeypatch.setattr(coverage, "LAWS", (law,))
    monkeypatch.setattr(coverage, "SIZES", (50,))
    monkeypatch.setattr(coverage, "ORDERS", {"as drawn": lambda _law, atoms: atoms})
    tally = Tally()
    for item in range(items):
        for case in coverage.examine(np.random.default_rng([9, item])):
            tally.add(case, f"0:{item}", described=10_000)
    return tally


def test_claims_about_samples_as_drawn_are_not_wrong_too_often_and_half_of_them_is_caught(monkeypatch):
    judged = coverage.judge(sample(("F1.error", "F1.risk"), 150, monkeypatch))
    assert judged.failed == 0
    assert judged.doubts == ()
    assert judged.more["halved_claims"]["caught_by_claim"]["F1.error"] == 1
    assert judged.more["strata"]["claim"]["F1.risk"] == {"cases": 1, "failed": 0}


def test_an_interval_of_half_the_width_is_a_failure_with_an_example(monkeypatch):
    whole = coverage.claims

    def narrowed(ladder):
        for claim in whole(ladder):
            own = (claim.lower + claim.upper) / 2
            yield coverage._halved(claim, own) if claim.name == "F1.error" else claim

    monkeypatch.setattr(coverage, "claims", narrowed)
    judged = coverage.judge(sample(("F1.error", "F1.risk"), 150, monkeypatch))
    # Alone, and in the audit of which it is a part.
    failures = {failure["claim"]: failure for failure in judged.failures}
    assert set(failures) == {"F1.error", TOGETHER}
    failure = failures["F1.error"]
    assert (failure["order"], failure["law"]) == ("as drawn", "continuous")
    assert "of 150 samples" in failure["failure"]
    # The case that it names misses again.
    item = int(failure["case"].split(":")[1])
    again = coverage.examine(np.random.default_rng([9, item]))
    assert any(case.failure and case.strata["cell"].endswith("claim | F1.error") for case in again)


def planted(cells):
    tally = Tally()
    for name, trials, misses in cells:
        for k in range(trials):
            tally.add(Case({"cell": name}, "missed" if k < misses else ""), "0:0")
    return tally


def cell(claim, form="claim", kind="guaranteed", law="two atoms"):
    return f"{law} | as drawn | 50 | {kind} | {form} | {claim}"


def test_holm_judges_all_cells_together():
    # 12 of 100 at 0.05 has the chance 0.004: alone it would be found at 0.01, among others it is not.
    few = [(cell(f"c{k}"), 100, 5) for k in range(9)]
    assert coverage.judge(planted([*few, (cell("x"), 100, 12)])).failed == 0
    assert coverage.judge(planted([*few, (cell("x"), 100, 30), (cell("y"), 100, 25)])).failed == 2
    assert coverage.judge(planted([(cell("x", kind="asymptotic"), 100, 60)])).failed == 0


def test_evidence_that_could_not_have_failed_says_so(monkeypatch):
    monkeypatch.setattr(coverage, "LAWS", ("two atoms",))
    sound = [(cell("x"), 400, 5)]
    assert "no claim of half the width was caught on two atoms" in coverage.judge(planted(sound)).doubts[0]
    assert coverage.judge(planted([*sound, (cell("x", "halved"), 400, 5)])).doubts
    assert coverage.judge(planted([*sound, (cell("x", "halved"), 400, 100)])).doubts == ()
    assert "1 cells have fewer than 60 trials" in coverage.judge(planted([(cell("x"), 59, 0)])).doubts[0]
    assert coverage.judge(Tally()).doubts


def test_the_means_of_two_atoms_are_those_by_hand():
    means = coverage_laws.law("two atoms").means()
    right, wrong = log1p(exp(-12.0)), min(12 + log1p(exp(-12.0)), 2 * log(2))
    assert means["population_risk"] == pytest.approx(0.475 * right + 0.525 * wrong, rel=1e-15)
    assert means["population_error"] == pytest.approx(0.525, rel=1e-15)
    assert means["population_gap"] == pytest.approx(0.525 * (wrong - right), rel=1e-15)
    miss = 1 / (1 + exp(-12.0))
    assert means["population_brier_gap"] == pytest.approx(0.525 * 2 * (miss**2 - (1 - miss) ** 2), rel=1e-14)


@pytest.mark.parametrize("name", coverage_laws.LAWS)
def test_a_law_is_a_law_and_its_samples_have_its_means(name):
    law = coverage_laws.law(name)
    assert law.chances.sum() == pytest.approx(1, abs=1e-12)
    drawn = law.drawn(np.random.default_rng(0), 200_000)
    for target, (low, high) in coverage_laws.truth(name).items():
        own = law.means(drawn)[target]
        spread = float(np.sqrt((law.chances * (law.values[target].astype(float) - low) ** 2).sum()))
        assert abs(own - (low + high) / 2) <= 5 * spread / np.sqrt(200_000) + 1e-12, target


@pytest.mark.parametrize("order", coverage_laws.ORDERS)
def test_an_order_is_a_permutation_of_the_sample(order):
    law = coverage_laws.law("label noise")
    drawn = law.drawn(np.random.default_rng(1), 60)
    arranged = coverage_laws.ORDERS[order](law, drawn)
    assert sorted(arranged) == sorted(drawn)
    assert np.array_equal(arranged, drawn) == (order == "as drawn")
