"""What the pages on theorems say of witnesses and counterexamples is true, and says something."""

import re

import pytest
from sampled import sampled

from kd2m_theory.theory.catalogue import theorems
from kd2m_theory.validation.trial.pages import attained, broken

CATALOGUE = theorems()


def numbers(words):
    return [
        float(text.replace("−", "-").replace(",", ""))
        for text in re.findall(r"(?<![\w.])−?\d[\d,]*(?:\.\d+)?(?:e[+−]\d+)?", words)
    ]


@pytest.mark.parametrize("one", sampled(CATALOGUE, always=["T0", "T2", "F1", "F4"]), ids=lambda t: t.name)
def test_what_a_counterexample_says_is_outside_of_what_is_allowed(one):
    for hypothesis in one.hypotheses:
        words = broken(one, hypothesis).removeprefix(hypothesis.counterexample.form)
        assert "∞" not in words
        assert not re.search(r"(?<![.\d])[01] times", words), words
        found = numbers(words)
        if one.level != "deterministic":
            probability, delta, times = found
            assert probability > delta
            assert probability / delta == pytest.approx(times, rel=0.02)
            continue
        *bounds, gap = found if "times" not in words else found[:-1]
        if "no number" in words:
            assert bounds[0] > bounds[1]
        elif "between" in words:
            assert not bounds[0] <= gap <= bounds[1]
        else:
            assert bounds[0] != gap
        if "times" in words:
            assert abs(gap) / abs(bounds[1] if gap > 0 else bounds[0]) == pytest.approx(found[-1], rel=0.01)


@pytest.mark.parametrize("one", CATALOGUE, ids=lambda t: t.name)
def test_a_witness_that_has_no_excuse_is_within_one_percent_of_its_bound(one):
    for form in one.forms:
        words = attained(one, form)
        assert "∞" not in words
        gap, bound = numbers(words.partition(": ")[0])
        assert abs(gap) <= abs(bound) * 1.001
        if not form.witness.reason:
            assert gap == pytest.approx(bound, rel=0.0102)
