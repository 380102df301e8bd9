"""Verdicts, tightness and correlation on tables whose answer is known."""

import numpy as np
import pytest
from scipy import stats

from kd2m_theory.validation.campaigns import correlation
from kd2m_theory.validation.campaigns.claims import BROKEN
from kd2m_theory.validation.campaigns.controls import CONTROLS
from kd2m_theory.validation.campaigns.correlation import explained
from kd2m_theory.validation.campaigns.tightness import comparable, largest_terms, spreads, tightest
from kd2m_theory.validation.campaigns.verdict import judge

RUN = {"population": "digits", "student": "s", "objective": "cw2", "weight": 0.1, "seed": 0, "task": "t", "configuration": "c"}
RUN |= {"law": "{}", "options": "{}", "teacher": "big", "head": "own"}


def count(name="F1.gap", trials=1000, wrong=0, possible=None, **more):
    row = {"name": name, "n": 200, "delta": 0.02, "guaranteed": True, "stream": 0, "first": 0}
    return RUN | row | {"trials": trials, "certain": wrong, "possible": wrong if possible is None else possible} | more


def bound(name="T1.l2", ratio=2.0, holds=True, **more):
    row = {"name": name, "share": None, "guaranteed": True, "ratio": ratio, "holds": holds, "target": "gap", "epoch": 3}
    ends = {"lower": -1.0, "value": 0.5, "upper": 1.0, "dominant": None, "dominance": None}
    return RUN | row | ends | more


BROKEN_AND_CAUGHT = count(BROKEN, wrong=200, guaranteed=False)


@pytest.mark.parametrize(
    ("wrong", "possible", "verdict"),
    [
        (20, 20, "compatible"),
        (29, 29, "compatible"),
        (32, 32, "invalid"),
        (29, 200, "compatible"),  # the truth is not known well enough to say more
        (0, 1, "compatible"),
    ],
)
def test_a_claim_is_judged_by_the_interval_of_its_rate(wrong, possible, verdict):
    judged = judge([], [count(wrong=wrong, possible=possible)])
    assert judged.cells[0].verdict == verdict
    assert bool(judged.invalid) == (verdict == "invalid")


def test_never_wrong_is_conservative_only_where_that_is_known():
    # With no failure in n audits the upper end is 1 − 0.025^(1/n), which has to be below 0.02 / 5.
    assert judge([], [count(trials=920)]).cells[0].verdict == "compatible"
    assert judge([], [count(trials=921)]).cells[0].verdict == "conservative"
    assert judge([], [count(trials=921, possible=1)]).cells[0].verdict == "compatible"


def test_the_interval_is_wider_the_more_claims_are_judged():
    alone = judge([], [count(wrong=33)]).cells[0]
    among = judge([], [count(wrong=33)] + [count(f"F{k}") for k in range(200)]).cells[0]
    assert among.lower < alone.lower
    assert alone.lower == pytest.approx(stats.beta.ppf(0.025, 33, 968))


def test_blocks_of_one_claim_are_added_and_others_are_not():
    judged = judge([], [count(wrong=3), count(wrong=4, first=1000), count(n=1000), count(delta=0.01)])
    assert sorted((cell.trials, cell.certain) for cell in judged.cells) == [(1000, 0)] * 2 + [(2000, 7)]


def test_a_block_that_two_campaigns_tried_counts_once():
    halves = [count(trials=500, wrong=2), count(trials=500, wrong=1, first=500)]
    whole = [count(trials=1000, wrong=3)]
    elsewhere = [count(trials=100, wrong=5, stream=1)]
    for rows in (halves, whole, halves + whole, whole + halves, halves + halves):
        assert [(cell.trials, cell.certain) for cell in judge([], rows).cells] == [(1000, 3)]
    assert [(cell.trials, cell.certain) for cell in judge([], whole + elsewhere).cells] == [(1100, 8)]


def test_too_few_audits_are_no_evidence():
    # With no failure in n audits the upper end is 1 − 0.025^(1/n), which is below 0.02 from n = 183 on.
    assert judge([], [count(trials=182)]).cells[0].verdict == "too few"
    assert judge([], [count(trials=183)]).cells[0].verdict == "compatible"
    assert judge([], [count(trials=182, wrong=30)]).cells[0].verdict == "invalid"


def test_a_campaign_passes_only_if_nothing_is_wrong_and_the_broken_interval_is_caught():
    good = [count(wrong=20), BROKEN_AND_CAUGHT, count("gap", wrong=300, guaranteed=False)]
    assert judge([bound()], good).passed
    assert not judge([bound(holds=False)], good).passed
    assert not judge([bound()], [*good, count("F3.T0", wrong=60)]).passed
    assert not judge([bound()], [count(BROKEN, wrong=20, guaranteed=False)]).passed


@pytest.mark.parametrize(
    ("controls", "power"),
    [
        ({}, "not tried"),
        ({"half the radius": 60, "no radius": 900}, "half the radius"),
        ({"half the radius": 20, "no radius": 900}, "no radius"),
        ({"half the radius": 0, "no radius": 3}, "nothing"),
        ({"no radius": 900}, "no radius"),
    ],
)
def test_a_cell_says_what_it_would_have_noticed(controls, power):
    broken = [count(f"F1.gap, {control}", wrong=wrong, guaranteed=False) for control, wrong in controls.items()]
    (cell,) = judge([], [count(wrong=2), *broken]).cells
    assert (cell.power, cell.verdict, cell.trials) == (power, "compatible", 1000)


def test_controls_neither_fail_a_campaign_nor_widen_the_intervals_of_its_claims():
    alone = judge([], [count(wrong=2), BROKEN_AND_CAUGHT])
    controls = [count(f"F1.gap, {control}", wrong=900, guaranteed=False) for control in CONTROLS]
    among = judge([], [count(wrong=2), BROKEN_AND_CAUGHT, *controls])
    assert among.passed
    assert [(cell.lower, cell.upper) for cell in among.cells] == [(cell.lower, cell.upper) for cell in alone.cells]


def test_a_violation_names_the_pair():
    (found,) = judge([bound(holds=False), bound(holds=False, guaranteed=False), bound(holds=None)], []).violations
    assert (found.name, found.epoch, found.file) == ("T1.l2", 3, "violations/t-epoch-0003.safetensors")
    assert found.run == "digits, big to s, cw2 λ = 0.1, seed 0"


def test_a_run_in_words_has_the_options_of_population_and_objective():
    (found,) = judge([bound(holds=False, law='{"side": 12}', options='{"temperature": 2.0}')], []).violations
    assert found.run == "digits (side 12), big to s, cw2 λ = 0.1 (temperature 2.0), seed 0"


def test_quartiles_of_the_rows_that_can_be_compared():
    rows = [bound(ratio=float(k)) for k in (1, 2, 3, 4, 5)]
    rows += [bound(ratio=9.0, guaranteed=False), bound(ratio=None), bound("F1.gap", 9.0, share=0.01)]
    (spread,) = spreads(comparable(rows), lambda row: row["name"]).values()
    assert (spread.count, spread.quarter, spread.median, spread.three_quarters) == (5, 2.0, 3.0, 4.0)


def test_a_gap_of_zero_is_an_infinite_ratio_and_no_nan():
    (spread,) = spreads([bound(ratio=float(k)) for k in (1, 2)] + [bound(ratio=np.inf)] * 2, lambda row: row["name"]).values()
    assert (spread.quarter, spread.three_quarters) == (2.0, np.inf)


def test_the_tightest_row_of_each_theorem():
    rows = [bound("T10.risk", 8.0), bound("T2.cw2", 5.0), bound("T2.w2", 4.0), bound("T2.x", 1.0, target="error_gap")]
    assert tightest(rows, "gap") == ["T2.w2", "T10.risk"]


def test_the_largest_term():
    rows = [bound(dominant="D̂", dominance=0.9)] * 3 + [bound(dominant="r(δ)", dominance=0.6), bound("T0")]
    found = largest_terms(rows)
    assert set(found) == {"T1.l2"}
    assert (found["T1.l2"].term, found["T1.l2"].pairs, found["T1.l2"].part) == ("D̂", 0.75, 0.9)


def points(values, kind, name, runs_of_a_seed=1):
    """One population a row of `values`: runs × epochs."""
    for population, runs in enumerate(values):
        for run, epochs in enumerate(runs):
            for epoch, value in enumerate(epochs, 1):
                origin = {"configuration": f"{population}-{run}", "population": f"p{population}", "seed": run // runs_of_a_seed}
                yield origin | {"kind": kind, "name": name, "epoch": epoch, "value": float(value)}


def test_correlation_is_spearmans_within_populations():
    rng = np.random.default_rng(0)
    gaps = rng.normal(size=(2, 12, 3)) + np.array([0.0, 100.0])[:, None, None]
    noisy = gaps + rng.normal(size=gaps.shape)
    distances = [*points(np.exp(gaps / 50), "distance", "monotone"), *points(-gaps, "distance", "opposite")]
    distances += [*points(noisy, "distance", "noisy"), *points(np.ones_like(gaps), "distance", "constant")]
    found = {(each.distance, each.last): each for each in explained(list(points(gaps, "measured", "gap")), distances, ("gap",))}
    assert found["monotone", False].pooled.value == pytest.approx(1)
    assert found["monotone", True].within["p0"].lower == pytest.approx(1)
    assert found["opposite", False].pooled.upper == pytest.approx(-1)
    assert found["constant", False].pooled.value == 0
    for last, chosen in ((False, slice(None)), (True, slice(-1, None))):
        expected = [stats.spearmanr(gaps[p][:, chosen].ravel(), noisy[p][:, chosen].ravel()).statistic for p in (0, 1)]
        each = found["noisy", last]
        assert [one.value for one in each.within.values()] == pytest.approx(expected)
        assert each.mean == each.pooled.value == pytest.approx(np.mean(expected))
        assert all(one.lower < one.value < one.upper and one.seeds == 12 for one in each.within.values())
        assert each.pooled.lower < each.pooled.value < each.pooled.upper
        assert each.pooled.seeds == 24


@pytest.mark.parametrize(("signs", "agree"), [((1, 1, 1), True), ((1, -1, 1), False), ((1, 0, 1), False)])
def test_populations_that_disagree_are_not_pooled(signs, agree):
    rng = np.random.default_rng(5)
    gaps = rng.normal(size=(3, 5, 6))
    other = gaps * np.array(signs)[:, None, None] + 0.7 * rng.normal(size=gaps.shape)
    each, _ = explained(list(points(gaps, "measured", "gap")), list(points(other, "distance", "d")), ("gap",))
    assert set(each.within) == {"p0", "p1", "p2"}
    assert (each.pooled is not None) == agree


def test_intervals_over_few_seeds_miss_as_often_as_they_say():
    """Of seeds that shift both: the truth is what 20,000 of them have. A percentile bootstrap of three misses in 0.2."""
    rng = np.random.default_rng(0)

    def seeds(count):
        shift = rng.normal(size=count) * 0.7
        other = 0.5 * shift + rng.normal(size=count) * 0.6
        x = rng.normal(size=(count, 10))
        return x + shift[:, None], 0.4 * x + rng.normal(size=x.shape) + other[:, None]

    truth = stats.spearmanr(*(each.ravel() for each in seeds(20_000))).statistic
    for count in (3, 5):
        missed = 0
        for _ in range(300):
            x, y = seeds(count)
            variables = [np.array(pair) for pair in zip(x, y, strict=True)]
            ((value,), (variance,)) = correlation._within(variables)
            each = correlation._interval(value, variance, count - 1, count)
            missed += not each.lower <= truth <= each.upper
        assert stats.binom.sf(missed - 1, 300, 0.05) > 0.001, (count, missed)


def test_under_three_seeds_there_is_no_correlation_and_the_population_is_named():
    rng = np.random.default_rng(6)
    gaps, other = rng.normal(size=(2, 1, 12, 2))
    for runs_of_a_seed, seeds in ((12, 1), (6, 2)):
        measured, distances = (
            list(points(values, kind, name, runs_of_a_seed))
            for values, kind, name in ((gaps, "measured", "gap"), (other, "distance", "d"))
        )
        assert explained(measured, distances, ("gap",)) == []
        assert correlation.short_of_seeds(measured) == {"p0": seeds}
    assert correlation.short_of_seeds(list(points(gaps, "measured", "gap", 4))) == {}


def test_a_run_counts_once_however_many_epochs_it_has():
    rng = np.random.default_rng(1)
    gaps, other = rng.normal(size=(2, 1, 10, 1))
    widths = []
    for epochs in (1, 20):
        repeated = [np.repeat(values, epochs, axis=2) for values in (gaps, other)]
        (each, _) = explained(
            list(points(repeated[0], "measured", "gap")), list(points(repeated[1], "distance", "d")), ("gap",)
        )
        widths.append(each.within["p0"].upper - each.within["p0"].lower)
    assert widths[0] == pytest.approx(widths[1], rel=1e-12)


def test_runs_of_one_seed_are_drawn_together():
    rng = np.random.default_rng(3)
    gaps, other = rng.normal(size=(2, 1, 6, 1))
    alone = explained(list(points(gaps, "measured", "gap")), list(points(other, "distance", "d")), ("gap",))
    copied = [np.repeat(values, 5, axis=1) for values in (gaps, other)]
    together = explained(list(points(copied[0], "measured", "gap", 5)), list(points(copied[1], "distance", "d", 5)), ("gap",))
    assert [each.within["p0"].seeds for each in together] == [6, 6]
    mine, theirs = together[0].within["p0"], alone[0].within["p0"]
    assert (mine.value, mine.lower, mine.upper) == pytest.approx((theirs.value, theirs.lower, theirs.upper), rel=1e-12)
    one_seed = explained(list(points(gaps, "measured", "gap", 9)), list(points(other, "distance", "d", 9)), ("gap",))
    assert one_seed == []


def test_a_population_of_few_runs_has_no_correlation():
    gaps = np.arange(4.0).reshape(1, 4, 1)
    assert explained(list(points(gaps, "measured", "gap")), list(points(gaps, "distance", "d")), ("gap",)) == []


def test_untrained_students_explain_nothing():
    rng = np.random.default_rng(2)
    gaps, other = rng.normal(size=(2, 1, 12, 2))
    trained = explained(list(points(gaps, "measured", "gap")), list(points(other, "distance", "d")), ("gap",))
    rows = [
        [*points(values, "x", "y"), *({**row, "epoch": 0, "value": 1e6} for row in points(values[:, :, :1], "x", "y"))]
        for values in (gaps, other)
    ]
    measured = [{**row, "kind": "measured", "name": "gap"} for row in rows[0]]
    distances = [{**row, "kind": "distance", "name": "d"} for row in rows[1]]
    assert explained(measured, distances, ("gap",)) == trained
