"""A sample of the suite `transport`, its exact solver, and intervals that are wrong on purpose."""

import contextlib
import resource
import sys
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from problems import brute_force, costs_of, exact_line, linear_program

from kd2m_theory.estimators import Enclosure, VertexNorm, between_clouds, wasserstein
from kd2m_theory.estimators.large import clouds, levels, solver
from kd2m_theory.validation.evidence import exact_transport as exact
from kd2m_theory.validation.evidence import tiles, transport, workers
from kd2m_theory.validation.evidence.suite import Tally


def sample(items):
    tally = Tally()
    for item in range(items):
        for case in transport.SUITE.item(1_000_000, item):
            tally.add(case, f"1000000:{item}", described=1000)
    return tally


def test_the_exact_value_is_inside_on_every_kind_of_problem():
    tally = sample(60)
    assert tally.failures == []
    assert set(tally.strata["kind"]) == {*transport.KINDS, "certificate on tiles"}
    assert set(tally.strata["status"]) == {"optimal", "capped", "open"}


def certificates(items):
    return [case for item in range(items) for case in tiles.examine(np.random.default_rng([7, item]))]


def problem():
    rng = np.random.default_rng(3)
    return rng.normal(size=(40, 3)), rng.normal(size=(40, 3)) + 1, 2, np.full(40, 1 / 40), np.full(40, 1 / 40)


def test_certificates_on_tiles_hold():
    assert [case.failure for case in certificates(8)] == [""] * 8


@pytest.mark.parametrize(("pivots", "status"), [(10**6, "optimal"), (1, "capped")])
def test_the_status_of_a_certificate_is_told(pivots, status):
    (case,) = tiles._certified(*problem(), pivots, {}, small=True)
    assert (case.strata["status"], case.failure) == (status, "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda found: replace(found, lower=1.1 * found.lower, upper=1.1 * found.upper), "does not meet"),
        (lambda found: replace(found, lower=0.9 * found.lower, upper=0.9 * found.upper), "does not meet"),
        (lambda found: replace(found, lower=found.upper, upper=0.5 * found.lower), "is not an interval"),
        (lambda found: replace(found, potentials=tuple(0.9 * each for each in found.potentials)), "its potentials prove"),
    ],
)
def test_a_certificate_that_is_wrong_is_caught(change, words, monkeypatch):
    monkeypatch.setattr(solver, "transport", lambda *given, real=solver.transport, **more: change(real(*given, **more)))
    (case,) = tiles._certified(*problem(), 10**6, {}, small=True)
    assert words in case.failure


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_a_size_goal_is_reached_within_its_memory_or_not(monkeypatch):
    before = resource.getrlimit(resource.RLIMIT_AS)
    monkeypatch.setattr(workers, "_resident", lambda: 0)
    enough = tiles.Goal(n=300, m=200, d=3, classes=3, p=1, weighted=True, gigabytes=1.0)
    case = tiles.reach("small", enough, np.random.default_rng(0))
    assert (case.failure, case.strata["status"]) == ("", "optimal")
    too_little = replace(enough, n=3000, m=3000, weighted=False, gigabytes=0.05)
    assert "0.05 GB" in tiles.reach("small", too_little, np.random.default_rng(0)).failure
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_tiles_are_as_they_were_afterwards():
    before = between_clouds.STORED, levels._SMALLEST, clouds.ROWS
    with contextlib.suppress(ZeroDivisionError), tiles.on_tiles():
        assert before != (between_clouds.STORED, levels._SMALLEST, clouds.ROWS)
        raise ZeroDivisionError
    assert before == (between_clouds.STORED, levels._SMALLEST, clouds.ROWS)


@pytest.mark.parametrize("shift", [1e-6, -1e-6])
def test_an_interval_that_is_shifted_is_caught(shift, monkeypatch):
    def shifted(*arguments, **more):
        found = wasserstein(*arguments, **more)
        return replace(found, lower=found.lower * (1 + shift), upper=found.upper * (1 + shift))

    monkeypatch.setattr(transport, "wasserstein", shifted)
    tally = sample(40)
    words = "exceeds the exact value" if shift > 0 else "exceeds upper"
    assert len([each for each in tally.failures if words in each["failure"]]) > 5
    assert tally.strata["kind"]["class by class"][1] == 0  # it does not go through the name that was replaced


def test_an_estimator_that_raises_is_a_failure(monkeypatch):
    def raises(*_arguments, **_more):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(transport, "joint_wasserstein", raises)
    failures = sample(40).failures
    assert {each["failure"] for each in failures} == {"raises ZeroDivisionError: division by zero"}
    assert {each["kind"] for each in failures} == {"features and labels"}


def test_the_ends_are_compared_exactly():
    third = exact.Exact(Fraction(1, 3), Fraction(1, 3))
    below, above = 1 / 3, np.nextafter(1 / 3, 1)  # float64 has no third: the nearest is below it
    assert transport.verdict(Enclosure(below, above, "distance", "by hand"), third, 1) == ""
    assert "exceeds upper" in transport.verdict(Enclosure(below, below, "distance", "by hand"), third, 1)
    assert "exceeds the exact" in transport.verdict(Enclosure(above, above, "distance", "by hand"), third, 1)


def test_the_solver_finds_the_least_cost_of_whole_numbers():
    rng = np.random.default_rng(0)
    for _ in range(60):
        n, m = rng.integers(1, 6, 2)
        costs = rng.integers(-9, 10, (n, m))
        supply = rng.integers(0, 5, n)
        supply[0] += m
        demand = np.bincount(rng.integers(0, m, supply.sum()), minlength=m)
        found = exact.least_cost(costs.tolist(), supply.tolist(), demand.tolist())
        assert found == round(supply.sum() * linear_program(costs, supply / supply.sum(), demand / demand.sum()))
    for n in range(1, 6):
        costs = rng.integers(0, 30, (n, n))
        assert exact.least_cost(costs.tolist(), [1] * n, [1] * n) == round(n * brute_force(costs))


@pytest.mark.parametrize("p", [1, 2])
def test_powers_are_those_of_a_linear_program_and_of_quantiles(p):
    rng = np.random.default_rng(1)
    for _ in range(10):
        x, y, a, b = rng.normal(size=(5, 2)), rng.normal(size=(7, 2)), rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(7))
        found = exact.powers(x, y, p, exact.masses(a, 5), exact.masses(b, 7))
        assert float(found.low) == pytest.approx(linear_program(costs_of(x, y, "euclidean", p), a, b), rel=1e-9)
        assert 0 <= found.high - found.low < Fraction(1, 10**40)
        line = exact.on_the_line(x[:, 0], y[:, 0], exact.masses(a, 5), exact.masses(b, 7), p)
        assert line == exact_line(x[:, 0], y[:, 0], a, b, p)
        on_line = exact.powers(x[:, :1], y[:, :1], p, exact.masses(a, 5), exact.masses(b, 7))
        assert on_line.low <= line <= on_line.high


def test_the_vertex_norm_of_whole_logits_is_its_definition():
    rng = np.random.default_rng(2)
    weight, x, y = rng.normal(size=(3, 2)), rng.normal(size=(1, 2)), rng.normal(size=(1, 2))
    (head, first, second), exponent = exact.whole(weight, x, y)
    value = exact.largest_difference(1)(exact.logits(head, first)[0], exact.logits(head, second)[0])
    expected = costs_of(x, y, VertexNorm(weight, 1), 1)[0, 0]
    assert float(Fraction(value, 4**exponent)) == pytest.approx(expected, rel=1e-12)
