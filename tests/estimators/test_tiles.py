"""Transport on tiles: the pairs that a pass finds, the bounds that it proves, and the enclosure of the whole, against all pairs."""

from fractions import Fraction
from importlib import import_module

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sampled import sampled
from scipy import sparse
from scipy.optimize import linear_sum_assignment, linprog
from scipy.spatial.distance import cdist

from kd2m_theory import InputError
from kd2m_theory.estimators import between_clouds, wasserstein
from kd2m_theory.estimators.large import levels, solver
from kd2m_theory.estimators.large.clouds import Clouds
from kd2m_theory.estimators.large.plans import first_bounds
from kd2m_theory.estimators.large.sparse_network import InfeasibleError, first_plan, solve
from kd2m_theory.estimators.large.strata import clusters, stratified
from kd2m_theory.estimators.line import line_cost, monotone_coupling
from kd2m_theory.validation.evidence.exact_transport import masses, powers

RNG = np.random.default_rng(19)
N = 150


def outer(n, d):
    return np.outer(RNG.normal(size=n), RNG.normal(size=d))


CLOUDS = {
    "gaussians": (RNG.normal(size=(N, 6)), RNG.normal(size=(N, 6)) + 0.2),
    "unequal sizes": (RNG.normal(size=(N + 1, 3)), RNG.normal(size=(N, 3))),
    "many clusters": tuple(RNG.integers(0, 40, (N, 1)) + 1e-3 * RNG.normal(size=(N, 5)) for _ in range(2)),
    "lines": (outer(N, 4), outer(N, 4)),
    "one line": tuple(np.outer(RNG.normal(size=N), np.ones(4)) for _ in range(2)),
    "a far point": (lambda x: (x, np.vstack((x[1:] + 0.1, np.full((1, 4), 1e6)))))(RNG.normal(size=(N, 4))),
    "a grid": tuple(
        RNG.permutation(np.stack(np.meshgrid(*[range(5)] * 4), -1).reshape(-1, 4))[:N].astype(float) for _ in range(2)
    ),
    "duplicates": tuple(np.repeat(RNG.normal(size=(N // 10, 3)), 10, axis=0) for _ in range(2)),
    "a constant cloud": (np.ones((N, 4)), RNG.normal(size=(N, 4))),
    "equal clouds": (lambda x: (x, x[::-1].copy()))(RNG.normal(size=(N, 4))),
    "large offset": tuple(1e7 + RNG.normal(size=(N, 3)) for _ in range(2)),
    "tiny": tuple(1e-150 * RNG.normal(size=(N, 3)) for _ in range(2)),
    "huge": tuple(1e150 * RNG.normal(size=(N, 3)) for _ in range(2)),
    "two points": (RNG.normal(size=(2, 3)), RNG.normal(size=(3, 3))),
    "one point": (RNG.normal(size=(1, 3)), RNG.normal(size=(N, 3))),
    "onto one point": (RNG.normal(size=(N, 3)), RNG.normal(size=(1, 3))),
    "all equal": (np.ones((N, 3)), np.full((N - 3, 3), 2.0)),
    "one place": (np.ones((N, 3)), np.ones((N, 3))),
    "the plane": tuple(RNG.normal(size=(N, 2)) for _ in range(2)),
    "a thousand dimensions": tuple(RNG.normal(size=(N, 1000)) for _ in range(2)),
    "simplex": (np.eye(N), -np.eye(N)),
    "one point more": (lambda x: (x, x[:-1].copy()))(RNG.normal(size=(N, 4))),
    "near the largest number": tuple(1e306 * RNG.normal(size=(N, 3)) for _ in range(2)),
    "near the least number": tuple(1e-303 * RNG.normal(size=(N, 3)) for _ in range(2)),
    "disjoint": (RNG.normal(size=(N, 3)), 1e9 + RNG.normal(size=(N, 3))),
}
HOSTILE = {
    "gaussians": CLOUDS["gaussians"],
    "a far point": CLOUDS["a far point"],
    "mixed sizes": tuple(RNG.normal(size=(N, 3)) * 10.0 ** RNG.integers(-18, 18, (N, 3)) for _ in range(2)),
    "heavy tails": tuple(RNG.standard_cauchy((N, 3)) ** 3 for _ in range(2)),
    "near ties": tuple(RNG.integers(0, 3, (N, 4)) * (1 + 2.0**-52 * RNG.integers(-2, 3, (N, 4))) for _ in range(2)),
    "one point": CLOUDS["one point"],
    "subnormal": tuple(1e-320 * RNG.normal(size=(N, 3)) for _ in range(2)),
}


@pytest.fixture
def on_tiles(monkeypatch):
    """Tiles of a few pairs, and every level of potentials, for clouds of any size."""
    monkeypatch.setattr(between_clouds, "STORED", 0)
    monkeypatch.setattr(levels, "_SMALLEST", 10)
    monkeypatch.setattr("kd2m_theory.estimators.large.clouds.ROWS", 64)
    monkeypatch.setattr("kd2m_theory.estimators.large.clouds.COLUMNS", 48)


def weights_of(n, kind):
    if kind == "uniform":
        return None
    weights = RNG.exponential(size=n)
    if kind == "weighted":
        weights[: n // 10] = 0.0
    elif kind == "tiny":
        weights[::3] = 1e-300
    elif kind == "all at one":
        weights = np.full(n, 1e-18)
        weights[n // 2] = 1.0
    elif kind == "of any size":
        weights = 10.0 ** RNG.uniform(-300, 0, n)
    elif kind == "least numbers":
        weights[::2] = 5e-324
    return weights / weights.sum()


LATER = (
    "many clusters",
    "tiny",
    "large offset",
    "lines",
    "onto one point",
    "one point more",
    "disjoint",
    "all equal",
    "simplex",
)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("kind", ["uniform", "weighted"])
@pytest.mark.parametrize("name", sampled(CLOUDS, later=LATER))
def test_the_enclosure_is_that_of_all_pairs(name, kind, p, request):
    """Independent oracle: the solvers on the whole matrix, whose certificate shares no code with that of tiles."""
    x, y = CLOUDS[name]
    weights = {"weights_x": weights_of(len(x), kind), "weights_y": weights_of(len(y), kind)}
    expected = wasserstein(x, y, p, **weights)
    request.getfixturevalue("on_tiles")
    found = wasserstein(x, y, p, **weights)
    on_a_line = ("one line", "all equal", "one point more, by weight")
    assert found.method == ("sorting" if name in on_a_line else "network simplex on tiles")
    assert found.lower <= expected.upper
    assert expected.lower <= found.upper
    assert found.upper - found.lower <= 1e-9 * found.upper
    assert found.status == "optimal"


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("kind", ["uniform", "tiny", "all at one", "of any size", "least numbers"])
@pytest.mark.parametrize("name", sampled(HOSTILE, later=["near ties", "subnormal", "heavy tails"]))
def test_nothing_is_outside_whatever_points_and_masses_are(name, kind, p, request):
    x, y = HOSTILE[name]
    weights = {"weights_x": weights_of(len(x), kind), "weights_y": weights_of(len(y), kind)}
    expected = wasserstein(x, y, p, **weights)
    request.getfixturevalue("on_tiles")
    found = wasserstein(x, y, p, **weights)
    assert found.lower <= expected.upper
    assert expected.lower <= found.upper
    assert found.status != "capped" or ";" in found.method


def potentials(drawn, n, m, size):
    seed = drawn.draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    return rng, *(size * drawn.draw(st.sampled_from([0.0, 0.5, 1.0])) * rng.uniform(-0.5, 1.0, k) for k in (n, m))


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("name", ["gaussians", "a far point", "equal clouds", "a grid"])
@given(data=st.data())
@settings(max_examples=10)
def test_a_pass_finds_every_pair_below_and_its_bounds_hold(name, p, data):
    x, y = (points / np.abs(np.concatenate(CLOUDS[name])).max() for points in CLOUDS[name])
    clouds = Clouds(x, y, p)
    costs = cdist(x[clouds.order_x], y[clouds.order_y]) ** p
    rng, f, g = potentials(data, len(x), len(y), float(np.median(costs)))
    width = float(np.quantile(costs - f[:, None] - g, data.draw(st.sampled_from([0.0, 0.01, 0.3]))))
    reduced = costs - f[:, None] - g
    found = np.zeros(costs.shape, dtype=bool)
    found[clouds.below(f, g, width, costs.size)] = True
    assert found[reduced < width].all()
    drift_x, drift_y = rng.normal(size=len(x)), rng.normal(size=len(y))
    again = np.zeros(costs.shape, dtype=bool)
    again[clouds.below_where(f, g, width, drift_x, drift_y, costs.size)] = True
    assert again[(reduced < width) & (drift_x[:, None] + drift_y >= 0)].all()
    least, nearest = clouds.smallest(f, g, 3)
    true = reduced.min(axis=1)
    assert (least <= true + 1e-15 * np.abs(costs).max()).all()
    np.testing.assert_allclose(least, true, atol=1e-6 * max(1.0, np.abs(f).max(), np.abs(g).max()))
    if p == 2:
        np.testing.assert_allclose(np.take_along_axis(reduced, nearest, 1)[:, 0], true, atol=1e-11)
    if name == "gaussians" and p == 2:
        assert found.sum() <= (reduced < width + 1e-4).sum()  # and few others


def test_more_pairs_than_the_limit_are_none():
    clouds = Clouds(*CLOUDS["gaussians"], 2)
    zero = np.zeros(N)
    assert clouds.below(zero, zero, 1e6, N * N) is not None
    assert clouds.below(zero, zero, 1e6, N * N - 1) is None
    assert clouds.below_where(zero, zero, 1e6, zero, zero, N * N - 1) is None


@pytest.mark.parametrize("change", ["kept", "again", "rounds", "one pass", "many passes", "eased", "pivots", "potentials"])
def test_a_solver_that_does_less_encloses_still(change, on_tiles, monkeypatch):
    x, y = CLOUDS["gaussians"]
    true = wasserstein(*CLOUDS["gaussians"], 2)
    options = {}
    if change == "kept":
        monkeypatch.setattr(solver, "_KEPT", 0)
    elif change == "again":
        monkeypatch.setattr(solver, "_AGAIN", 0)
    elif change == "rounds":
        monkeypatch.setattr(solver, "_ROUNDS", 1)
    elif change == "one pass":
        monkeypatch.setattr(solver, "_PASSES", 1)
    elif change == "many passes":  # whether they help or not
        monkeypatch.setattr(solver, "_WHOLE", -1.0)
    elif change == "eased":
        monkeypatch.setattr(solver, "_UNDERCUT", -1.0)
    elif change == "pivots":
        options["max_pivots"] = 40
    else:  # potentials that say nothing
        monkeypatch.setattr(solver, "start", lambda clouds, *_: (np.zeros(clouds.n), np.zeros(clouds.m)))
    found = wasserstein(x, y, 2, **options)
    assert found.lower <= true.upper
    assert true.lower <= found.upper
    assert found.status == "capped" or found.upper - found.lower <= 1e-9 * found.upper
    if change == "pivots":
        assert found.status == "capped"
        assert found.method.endswith("the network simplex stopped at its cap")


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3, 1e8])
@pytest.mark.parametrize("whole", [-1.0, 0.5, 2.0])
@pytest.mark.parametrize("name", ["gaussians", "many clusters", "lines", "a far point"])
def test_nothing_is_outside_whatever_potentials_a_search_begins_at(name, whole, size, p, on_tiles, monkeypatch):
    """Drifts from large potentials are rounded by more than the potentials at the end show."""
    x, y = CLOUDS[name]
    costs = cdist(x, y) ** p
    rows, columns = linear_sum_assignment(costs)
    true = float(costs[rows, columns].mean()) ** (1 / p)
    rng = np.random.default_rng(7)
    monkeypatch.setattr(solver, "_WHOLE", whole)  # passes always, seldom, never
    monkeypatch.setattr(solver, "start", lambda clouds, *_: tuple(size * rng.normal(size=k) for k in (clouds.n, clouds.m)))
    found = wasserstein(x, y, p)
    assert found.lower <= true * (1 + 1e-12)
    assert found.upper >= true * (1 - 1e-12)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("columns", "rank"), [(1, 3), (5, 1), (7, 9), (64, 1), (100, 2), (150, 3)])
def test_extended_potentials_are_minima_over_the_columns(columns, rank, transposed, p, on_tiles):
    x, y = (points / 10 for points in CLOUDS["gaussians"])
    clouds = Clouds(x, y, p)
    costs = cdist(x[clouds.order_x], y[clouds.order_y]) ** p
    costs = costs.T if transposed else costs
    rng = np.random.default_rng(columns)
    chosen, rows, paid = rng.permutation(N)[:columns], rng.permutation(N)[:99], rng.normal(size=columns)
    least, ranked = levels.extended(clouds, rows, chosen, paid, rank, transposed=transposed)
    reduced = np.sort(costs[np.ix_(rows, chosen)] - paid, axis=1)
    np.testing.assert_allclose(least, reduced[:, 0], atol=1e-3 if p == 1 else 1e-5)  # nearly equal points, in single precision
    assert (ranked >= least).all()
    if rank == 1:
        assert (ranked == least).all()
    else:  # of groups: no pair that is cheaper is missed but for those that share one
        assert (ranked >= reduced[:, min(rank, columns) - 1] - 1e-3).all()


class Nth:
    """A function whose n-th call, and all after it, raise."""

    def __init__(self, function, n, error):
        self._function, self._left, self._error = function, n, error
        self.raised = False

    def __call__(self, *arguments, **options):
        self._left -= 1
        if self._left < 0:
            self.raised = True
            raise self._error
        return self._function(*arguments, **options)


FAILURES = {
    "no plan": (["large.solver.solve", "large.levels.solve"], InfeasibleError("no plan was found"), "no plan was found"),
    "memory": (["torch.mm"], MemoryError(), "memory ran out"),
    "memory of torch": (["torch.mm"], RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "memory ran out"),
    "memory of a GPU": (["torch.mm"], torch.cuda.OutOfMemoryError("CUDA out of memory"), "memory ran out"),
    "memory of NumPy": (["large.clouds.exact_costs"], MemoryError(), "memory ran out"),
    "memory for the clouds": (["large.solver.Clouds"], MemoryError(), "memory ran out"),
}


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("name", FAILURES)
def test_whatever_fails_ends_in_an_enclosure_with_a_reason(name, p, on_tiles, monkeypatch):
    """At the first call, and at later ones: bounds never contradict all pairs, and the more was done the closer they are."""
    x, y = CLOUDS["unequal sizes"]
    true = float(np.sqrt(squared_cost(x, y))) if p == 2 else None
    places, error, reason = FAILURES[name]
    gaps = []
    for n in (0, 1, 3, 20):
        with monkeypatch.context() as patch:
            failing = []
            for place in places:
                owner, _, function = place.rpartition(".")
                owner = torch if owner == "torch" else import_module(f"kd2m_theory.estimators.{owner}")
                failing.append(Nth(getattr(owner, function), n, error))
                patch.setattr(owner, function, failing[-1])
            found = wasserstein(x, y, p)
        assert any(each.raised for each in failing) or found.status == "optimal"
        if found.status == "capped":
            assert found.method.endswith(reason)
        if true is not None:
            assert found.lower <= true * (1 + 1e-12)
            assert true <= found.upper * (1 + 1e-12)
        assert 0 < found.lower <= found.upper < 10
        gaps.append(found.relative_gap)
    assert gaps[0] > 1e-3
    assert sorted(gaps, reverse=True) == gaps


def squared_cost(x, y):
    """Another solver: HiGHS on the linear program of equal weights."""
    n, m = len(x), len(y)
    marginals = sparse.vstack(
        (sparse.kron(sparse.eye_array(n), np.ones((1, m))), sparse.kron(np.ones((1, n)), sparse.eye_array(m)))
    )
    right = np.concatenate((np.full(n, 1 / n), np.full(m, 1 / m)))
    return linprog(cdist(x, y).ravel() ** 2, A_eq=marginals.tocsr(), b_eq=right, method="highs-ds").fun


def test_other_errors_are_not_taken_for_a_lack_of_memory(on_tiles, monkeypatch):
    monkeypatch.setattr(torch, "mm", Nth(torch.mm, 0, RuntimeError("a defect")))
    with pytest.raises(RuntimeError, match="a defect"):
        wasserstein(*CLOUDS["gaussians"], 2)


@pytest.mark.parametrize(
    ("cap", "values", "words"),
    [
        (
            "large.clouds.MOST_WORK",
            [0, N * N * 250, 3 * N * N * 250, 10 * N * N * 250],
            "passes over the pairs reached their cap",
        ),
        ("large.levels.MOST_PAIRS", [0, 2 * N, 5 * N, 8 * N, 15 * N], "pairs of the network simplex reached their cap"),
    ],
)
@pytest.mark.parametrize("name", ["gaussians", "a grid", "simplex"])
def test_caps_of_counted_work_widen_the_enclosure(name, cap, values, words, on_tiles, monkeypatch):
    x, y = CLOUDS[name]
    monkeypatch.setattr(between_clouds, "STORED", 10**9)
    true = wasserstein(x, y, 2)
    monkeypatch.setattr(between_clouds, "STORED", 0)
    owner, _, constant = cap.rpartition(".")
    for value in values:
        monkeypatch.setattr(import_module(f"kd2m_theory.estimators.{owner}"), constant, value)
        found = wasserstein(x, y, 2)
        assert found.lower <= true.upper
        assert true.lower <= found.upper
        assert found.status == "optimal" or (found.status == "capped" and "cap" in found.method)
        if not value:
            assert found.method.endswith(words)


def test_what_is_no_number_does_not_pass_for_a_bound(on_tiles, monkeypatch):
    """Potentials and masses that are NaN or infinite say nothing, and the enclosure holds."""
    x, y = CLOUDS["gaussians"]
    true = wasserstein(x, y, 2)
    emd = ot.lp.emd
    for bad in (np.nan, np.inf, -np.inf):

        def broken(*arguments, bad=bad, **options):
            plan, log = emd(*arguments, **options)
            return plan, log | {"u": log["u"] * np.where(np.arange(len(log["u"])) % 3, 1.0, bad), "v": log["v"] + bad}

        monkeypatch.setattr(ot.lp, "emd", broken)
        found = wasserstein(x, y, 2)
        assert found.lower <= true.upper
        assert true.lower <= found.upper
        assert found.lower > 0


@pytest.mark.parametrize("p", [1, 2])
@given(data=st.data())
@settings(max_examples=25)
def test_the_first_bounds_hold(p, data):
    """Independent oracle: shortest paths in whole numbers."""
    n, m, d = (data.draw(st.integers(1, 7)) for _ in range(3))
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    x, y = (rng.choice([0.0, 1.0, 1e-9, 1e-200, 0.3], size=(k, d)) * rng.uniform(-1, 1, (k, d)) for k in (n, m))
    a, b = (10.0 ** rng.uniform(-data.draw(st.sampled_from([0, 20])), 0, k) for k in (n, m))
    a, b = a / a.sum(), b / b.sum()
    true = powers(x, y, p, masses(a, n), masses(b, m))
    found = first_bounds(x, y, p, a, b, (4.0 * d) ** (p / 2))
    assert Fraction(found.lower) <= true.high
    assert true.low <= Fraction(found.upper)
    assert found.upper <= cdist(x, y).max() ** p + 1e-12


@pytest.mark.parametrize("told", ["highest", "medium"])
def test_products_are_of_float32_whatever_torch_was_told(told, on_tiles, monkeypatch):
    """With bfloat16 a product is off by more than the bound on its error; what was told holds again afterwards."""
    seen, product = set(), torch.mm
    owners = [owner for owner in (getattr(torch.backends.mkldnn, "matmul", None),) if hasattr(owner, "fp32_precision")]

    def watched(*arguments, **options):
        seen.update([owner.fp32_precision for owner in owners] or [torch.get_float32_matmul_precision()])
        return product(*arguments, **options)

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(told)
    monkeypatch.setattr(torch, "mm", watched)
    try:
        wasserstein(*CLOUDS["gaussians"], 2)
        assert torch.get_float32_matmul_precision() == told
    finally:
        torch.set_float32_matmul_precision(before)
    assert seen <= {"ieee", "highest"}
    assert seen


def test_samples_have_the_mass_of_every_cluster():
    rng = np.random.default_rng(1)
    x, y = CLOUDS["many clusters"]
    rows, columns = clusters(Clouds(x, y, 2), 40, rng)
    assert rows.shape == (len(x),)
    assert columns.shape == (len(y),)
    mass = rng.exponential(size=len(x))
    mass /= mass.sum()
    chosen, weights = stratified(rows, mass, 60, rng)
    assert len(set(chosen.tolist())) == len(chosen) < len(x)
    np.testing.assert_allclose(
        np.bincount(rows[chosen], weights, minlength=40), np.bincount(rows, mass, minlength=40), rtol=1e-12
    )


@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 5), (7, 4), (30, 41)])
def test_a_first_plan_exists(n, m):
    rng = np.random.default_rng(n)
    a, b = (rng.exponential(size=k) for k in (n, m))
    a, b = a / a.sum(), b / b.sum()
    rows, columns = first_plan(a, b)
    marginals = np.zeros((n + m, len(rows)))
    marginals[rows, range(len(rows))] = marginals[n + columns, range(len(rows))] = 1
    assert linprog(np.zeros(len(rows)), A_eq=marginals, b_eq=np.concatenate((a, b))).success


def test_pairs_along_which_nothing_can_move_are_an_error():
    half, one = np.full(2, 0.5), np.zeros(2, dtype=np.int64)
    with pytest.raises(InfeasibleError):
        solve(np.arange(2), one, np.ones(2), np.zeros(2), np.zeros(2), half, half, 1000)


@pytest.mark.parametrize("p", [1, 2])
@given(data=st.data())
def test_the_line_by_sorting_is_a_linear_program(p, data):
    n, m = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    numbers = st.integers(-3, 3).map(float)
    x, y = (np.array(data.draw(st.lists(numbers, min_size=k, max_size=k))) for k in (n, m))
    a, b = (np.array(data.draw(st.lists(st.integers(1, 4), min_size=k, max_size=k)), dtype=float) for k in (n, m))
    a, b = a / a.sum(), b / b.sum()
    costs = np.abs(x[:, None] - y) ** p
    marginals = np.vstack((np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))))
    true = linprog(costs.ravel(), A_eq=marginals, b_eq=np.concatenate((a, b)), method="highs").fun
    low, high = line_cost(x, y, a, b, p)
    assert low <= true + 1e-9
    assert true <= high + 1e-9
    assert high - low <= 1e-12 * (1 + costs.max())
    rows, columns, mass = monotone_coupling(x, y, a, b)
    np.testing.assert_allclose(np.bincount(rows, mass, n), a, atol=1e-15)
    np.testing.assert_allclose(np.bincount(columns, mass, m), b, atol=1e-15)


@pytest.mark.parametrize("p", [1, 2])
def test_a_mass_that_no_sum_sees_counts_however_far_away_it_is(p):
    x, y = np.zeros(1), np.array([0.0, 1e16, -1.0])
    b = np.array([1.0, 2.4e-20, 6.7e-18])
    low, high = line_cost(x, y, np.ones(1), b / b.sum(), p)
    assert low <= float(sum(Fraction(mass) * Fraction(place) ** p for mass, place in zip(b, np.abs(y), strict=True))) <= high


@pytest.mark.parametrize("p", [1, 2])
def test_cuts_that_fall_together_but_for_less_than_a_rounding_count(p):
    x, y = np.array([0.0, 0.5, 1e16]), np.array([0.0, 1e16])
    a, b = np.array([0.5 - 2.0**-54, 2.0**-54 * (1 + 2.0**-11), 0.5]), np.full(2, 0.5)
    low, high = line_cost(x, y, a, b, p)
    assert low <= 2.0**-67 * 1e16**p <= high  # some of the mass 2⁻⁶⁵ moves all the way


def test_one_dimension_of_many_points_needs_no_matrix():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(200_000, 1)), 0.5 + 2 * rng.normal(size=(200_000, 1))
    found = wasserstein(x, y, 2)
    order = np.sort(x[:, 0]) - np.sort(y[:, 0])
    assert found.lower <= np.sqrt(np.mean(order**2)) <= found.upper
    assert found.method == "sorting"
    assert wasserstein(x[:1000] * 1e-300, y[:1000] * 1e-300, 2).lower > 0


@pytest.mark.parametrize("points", ["line", "plane", "space"])
@pytest.mark.parametrize("p", [1, 2])
def test_what_is_too_small_beside_the_largest_is_not_taken_for_zero(points, p, request):
    """Points that differ by a part in 10^330 of the largest are apart, on the line, and off it on tiles or among few."""
    x = np.array([[0.0, 0.0], [1e300, 0.0], [0.0, 1e300]])[:, : 1 if points == "line" else 2]
    y = x + np.array([[1e-30]] + [[0.0]] * (len(x) - 1))
    if points == "space":
        request.getfixturevalue("on_tiles")
    found = wasserstein(x, y, p)
    assert found.lower <= 1e-30 * (1 if points == "line" else 2) ** 0.5 / 3 ** (1 / p) <= found.upper
    assert found.upper < 1e290


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("apart", [1e-100, 1e-160, 1e-170, 1e-300])
def test_a_square_that_is_no_number_is_no_distance_of_zero(apart, p, on_tiles):
    x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = wasserstein(x, x + np.array([[apart], [0.0], [0.0]]), p)
    assert found.lower <= apart * 2**0.5 / 3 ** (1 / p) <= found.upper
    assert wasserstein(x, x[::-1], p).upper == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("size", [2, N])
def test_a_device_that_is_not_here_is_refused_whatever_the_size(size, on_tiles):
    x, y = (points[:size] for points in CLOUDS["gaussians"])
    with pytest.raises(InputError, match="device 'cuda' cannot be used here; this machine has 'cpu'"):
        wasserstein(x, y, 2, device="cuda")
    with pytest.raises(InputError, match="device 'abacus' cannot be used here"):
        wasserstein(x, y, 2, device="abacus")
    assert wasserstein(x, y, 2, device="auto") == wasserstein(x, y, 2)


@pytest.mark.parametrize("offset", [1e7, -3e11])
def test_clouds_far_from_zero_are_as_near_each_other_as_at_zero(offset, on_tiles):
    """A translation that is exact costs nothing, and digits of an offset are none of the distance."""
    rng = np.random.default_rng(5)
    x, y = (offset + rng.integers(0, 2**20, (60, 3)) / 2**10 for _ in range(2))
    found = wasserstein(x, y, 2)
    moved = wasserstein(x - offset, y - offset, 2)
    assert found.method == "network simplex on tiles"
    assert (found.lower, found.upper) == pytest.approx((moved.lower, moved.upper), rel=1e-9)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize(("n", "dimension"), [(2000, 1), (100_000, 1), (4000, 2), (100_000, 2)])
def test_points_that_repeat_have_the_mass_of_all_their_copies(n, dimension, p):
    """A sum of so many equal weights, one by one, is off by more than the roundings of a sum of few."""
    moved = 3 * n // 10 - 2
    x, y = np.zeros((n, dimension)), np.zeros((n if dimension > 1 else 1, dimension))
    x[n - moved :, 0] = 1.0
    if dimension > 1:  # or all are on a line
        x[0, 1] = y[0, 1] = 1.0
    found = wasserstein(x, y, p)
    true = Fraction(moved, n)
    assert Fraction(found.lower) ** p <= true <= Fraction(found.upper) ** p
    assert found.relative_gap < 1e-9


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=40), min_size=1, max_size=6))
def test_sums_of_groups_are_right_to_two_roundings(groups):
    values = np.array([value for group in groups for value in group])
    number = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    found = between_clouds._sums_of_groups(values, number)
    for sum_, group in zip(found, groups, strict=True):
        assert abs(Fraction(float(sum_)) - sum(map(Fraction, group))) <= 2 * Fraction(np.spacing(sum_))


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("small", [2.0**-537, 1.22 * 2.0**-537, 1e-161, 1e-82, 1e-200])
def test_a_direction_of_small_coordinates_has_length_one(small, p):
    """Where the sample that a direction comes from sees small coordinates alone, their squares underflow."""
    n, rng = 4000, np.random.default_rng(0)
    x, y = (np.column_stack((small * rng.choice([-1, 1], n), 1e-200 * rng.standard_normal(n))) for _ in range(2))
    x[1], x[3], y[1], y[3] = (0.75, 0), (0.70, 0.1), (0.25, 0.1), (0.2, 0)
    found = wasserstein(x, y, p)
    plan = np.arange(n)
    plan[[1, 3]] = 3, 1
    cost = (np.hypot(*(x - y[plan]).T) ** p).mean() ** (1 / p)
    assert found.lower <= cost * (1 + 1e-12)
    first = first_bounds(x, y, p, np.full(n, 1 / n), np.full(n, 1 / n), 10.0)
    assert first.lower <= cost**p * (1 + 1e-12)
    assert first.lower <= first.upper


def test_clouds_far_out_whose_first_points_are_one_point_are_moved_too():
    rng = np.random.default_rng(1)
    x, y = (0.75 + 2.0**-40 * rng.integers(0, 600, (3100, 3)) for _ in range(2))
    x, y = (np.vstack((np.repeat(x[:1], 1000, axis=0), cloud)) for cloud in (x, y))
    found = wasserstein(x, y, 1)
    assert found.status == "optimal"
    assert found.relative_gap < 1e-9
