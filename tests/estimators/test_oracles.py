"""Agreement with answers that come from elsewhere: closed forms, brute force, and another solver."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import (
    BRANCHES,
    WEIGHTINGS,
    brute_force,
    clouds,
    costs_of,
    exact_line,
    ground_of,
    linear_program,
    quantile_distance,
)
from sampled import sampled
from scipy import stats

from kd2m_theory import InputError
from kd2m_theory.estimators import VertexNorm, conditional_wasserstein, optimal_plan, wasserstein
from kd2m_theory.estimators.ground import CostMatrix
from kd2m_theory.estimators.transport import optimal_cost


@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize("weighting", sampled(WEIGHTINGS, always=["some weights zero"]))
@given(data=st.data())
def test_agrees_with_a_linear_program(branch, weighting, data):
    name, p = BRANCHES[branch]
    drawn = data.draw(clouds(weighting, least_dimension=2 if name == "logits" else 1))
    x, y, _ = drawn.points
    ground = ground_of(name, x.shape[1])
    a, b = (np.full(len(c), 1 / len(c)) if w is None else w for c, w in zip((x, y), drawn.weights, strict=False))
    costs = costs_of(x, y, ground, p)
    expected = linear_program(costs, a, b) ** (1 / p)
    distance = wasserstein(x, y, p, ground, **drawn.keywords(0, 1))
    tolerance = 1e-7 * costs.max() ** (1 / p) + 1e-9  # HiGHS stops at 1e-7
    assert distance.lower - tolerance <= expected <= distance.upper + tolerance
    assert distance.upper - expected <= max(tolerance, 1e-4 if p == 2 else 0)


@given(data=st.data(), n=st.integers(1, 6), p=st.sampled_from([1, 2]))
def test_agrees_with_all_permutations(data, n, p):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    x, y = rng.normal(size=(2, n, 3))
    expected = brute_force(costs_of(x, y, "euclidean", p)) ** (1 / p)
    assert wasserstein(x, y, p).value == pytest.approx(expected, rel=1e-12)


@given(data=st.data(), p=st.sampled_from([1, 2]))
def test_on_the_line_it_is_the_distance_of_quantiles(data, p):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    n, m = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 30))
    x, y, a, b = rng.normal(size=n), rng.normal(size=m), rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
    distance = wasserstein(x[:, None], y[:, None], p, weights_x=a, weights_y=b)
    assert distance.value == pytest.approx(quantile_distance(x, y, a, b, p), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("n", [1, 7, 400])
def test_a_translated_cloud_is_as_far_as_the_translation(n, p):
    x = np.random.default_rng(n).normal(size=(n, 6))
    shift = np.arange(6.0)
    assert wasserstein(x, x + shift, p).value == pytest.approx(np.linalg.norm(shift), rel=1e-12)


@pytest.mark.parametrize("n", [50, pytest.param(1500, marks=pytest.mark.long)])
def test_gaussians_on_the_line(n):
    """W₂² = (μ − μ')² + (σ − σ')² E q², with the q the sample has, and W₁ = E|μ − μ' + (σ − σ') q|."""
    quantiles = stats.norm.ppf((np.arange(n) + 0.5) / n)
    rng = np.random.default_rng(0)
    x, y = 1.0 + 2.0 * rng.permutation(quantiles), -0.5 + 0.7 * rng.permutation(quantiles)
    second = np.sqrt(1.5**2 + 1.3**2 * (quantiles**2).mean())
    assert wasserstein(x[:, None], y[:, None], 2).value == pytest.approx(second, rel=1e-11)
    assert wasserstein(x[:, None], y[:, None], 1).value == pytest.approx(np.abs(1.5 + 1.3 * quantiles).mean(), rel=1e-11)
    if n > 1000:  # towards the population: √(1.5² + 1.3²)
        assert second == pytest.approx(np.hypot(1.5, 1.3), rel=1e-2)


def wild_points(rng, n):
    """Points that rounding, cancellation, overflow or ties would trip over."""
    kind = rng.integers(6)
    if kind == 0:
        return rng.normal(size=n)
    if kind == 1:
        return rng.integers(-3, 4, n).astype(float)
    if kind == 2:
        return rng.normal(size=n) * 10.0 ** rng.integers(-18, 18, n)
    if kind == 3:
        return 1e12 + rng.normal(size=n)
    if kind == 4:
        return rng.choice([0.0, 1.0, 1 + 2**-52, 1e16], n)
    return rng.standard_cauchy(n) ** 3


def wild_weights(rng, n):
    kind = rng.integers(4)
    if kind == 0:
        return None
    weights = [rng.random(n), 10.0 ** rng.uniform(-20, 0, n), rng.choice([0.0, 1.0, 1e-300], n)][kind - 1]
    weights[rng.integers(n)] = 1.0
    return weights / weights.sum()


@settings(max_examples=300)  # the evidence suite of transport tries tens of thousands
@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1.0, 1e-60, 1e60, 1e-200]),
    p=st.sampled_from([1, 2]),
    pivots=st.sampled_from([1, 2, 3, 10_000]),
    vertex=st.booleans(),
)
def test_the_exact_value_lies_inside_whatever_the_scale_weights_and_cap(seed, scale, p, pivots, vertex):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 9))
    m = n if rng.random() < 0.3 else int(rng.integers(1, 9))
    x, y = wild_points(rng, n) * scale, wild_points(rng, m) * scale
    a, b = wild_weights(rng, n), wild_weights(rng, m)
    exact = exact_line(x, y, a, b, p)
    # As logits of two classes, (0, v) has margin v against class 0: the vertex norm is the distance on the line.
    forms = [np.stack((0 * v, v), axis=1) if vertex else v[:, None] for v in (x, y)]
    ground = VertexNorm(label=0) if vertex else "euclidean"
    distance = wasserstein(*forms, p, ground, a, b, max_pivots=pivots)
    assert Fraction(distance.lower) ** p <= exact <= Fraction(distance.upper) ** p


def test_a_capped_solver_widens_the_interval_and_never_lies():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(60, 2)), rng.normal(size=(45, 2)) + 0.5
    a, b = rng.dirichlet(np.ones(60)), rng.dirichlet(np.ones(45))
    truth = linear_program(costs_of(x, y, "euclidean", 1), a, b)
    widths = []
    for pivots in (1, 10, 50, 100, 10_000):
        distance = wasserstein(x, y, weights_x=a, weights_y=b, max_pivots=pivots)
        assert distance.lower <= truth + 1e-9
        assert distance.upper >= truth - 1e-9
        assert (distance.status == "capped") == (distance.gap > 1e-6)
        widths.append(distance.gap)
    assert widths[0] > 0.1
    assert widths[-1] < 1e-12


def test_a_wrong_plan_is_not_believed(monkeypatch):
    """The certificate must not depend on the solver: hand it the worst assignment instead of the best."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(2, 30, 2))
    truth = wasserstein(x, y)
    from scipy.optimize import linear_sum_assignment

    monkeypatch.setattr("kd2m_theory.estimators.transport.linear_sum_assignment", lambda costs: linear_sum_assignment(-costs))
    wrong = wasserstein(x, y)
    assert wrong.lower <= truth.upper
    assert wrong.upper > 1.5 * truth.upper
    assert wrong.status != "optimal"


@pytest.mark.parametrize("plan", ["nothing", "half", "too much", "on one row"])
def test_infeasible_plans_are_repaired(monkeypatch, plan):
    rng = np.random.default_rng(5)
    x, y, a, b = rng.normal(size=(8, 2)), rng.normal(size=(6, 2)), rng.dirichlet(np.ones(8)), rng.dirichlet(np.ones(6))
    truth = linear_program(costs_of(x, y, "euclidean", 1), a, b)

    def broken(_a, _b, costs, **_):
        matrix = np.outer(a, b)
        matrix = {"nothing": 0 * matrix, "half": matrix / 2, "too much": 3 * matrix, "on one row": matrix.copy()}[plan]
        if plan == "on one row":
            matrix[1:] = 0
        return matrix, {"u": np.zeros(8), "v": np.zeros(6), "warning": "broken", "cost": 0.0}

    monkeypatch.setattr("ot.lp.emd", broken)
    distance = wasserstein(x, y, weights_x=a, weights_y=b)
    assert distance.lower <= truth + 1e-9
    assert distance.upper >= truth - 1e-9
    assert distance.status == "capped"


def test_one_point_against_one_point_is_not_zero():
    """POT's network simplex answers 0 to some 1 × 1 problems."""
    for x, y in ((0.0, 1.0), (1e-9, 2e-9), (-3.0, 4e7)):
        assert wasserstein([[x]], [[y]]).value == pytest.approx(abs(x - y), rel=1e-13)
        assert wasserstein([[x]], [[y]], 2, weights_x=[1.0], weights_y=[1.0]).value == pytest.approx(abs(x - y), rel=1e-13)


def test_a_default_capped_at_a_hundred_thousand_pivots_would_be_wrong_here():
    """POT stops at 100,000 pivots with a warning; the same stop here is an interval that says so."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1200, 3)), rng.normal(size=(1000, 3))
    capped = wasserstein(x, y, max_pivots=3000)
    full = wasserstein(x, y)
    assert full.relative_gap <= 1e-9
    assert capped.status == "capped"
    assert capped.lower <= full.lower
    assert capped.upper >= full.upper
    assert capped.relative_gap > 1e-3


@pytest.mark.long
def test_a_long_chain_on_the_line_is_still_certified():
    """Shortest augmenting paths are as long as the cloud here; the potentials then come from the network simplex."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 900, 1))
    distance = wasserstein(x, y, 2)
    uniform = np.full(900, 1 / 900)
    assert distance.relative_gap <= 1e-9
    assert distance.value == pytest.approx(quantile_distance(x[:, 0], y[:, 0], uniform, uniform, 2), rel=1e-10)


@pytest.mark.parametrize("far", [1e2, 3e9, 1e14])
def test_a_far_point_does_not_move_the_lower_side_beyond_the_truth(far):
    """Potentials near a far point are huge; a c-transform rounded at their size would not be feasible."""
    weights = np.array([0.9, 0.1, 1e-19])
    weights /= weights.sum()
    few = wasserstein([[0.0]], [[0.34], [0.35], [far]], weights_y=weights)
    exact = sum(Fraction(w) * Fraction(v) for w, v in zip(weights, (0.34, 0.35, far), strict=True)) / sum(
        map(Fraction, weights)
    )
    assert Fraction(few.lower) <= exact <= Fraction(few.upper)
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = rng.normal(size=1), np.append(rng.normal(size=1000), far * rng.random())
        exact = sum(abs(Fraction(v) - Fraction(x[0])) for v in y) / len(y)
        many = wasserstein(x[:, None], y[:, None])
        assert Fraction(many.lower) <= exact <= Fraction(many.upper)


@pytest.mark.parametrize(
    ("x", "y", "p", "exact"),
    [
        ([[0.0], [1e300]], [[1e-30], [1e300]], 1, 5e-31),
        ([[0.0]], [[1e-200]], 2, 1e-200),
        ([[0.0, 0.0]], [[5e-324, 5e-324]], 1, 5e-324),
        ([[0.0], [1.0]], [[1e-170], [1.0]], 2, 1e-170 / np.sqrt(2)),
        ([[0.0], [1e300]], [[1e-30], [1e300]], 2, 1e-30 / np.sqrt(2)),
        ([[0.0, 1.0], [1e300, 0.0]], [[0.0, 2.0], [1e300, 0.0]], 1, 0.5),
    ],
)
def test_underflow_is_never_taken_for_zero(x, y, p, exact):
    distance = wasserstein(x, y, p)
    assert distance.lower <= exact <= distance.upper


def test_a_tiny_vertex_norm_is_not_zero():
    for p in (1, 2):
        distance = wasserstein([[0.0, 0.0]], [[1e-170, 0.0]], p, VertexNorm(np.eye(2) * 1e-160, 0))
        assert distance.upper > 0


@given(seed=st.integers(0, 2**32 - 1))
def test_copies_of_unequal_number_are_certified_to_nine_digits(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(40, 3))
    x[0] *= 1e4
    near = np.repeat(x, 3, axis=0) + 1e-3 * rng.normal(size=(120, 3))
    distance = wasserstein(x, near)
    assert distance.gap <= 1e-9 * distance.upper + 1e-14 * np.abs(x).max()  # rounded masses times the diameter
    offset = wasserstein(x + 1e6, np.repeat(x + 1e6, 3, axis=0) + rng.normal(size=(120, 3)), ground=VertexNorm(label=0))
    assert offset.gap <= 1e-9 * offset.upper + 1e-14 * np.abs(x).max()


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1.0, 1.0], [0.5, 0.5], "a sums to 2"),
        ([0.5, 0.5], [0.5], "b has 1 weights for 2 points"),
        ([1.5, -0.5], [0.5, 0.5], "a has a negative weight"),
    ],
)
def test_transport_of_what_is_no_measure_is_refused(a, b, message):
    cost = CostMatrix(np.array([[1.0, 2.0], [3.0, 4.0]]), 0.0, 0.0, "nats")
    with pytest.raises(InputError, match=message):
        optimal_cost(cost, np.array(a), np.array(b))
    with pytest.raises(InputError, match="max_pivots is 0"):
        optimal_cost(cost, np.full(2, 0.5), np.full(2, 0.5), 0)
    with pytest.raises(InputError, match="NaN or infinite"):
        optimal_cost(CostMatrix(np.full((2, 2), np.nan), 0.0, 0.0, "nats"), np.full(2, 0.5), np.full(2, 0.5))


def test_costs_of_either_sign_are_enclosed():
    rng = np.random.default_rng(6)
    costs = rng.normal(size=(7, 5))
    a, b = rng.dirichlet(np.ones(7)), rng.dirichlet(np.ones(5))
    value = optimal_cost(CostMatrix(costs, 0.0, 0.0, "nats"), a, b)
    assert value.lower - 1e-9 <= linear_program(costs, a, b) <= value.upper + 1e-9
    assert value.gap < 1e-12
    plan = optimal_plan(costs, a, b)
    assert (plan.mass * costs[plan.rows, plan.columns]).sum() == pytest.approx(value.value)


@pytest.mark.parametrize("p", [1, 2])
def test_conditional_distance_is_the_mean_over_classes(p):
    rng = np.random.default_rng(7)
    labels = np.repeat([0, 3, 4], [5, 10, 25])
    x, y = rng.normal(size=(2, 40, 3))
    order = rng.permutation(40)
    powers = [linear_program(costs_of(x[labels == c], y[labels == c], "euclidean", p), *[np.full(k, 1 / k)] * 2)
              for c, k in ((0, 5), (3, 10), (4, 25))]  # fmt: skip
    for weighting, shares in (("frequency", [0.125, 0.25, 0.625]), ("uniform", [1 / 3] * 3)):
        distance = conditional_wasserstein(x, y[order], labels, labels[order], p, weighting)
        assert distance.value == pytest.approx(np.dot(shares, powers) ** (1 / p), rel=1e-7)
        assert distance.relative_gap <= 1e-9
    whole = wasserstein(x, y, p)
    assert conditional_wasserstein(x, y, labels, labels, p).upper >= whole.lower
