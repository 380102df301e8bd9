"""F1–F7: exact probabilities of failure, and the radii that ship."""

import math

import numpy as np
import pytest

from kd2m_theory.estimators.betting import betting, betting_in_order
from kd2m_theory.estimators.intervals import clopper_pearson, empirical_bernstein, hoeffding
from kd2m_theory.estimators.kernel_distances import mmd_radius
from kd2m_theory.theory import f1_means, f2_anchored, f3_per_sample, f4_mmd, f5_transport, f6_selection, f7_labels
from kd2m_theory.theory.chance import clopper_pearson_upper, hoeffding_radius, outcomes
from kd2m_theory.theory.instance import best_plan, distances

THEOREMS = [module.THEOREM for module in (f1_means, f2_anchored, f3_per_sample, f4_mmd, f5_transport, f6_selection, f7_labels)]
FORMS = [pytest.param(form, id=form.name) for theorem in THEOREMS for form in theorem.forms]
MUTANTS = [pytest.param(t, m, id=f"{m.form}: {m.name}") for t in THEOREMS for m in t.mutants]
DROPPED = [pytest.param(t, h, id=f"{t.name}: {h.name}") for t in THEOREMS for h in t.hypotheses]


def draw_delta(rng):
    return float(rng.choice([0.05, 0.01, rng.uniform(0.001, 0.999), 1 - 10.0 ** rng.uniform(-5, -1)]))


def least_favourable(rng, limits):
    """A probability just above one of the limits, where the probability of failure jumps, or any."""
    limits = [p for p in limits if 0 < p < 1 - 1e-6]
    return float(rng.choice(limits)) + 1e-9 if limits and rng.random() < 0.7 else float(rng.uniform(0.001, 0.999))


def law(rng, *shape):
    values = rng.dirichlet(np.full(math.prod(shape), rng.choice([0.1, 1.0, 5.0])))
    return np.where(values < 1e-6, 0, values).reshape(shape) / values[values >= 1e-6].sum()


def trials(rng, form):
    delta, n = draw_delta(rng), int(rng.integers(2, 9 if form.endswith("betting") else 60))
    radius = hoeffding_radius(n, delta)
    edges = [k / n + radius for k in range(n)] if rng.random() < 0.5 else clopper_pearson_upper(np.arange(n * 1.0), n, delta)
    binary = form.endswith("clopper_pearson") or rng.random() < 0.5
    base = 0.0 if binary else rng.uniform(0, 0.9)
    return f1_means.Trials(n, least_favourable(rng, edges), delta, base, 1.0 if binary else rng.uniform(base, 1.0))


def inputs(rng, form):
    size, n, delta = int(rng.integers(2, 4)), int(rng.integers(1, 15)), draw_delta(rng)
    error = form.endswith("error")
    student, teacher = (rng.integers(0, 2, (2, size)) if error else rng.uniform(0, 1, (2, size))).astype(float)
    cost = student - teacher + (rng.random() < 0.3) * rng.uniform(0, 1, size)
    edges = (
        clopper_pearson_upper(np.arange(n * 1.0), n, delta) if error else [k / n + hoeffding_radius(n, delta) for k in range(n)]
    )
    if size == 2 and rng.random() < 0.7:
        student[:], p = (0.0, 1.0), least_favourable(rng, edges)
        cost = np.maximum(cost, student - teacher)
        return f2_anchored.Inputs(np.array([1 - p, p]), student, teacher, cost, n, delta)
    return f2_anchored.Inputs(law(rng, size), student, teacher, cost, n, delta)


def logits(rng, form):
    size, n, delta = int(rng.integers(2, 4)), int(rng.integers(1, 15)), draw_delta(rng)
    if rng.random() < 0.5:
        factor = 2 if form.endswith("any_loss") else 1
        edges = clopper_pearson_upper(np.arange(n * 1.0), n, delta)
        edges = edges if form.endswith("error") else [k / n + factor * hoeffding_radius(n, delta) for k in range(n)]
        return f3_per_sample.rare_change(least_favourable(rng, edges), n, delta)
    classes = int(rng.integers(2, 5))
    student, teacher = 10.0 ** rng.uniform(-1, 2) * rng.normal(size=(2, size, classes))
    labels = tuple(int(y) for y in rng.integers(0, classes, size))
    return f3_per_sample.Logits(law(rng, size), student, teacher, labels, n, delta, bound=10.0 ** rng.uniform(-1, 1))


def points(rng, form):
    paired, size, delta = "pairs" in form, int(rng.integers(2, 4)), draw_delta(rng)
    n, m = (int(rng.integers(1, 5 if size == 3 else 12)) for _ in range(2))
    if size == 3 and paired:
        n = min(n, 3)
    where = 10.0 ** rng.uniform(-2, 2) * rng.normal(size=(size, 2))
    gram = np.eye(size) if rng.random() < 0.5 else np.exp(-((where[:, None] - where[None]) ** 2).sum(-1))
    joint = law(rng, size, size) if paired or rng.random() < 0.5 else np.outer(law(rng, size), law(rng, size))
    return f4_mmd.Points(joint, n, n if paired else m, delta, gram, paired=paired)


def simplex(rng, form):
    paired, size, classes, delta = (
        form in ("F5.upper_pairs", "F5.classes"),
        int(rng.integers(2, 4)),
        int(rng.integers(1, 3)),
        draw_delta(rng),
    )
    n, m = (int(rng.integers(1, {4: 8, 8: 4, 9: 4, 18: 2}[classes * size**2] + 1)) for _ in range(2))
    edge = rng.uniform(0.1, 1)
    return f5_transport.Simplex(law(rng, classes, size, size), n, n if paired else m, delta, edge, paired=paired)


def choices(rng, form):
    delta, n = draw_delta(rng), int(rng.integers(1, 20))
    if form.endswith("split"):
        p = least_favourable(rng, clopper_pearson_upper(np.arange(n * 1.0), n, delta))
        return f6_selection.Split(p, int(rng.integers(1, 30)), n, int(rng.integers(1, 20)), delta)
    if form.endswith("holm"):
        outcomes, number = int(rng.integers(1, 7)), int(rng.integers(1, 5))
        weights, scores = law(rng, outcomes), rng.integers(5, size=(outcomes, number))
        p = ((scores[None] >= scores[:, None]) * weights[None, :, None]).sum(axis=1)  # P(score ≥ its own)
        true = rng.random(number) < 0.7
        return f6_selection.Tested(np.where(true, p, p * rng.random()), weights, true, delta)
    number, n = int(rng.integers(1, 4)), min(n, 8)
    return f6_selection.Claims(law(rng, number + 1), delta * law(rng, number), n, delta)


def drawings(rng, form):
    """Files of a few rows with values at their ends and between; populations of which all or a part is labelled."""
    delta, rows = draw_delta(rng), int(rng.integers(1, 5))
    draws = int(rng.integers(1, rows + 1))
    if form == "F7.population":
        p, ones = float(rng.uniform(0, 1)), np.ones(rows)
        return f7_labels.Drawing(0 * ones, ones, ones, delta, draws, p=p, part=float(rng.uniform(0.05, 0.95)))
    most = rng.choice([1.0, 1.0, 3.0], rows)
    values = most * rng.choice([0.0, 1.0, rng.random()], rows)
    return f7_labels.Drawing(values, most, rng.choice([1.0, 1.0, 10.0], rows), delta, draws)


RANDOM = {"F1": trials, "F2": inputs, "F3": logits, "F4": points, "F5": simplex, "F6": choices, "F7": drawings}


@pytest.mark.parametrize("form", FORMS)
def test_a_statement_fails_no_more_often_than_it_says(form):
    rng = np.random.default_rng(0)
    worst = max(float(form.sides(RANDOM[form.name[:2]](rng, form.name)).ratio) for _ in range(60))
    assert worst <= 1 + 1e-9


@pytest.mark.parametrize("form", FORMS)
def test_witnesses_reach_what_they_say(form):
    assert form.witness.reaches <= float(form.sides(form.witness.make()).ratio) <= 1 + 1e-9


@pytest.mark.parametrize(("theorem", "hypothesis"), DROPPED)
def test_without_a_hypothesis_it_fails_more_often(theorem, hypothesis):
    instance = hypothesis.counterexample.make()
    assert float(theorem.form(hypothesis.counterexample.form).sides(instance).ratio) >= 1.05
    assert hypothesis.check is None or not hypothesis.check(instance)
    others = (h for h in theorem.needed_by(hypothesis.counterexample.form) if h is not hypothesis)
    assert all(other.check(instance) for other in others if other.check is not None)


@pytest.mark.parametrize(("theorem", "mutant"), MUTANTS)
def test_mutants_fail_where_the_theorem_holds(theorem, mutant):
    instance = (mutant.killer or theorem.form(mutant.form).witness.make)()
    assert float(mutant.sides(instance).ratio) > 1 + 1e-9
    assert float(theorem.form(mutant.form).sides(instance).ratio) <= 1 + 1e-9


@pytest.mark.parametrize("seed", range(20))
def test_the_intervals_that_ship_are_two_limits_at_half_delta(seed):
    rng = np.random.default_rng(seed)
    n, delta, low, width = int(rng.integers(2, 300)), draw_delta(rng), rng.normal(), 10.0 ** rng.uniform(-2, 2)
    values = low + width * rng.beta(*rng.uniform(0.3, 3, 2), n)
    arguments = (values, low, low + width, delta)
    radii = {
        hoeffding: hoeffding_radius(n, delta / 2, width),
        empirical_bernstein: float(
            f1_means.bernstein_radius(n, np.array([np.var(values, ddof=1)]), delta / 2, np.array([width]))[0]
        ),
    }
    for interval, radius in radii.items():
        shipped = interval(*arguments, range_known=True)
        assert shipped.upper == pytest.approx(min(low + width, values.mean() + radius), rel=1e-9, abs=1e-9)
        assert shipped.lower == pytest.approx(max(low, values.mean() - radius), rel=1e-9, abs=1e-9)
    sharp = f1_means.sharp_bernstein_radius(n, np.array([np.var(values, ddof=1)]), delta / 2, np.array([width]))
    assert sharp[0] <= radii[empirical_bernstein] * (1 + 1e-12)
    errors = int(rng.integers(0, n + 1))
    shipped = clopper_pearson(errors, n, delta)
    assert shipped.upper == pytest.approx(float(clopper_pearson_upper(np.array([errors]), n, delta / 2)[0]), rel=1e-9)
    assert shipped.lower == pytest.approx(
        float(f6_selection.clopper_pearson_lower(np.array([errors]), n, np.array([delta / 2]))[0]), rel=1e-9
    )


@pytest.mark.parametrize("seed", range(20))
def test_the_betting_interval_that_ships_ends_where_the_bettor_wins(seed):
    rng = np.random.default_rng(seed)
    n, delta = int(rng.integers(1, 200)), draw_delta(rng)
    values = rng.beta(*rng.uniform(0.3, 3, 2), n)
    shipped = betting_in_order(values, 0, 1, delta, range_known=True)
    row = values[None]
    step = 2.0**-18
    for values_seen, end in ((row, shipped.lower), (1 - row, 1 - shipped.upper)):
        if abs(end - values_seen.mean()) < 2 * step:
            continue  # widened to hold the sample's mean
        assert not f1_means.rejects(values_seen, end + step, delta)[0]
        assert end < step or f1_means.rejects(values_seen, end - step, delta)[0]


@pytest.mark.parametrize("seed", range(20))
def test_the_order_free_interval_that_ships_ends_where_the_mixture_does(seed):
    rng = np.random.default_rng(seed)
    n, delta = int(rng.integers(1, 3000)), draw_delta(rng)
    k = int(rng.integers(0, n + 1))
    shipped = betting(np.repeat([0.0, 1.0], [n - k, k]), 0, 1, delta, range_known=True)
    x, step = f1_means.Trials(n, 0.5, delta), 2.0**-18
    for mirrored, end in ((False, shipped.lower), (True, 1 - shipped.upper)):
        count = np.array([float(k)])

        def fortune(m, count=count, mirrored=mirrored):
            return float(f1_means.fortunes(x, n, count, 1 - m if mirrored else m, mirrored=mirrored)[0])

        mean = 1 - k / n if mirrored else k / n
        if abs(end - mean) < 2 * step:
            continue  # widened to hold the sample's mean
        assert fortune(end + step) < 2 / delta
        assert end < step or fortune(end - step) >= 2 / delta


@pytest.mark.parametrize("paired", [False, True])
def test_the_mmd_radius_that_ships(paired):
    rng = np.random.default_rng(0)
    for _ in range(50):
        n = int(rng.integers(1, 1000))
        m, delta, bound = n if paired else int(rng.integers(1, 1000)), draw_delta(rng), 10.0 ** rng.uniform(-2, 2)
        mine = f4_mmd.Points(np.eye(2) / 2, n, m, delta, bound=bound, paired=paired)
        assert mmd_radius(n, m, delta, bound, paired) == pytest.approx(f4_mmd.mean_length(mine) + f4_mmd.deviation(mine))


def test_plug_in_distances_are_biased_upward():
    # Why the upper limits need no term for the mean: exact expectations, also by class.
    rng = np.random.default_rng(0)
    for _ in range(30):
        x = simplex(rng, "F5.classes")
        shape = x.joint.shape
        counts, weights = outcomes(x.n, x.joint.ravel())
        cells = counts.reshape(-1, *shape) / x.n
        by_class = x.distance(cells.sum(axis=3) - cells.sum(axis=2)).sum(axis=1)
        assert weights @ by_class >= x.distance(x.joint.sum(axis=2) - x.joint.sum(axis=1)).sum() - 1e-12
        y = points(rng, "F4.pairs")
        found, weights = y.samples()
        assert weights @ found >= y.population - 1e-12


def test_the_radius_of_one_sample_says_nothing_in_many_dimensions():
    for d in (64, 512):
        for n in (10, 10_000, 10**12):
            assert f5_transport.mean_transport(n, d, 3.0) == 3.0
            assert f5_transport.transport_radius(n, d, 3.0, 0.05) > 3.0
    assert f5_transport.transport_radius(1000, 1, 3.0, 0.05) < 0.06 * 3
    assert f5_transport.transport_radius(1000, 2, 3.0, 0.05) < 0.2 * 3


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_bound_by_cells_holds_for_clouds(d):
    # The deterministic step of the proof: W₁ ≤ D_m + Σ_k (D_{k−1} − D_k) TV_k, and the bound on the mean by repetition.
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(d)
    for _ in range(20):
        x, y = rng.uniform(0, 1, (2, 8, d)) ** rng.uniform(0.5, 3)
        costs = distances(torch.from_numpy(x), torch.from_numpy(y))
        found = float((best_plan(costs) * costs).sum())
        for level in range(4):
            sizes = [math.sqrt(d) * 2.0**-k for k in range(level + 1)]
            bound = sizes[-1]
            for k in range(1, level + 1):
                cells = [{}, {}]
                for cell, cloud in zip(cells, (x, y), strict=True):
                    for key in map(tuple, np.floor(cloud * 2**k).astype(int)):
                        cell[key] = cell.get(key, 0) + 1 / len(cloud)
                variation = sum(abs(cells[0].get(q, 0) - cells[1].get(q, 0)) for q in {*cells[0], *cells[1]}) / 2
                bound += (sizes[k - 1] - sizes[k]) * variation
            assert found <= bound + 1e-12


def test_the_bound_on_the_mean_is_not_far_off_on_the_line():
    # Fair coins: E W₁ = D·E|k/n − ½| ~ D/√(2πn), and the bound is D/(2√n).
    n = 1000
    counts, weights = outcomes(n, np.array([0.5, 0.5]))
    mean = float(weights @ np.abs(counts[:, 0] / n - 0.5))
    assert mean <= f5_transport.mean_transport(n, 1, 1.0) <= 1.26 * mean
    assert f5_transport.dyadic_bound(n, 1, 12) > f5_transport.mean_transport(n, 1, 1.0)
