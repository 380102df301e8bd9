"""A sample of the suite `labels`, and ends that are wrong on purpose."""

from dataclasses import replace

import pytest

from kd2m_theory.validation.evidence import labels
from kd2m_theory.validation.evidence.coverage import judge
from kd2m_theory.validation.evidence.suite import Tally


def sample(items):
    tally = Tally()
    for item in range(items):
        for case in labels.SUITE.item(1_000_000, item):
            tally.add(case, f"1000000:{item}", described=1000)
    return tally


def rates(tally):
    """Misses over cases by claim."""
    found = {}
    for cell, (cases, failed) in tally.strata["cell"].items():
        counts = found.setdefault(cell.split(" | ")[-1], [0, 0])
        counts[0] += cases
        counts[1] += failed
    return found


def test_ends_are_wrong_about_as_rarely_as_they_say_or_more_rarely():
    tally = sample(16)
    assert {claim.split(", ")[0] for claim in rates(tally)} == {"file", "population"}
    assert set(tally.strata["order"]) == {labels.AS_DRAWN, labels.AT_WILL, labels.SHIFTED, labels.HALF}
    assert tally.failed <= 0.15 * tally.cases  # of one file all ends and stops are counted
    assert tally.strata["missed"], "a control that never misses shows nothing"


def test_cells_are_those_that_coverage_judges_and_few_trials_are_a_doubt():
    judged = labels.SUITE.judge(sample(5))
    assert any("fewer than 60 trials" in doubt for doubt in judged.doubts)
    assert not judged.failed
    assert judge(Tally()).doubts


@pytest.mark.parametrize("end", [pytest.param("lower", marks=pytest.mark.long), "upper"])
def test_an_end_that_is_moved_to_the_middle_is_caught(end, monkeypatch):
    honest = labels.drawn_plan

    class Moved:
        def __init__(self, plan):
            self.plan, self.order, self.indices = plan, plan.order, plan.indices

        def estimate(self, given):
            found = self.plan.estimate(given)
            return replace(found, file=replace(found.file, **{end: found.file.value}))

    monkeypatch.setattr(labels, "drawn_plan", lambda *given: Moved(honest(*given)))
    found = rates(sample(14))
    moved = [counts for claim, counts in found.items() if claim.startswith("file") and claim.endswith(f"{end} end")]
    # an honest end fails in at most a tenth of the cases
    assert sum(failed for _, failed in moved) > 0.15 * sum(cases for cases, _ in moved)
