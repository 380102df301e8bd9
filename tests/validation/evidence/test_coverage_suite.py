"""A sample of the suite `coverage`, its truths, and claims that are wrong on purpose."""

from dataclasses import replace
from math import exp, log, log1p

import numpy as np
import pytest
from sampled import sampled

from kd2m_theory.bounds import Ladder
from kd2m_theory.validation.campaigns.campaign import POPULATION_ROWS
from kd2m_theory.validation.campaigns.claims import TOGETHER, claims
from kd2m_theory.validation.campaigns.controls import CONTROLS
from kd2m_theory.validation.evidence import coverage, coverage_laws
from kd2m_theory.validation.evidence.suite import Case, Tally


def sample(rows, items, monkeypatch, law="continuous"):
    """Audits of rows that cost little, in the order in which samples were drawn."""
    monkeypatch.setattr(coverage, "POPULATION_ROWS", rows)
    monkeypatch.setattr(coverage, "LAWS", (law,))
    monkeypatch.setattr(coverage, "PAIRS", ("as made",))
    monkeypatch.setattr(coverage, "SIZES", (50,))
    monkeypatch.setattr(coverage, "ORDERS", {"as drawn": lambda _law, atoms: atoms})
    tally = Tally()
    for item in range(items):
        for case in coverage.examine(np.random.default_rng([9, item])):
            tally.add(case, f"0:{item}", described=10_000)
    return tally


def test_claims_about_samples_as_drawn_are_not_wrong_too_often_and_a_missing_radius_is_caught(monkeypatch):
    judged = coverage.judge(sample(("F1.error", "F1.risk"), 60, monkeypatch))
    assert judged.failed == 0
    assert judged.doubts == ()
    more = judged.more
    # One cell at each δ.
    assert more["strata"]["claim"]["F1.risk"] == {"cases": 2, "failed": 0}
    for claim in ("F1.error", "F1.risk", TOGETHER):
        assert more["noticed"][claim]["50"]["nothing"] == 0, claim
    for places in more["counts"].values():
        sums, worst = places["50 | 0.05 | as drawn"].split("; ")
        trials, misses, halved, bare = map(int, sums.split())
        assert trials == 60
        assert misses <= halved <= bare
        assert worst == f"{misses} of 60 continuous, as made"
    assert more["fewest_trials"] == 60


@pytest.mark.long
def test_an_interval_of_half_the_width_is_a_failure_with_an_example(monkeypatch):
    whole = coverage.claims

    def narrowed(ladder):
        halves = {claim.name: claim for claim in whole(ladder) if claim.control == "half the radius"}
        for claim in whole(ladder):
            yield replace(halves["F1.error"], control="") if claim.name == "F1.error" and not claim.control else claim

    monkeypatch.setattr(coverage, "claims", narrowed)
    judged = coverage.judge(sample(("F1.error", "F1.risk"), 60, monkeypatch))
    (failure,) = [each for each in judged.failures if each["delta"] == "0.05"]
    assert (failure["claim"], failure["order"], failure["law"]) == ("F1.error", "as drawn", "continuous")
    assert "of 60 samples" in failure["failure"]
    # The case that it names misses again.
    item = int(failure["case"].split(":")[1])
    again = coverage.examine(np.random.default_rng([9, item]))
    assert any(case.failure and case.strata["cell"].endswith("claim | F1.error") for case in again)


def planted(cells):
    """Trials and misses of cells, and of their controls."""
    tally = Tally()
    for name, trials, *misses in cells:
        for form, wrong in zip(("claim", *CONTROLS), misses, strict=False):
            for k in range(trials):
                place, kind, claim = name
                cell = " | ".join((place, kind, form, claim))
                if form == "claim":
                    tally.add(Case({"cell": cell}, "missed" if k < wrong else ""), "0:0")
                elif k < wrong:
                    tally.add(Case({"missed": cell}), "0:0")
    return tally


def cell(claim, kind="guaranteed", law="two atoms", delta="0.05"):
    return f"{law} | as made | as drawn | 50 | {delta}", kind, claim


def test_holm_judges_all_cells_together():
    # 11 of 100 at 0.05 has the chance 0.011, and 12 has 0.004: alone it would be found at 0.01, among others it is not.
    few = [(cell(f"c{k}"), 100, 5) for k in range(9)]
    assert coverage.judge(planted([(cell("x"), 100, 12)])).failed == 1
    assert coverage.judge(planted([*few, (cell("x"), 100, 12)])).failed == 0
    assert coverage.judge(planted([*few, (cell("x"), 100, 30), (cell("y"), 100, 25)])).failed == 2
    assert coverage.judge(planted([(cell("x", kind="asymptotic"), 100, 60)])).failed == 0


def test_every_cell_is_judged_at_its_own_level():
    thirty = [(cell("x", delta=delta), 100, 30) for delta in ("0.05", "0.2")]
    (failure,) = coverage.judge(planted(thirty)).failures
    assert failure["delta"] == "0.05"


@pytest.mark.parametrize(
    ("controls", "power"), [((30, 90), "half the radius"), ((6, 90), "no radius"), ((6, 7), "nothing"), ((), "nothing")]
)
def test_a_cell_says_what_it_would_have_noticed(controls, power):
    noticed = coverage.judge(planted([(cell("x"), 100, 4, *controls)])).more["noticed"]["x"]["50"]
    assert [name for name, count in noticed.items() if count] == [power]


def test_evidence_that_could_not_have_failed_says_so(monkeypatch):
    monkeypatch.setattr(coverage, "LAWS", ("two atoms",))
    for controls in ((), (5, 5)):
        doubts = coverage.judge(planted([(cell("x"), 400, 5, *controls)])).doubts
        assert "no claim without its radius was caught on two atoms" in doubts[0]
    assert coverage.judge(planted([(cell("x"), 400, 5, 5, 100)])).doubts == ()
    assert "1 cells have fewer than 60 trials" in coverage.judge(planted([(cell("x"), 59, 0)])).doubts[0]
    assert coverage.judge(Tally()).doubts


@pytest.mark.parametrize(
    ("law", "pair"), [("rare class", "as made"), ("heavy tail", "exchanged"), ("label noise", "overconfident")]
)
def test_every_row_about_the_population_has_controls_within_it(law, pair):
    """Without its radius a row is not wider, and with half of it between the two; a new row needs an entry in `controls`."""
    chosen = coverage_laws.law(law, pair)
    drawn = chosen.drawn(np.random.default_rng(4), 120)
    ladder = Ladder(chosen.pair(drawn), 0.05, POPULATION_ROWS)
    forms = {(claim.name, claim.control): claim for claim in claims(ladder)}
    assert {name for name, control in forms if control} >= set(POPULATION_ROWS)
    for name in POPULATION_ROWS:
        said, half, bare = (forms[name, control] for control in ("", *CONTROLS))
        for inner, outer in ((bare, half), (half, said)):
            assert outer.lower <= inner.lower + 1e-9, name
            assert inner.upper <= outer.upper + 1e-9, name
        assert bare.upper < said.upper, name


@pytest.mark.parametrize(
    "name",
    sampled(
        [name for name in POPULATION_ROWS if name.startswith(("F1", "F3"))],
        always=["F1.risk", "F1.error_gap", "F3.T0", "F3.T8"],
    ),
)
def test_a_control_of_a_mean_is_the_mean_of_its_sample(name):
    """A sample so large that the radius is next to nothing has the row where the control says."""
    chosen = coverage_laws.law("label noise")
    drawn = np.repeat(chosen.drawn(np.random.default_rng(5), 50), 300)
    ladder = Ladder(chosen.pair(drawn), 0.05, [name])
    ladder.spend(0.05, each=True)
    said, _, bare = (claim for claim in claims(ladder) if claim.name == name)
    assert said.lower == pytest.approx(bare.lower, abs=0.1)
    assert said.upper == pytest.approx(bare.upper, abs=0.1)


def test_the_means_of_two_atoms_are_those_by_hand():
    means = coverage_laws.law("two atoms").means()
    right, wrong = log1p(exp(-12.0)), min(12 + log1p(exp(-12.0)), 2 * log(2))
    assert means["population_risk"] == pytest.approx(0.475 * right + 0.525 * wrong, rel=1e-15)
    assert means["population_error"] == pytest.approx(0.525, rel=1e-15)
    assert means["population_gap"] == pytest.approx(0.525 * (wrong - right), rel=1e-15)
    miss = 1 / (1 + exp(-12.0))
    assert means["population_brier_gap"] == pytest.approx(0.525 * 2 * (miss**2 - (1 - miss) ** 2), rel=1e-14)


@pytest.mark.parametrize("pair", coverage_laws.PAIRS)
@pytest.mark.parametrize("name", coverage_laws.LAWS)
def test_a_law_is_a_law_and_its_samples_have_its_means(name, pair):
    law = coverage_laws.law(name, pair)
    assert law.chances.sum() == pytest.approx(1, abs=1e-12)
    drawn = law.drawn(np.random.default_rng(0), 200_000)
    for target, (low, high) in coverage_laws.truth(name, pair).items():
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
