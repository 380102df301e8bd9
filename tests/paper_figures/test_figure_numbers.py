"""The numbers of the figures against what does not come from the code that drew them."""

import itertools
from collections import Counter

import numpy as np
import ot
import pytest
from drawn_tables import table_of
from sampled import sampled
from scipy import linalg, optimize, stats
from scipy.integrate import quad
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits

from kd2m_theory.paper_figures import divergences, gaussian_approximation, transport_map
from kd2m_theory.paper_figures.line_laws import LineMixture
from kd2m_theory.paper_figures.registry import chosen
from kd2m_theory.reporting.style import look
from kd2m_theory.theory.catalogue import theorems


def density(law, x):
    return sum(w * stats.norm.pdf(x, m, s) for w, m, s in zip(law.weights, law.means, law.deviations, strict=True))


def cumulative(law, x):
    return sum(w * stats.norm.cdf(x, m, s) for w, m, s in zip(law.weights, law.means, law.deviations, strict=True))


def quantile(law, level):
    return optimize.brentq(lambda x: cumulative(law, x) - level, -50, 50, xtol=1e-13)


class TestLineMixture:
    LAW = LineMixture((0.3, 0.7), (-1.0, 2.0), (0.2, 1.5))

    def test_density_cumulative_and_quantile_are_those_of_scipy(self):
        x = np.linspace(-4, 6, 23)
        np.testing.assert_allclose(self.LAW.density(x), density(self.LAW, x), rtol=1e-12)
        np.testing.assert_allclose(self.LAW.cumulative(x), cumulative(self.LAW, x), rtol=1e-12)
        levels = np.array([1e-6, 0.2, 0.5, 0.999])
        np.testing.assert_allclose(self.LAW.quantile(levels), [quantile(self.LAW, level) for level in levels], rtol=1e-10)

    def test_far_out_the_log_density_does_not_underflow(self):
        assert np.isfinite(self.LAW.log_density(np.array([-500.0, 500.0]))).all()

    def test_a_shift_moves_the_law(self):
        x = np.linspace(-4, 6, 23)
        np.testing.assert_allclose(self.LAW.shifted(1.5).density(x + 1.5), self.LAW.density(x), rtol=1e-12)


class TestTransportMap:
    def test_the_map_pushes_one_law_to_the_other(self):
        table = table_of("transport-map")
        x, mapped = np.array(table["x"]), np.array(table["map"])
        assert (np.diff(mapped) > 0).all()
        np.testing.assert_allclose(
            cumulative(transport_map.TARGET, mapped), cumulative(transport_map.SOURCE, x), rtol=0, atol=1e-12
        )

    def test_densities_change_by_the_slope_of_the_map(self):
        table = table_of("transport-map")
        x, mapped, p, q = (np.array(table[name]) for name in ("x", "map", "density_source", "density_target"))
        # q = p / T′ as 1/T′ = dx/dT, from differences along the image: T is steep, its inverse is not.
        slope = np.diff(x) / np.diff(mapped)
        ends = np.interp(mapped, table["y"], q)
        np.testing.assert_allclose((p[1:] + p[:-1]) / 2 * slope, (ends[1:] + ends[:-1]) / 2, rtol=0, atol=0.005)

    def test_the_parts_have_equal_mass(self):
        table = table_of("transport-map")
        for law, cuts in ((transport_map.SOURCE, table["cuts_source"]), (transport_map.TARGET, table["cuts_target"])):
            for left, right in itertools.pairwise(cuts):
                mass, _ = quad(lambda x, law=law: density(law, x), left, right)
                assert mass == pytest.approx(1 / (len(cuts) + 1), abs=1e-10)

    def test_w2_is_the_integral_over_levels(self):
        levels, z = (np.arange(200_000) + 0.5) / 200_000, np.linspace(-12, 12, 200_001)
        x, y = (np.interp(levels, cumulative(law, z), z) for law in (transport_map.SOURCE, transport_map.TARGET))
        assert table_of("transport-map")["w2"] == pytest.approx(np.sqrt(((x - y) ** 2).mean()), rel=1e-5)


FORMULAS = {
    "kl": lambda p, q: p * np.log(p / q),
    "symmetric_kl": lambda p, q: 0.5 * (p * np.log(p / q) + q * np.log(q / p)),
    "total_variation": lambda p, q: 0.5 * abs(p - q),
    "squared_hellinger": lambda p, q: 0.5 * (np.sqrt(p) - np.sqrt(q)) ** 2,
}


class TestDivergences:
    @pytest.mark.parametrize("name", FORMULAS)
    @pytest.mark.parametrize("k", sampled([0, 20, 50, 90], always=[0, 50]))
    def test_values_are_those_of_adaptive_quadrature(self, name, k):
        table = table_of("divergences")
        shift = table["shifts"][k]
        student = divergences.STUDENT_LAW.shifted(shift)
        value, _ = quad(
            lambda x: FORMULAS[name](density(divergences.TEACHER_LAW, x), density(student, x)),
            -9,
            13,
            limit=400,
            points=[-1, 0, 1, shift],
        )
        assert table["values"][name][k] == pytest.approx(value, rel=1e-5)

    def test_every_integrand_is_nonnegative_and_vanishes_where_the_densities_agree(self):
        table = table_of("divergences")
        for values in table["integrands"].values():
            assert min(values) >= -1e-12
        same = divergences.integrands(*(divergences.TEACHER_LAW.log_density(np.linspace(-3, 3, 7)),) * 2)
        assert all((values == 0).all() for values in same.values())

    def test_pinsker_and_le_cam_hold_in_the_picture(self):
        kl, tv, hellinger = (
            np.array(table_of("divergences")["values"][n]) for n in ("kl", "total_variation", "squared_hellinger")
        )
        assert (tv <= np.sqrt(kl / 2) + 1e-9).all()
        assert (hellinger <= tv + 1e-9).all()
        assert (tv <= np.sqrt(hellinger * (2 - hellinger)) + 1e-9).all()


class TestGaussianApproximation:
    def test_distances_are_those_of_pot_and_of_the_closed_form(self):
        table = table_of("gaussian-approximation")
        x, y = (np.array(table[name]["points"]) for name in ("teacher", "student"))
        assert table["w2"] == pytest.approx(np.sqrt(ot.emd2([], [], ot.dist(x, y))), rel=1e-9)
        covariances = np.cov(x.T, bias=True), np.cov(y.T, bias=True)
        half = linalg.sqrtm(covariances[0])
        bures = np.trace(covariances[0] + covariances[1] - 2 * linalg.sqrtm(half @ covariances[1] @ half).real)
        assert table["gaussian_w2"] ** 2 == pytest.approx(((x.mean(0) - y.mean(0)) ** 2).sum() + bures, rel=1e-9)
        assert table["gaussian_w2"] < table["w2"]

    def test_the_ellipses_have_the_stated_mahalanobis_radius(self):
        described = table_of("gaussian-approximation")["student"]
        points = np.array(described["points"])
        outline = gaussian_approximation.ellipse(np.array(described["mean"]), np.array(described["covariance"]), 2.0)
        precision = np.linalg.inv(np.cov(points.T, bias=True))
        centred = outline - points.mean(axis=0)
        np.testing.assert_allclose(np.einsum("ij,jk,ik->i", centred, precision, centred), 4.0, rtol=1e-9)


class TestCouplings:
    @pytest.mark.parametrize("plan", ["plan", "plan_by_class"])
    def test_both_plans_have_uniform_marginals(self, plan):
        table = table_of("couplings")
        n = len(table["labels"])
        rows, columns, mass = np.array(table[plan]).T
        for side in (rows, columns):
            np.testing.assert_allclose(np.bincount(side.astype(int), mass, n), 1 / n, rtol=1e-12)

    def test_the_conditional_plan_never_changes_class_and_the_other_does(self):
        table = table_of("couplings")
        labels = np.array(table["labels"])
        crossing = {
            plan: sum(mass for i, j, mass in table[plan] if labels[i] != labels[j]) for plan in ("plan", "plan_by_class")
        }
        assert crossing["plan_by_class"] == 0
        assert crossing["plan"] == pytest.approx(table["crossing"])
        assert crossing["plan"] > 0.2

    def test_the_plans_are_optimal_and_their_costs_are_what_the_titles_say(self):
        table = table_of("couplings")
        labels = np.array(table["labels"])
        costs = cdist(table["teacher"], table["student"], "sqeuclidean")
        best = costs[optimize.linear_sum_assignment(costs)].mean()
        within = np.where(labels[:, None] == labels, costs, 1e6)
        best_within = within[optimize.linear_sum_assignment(within)].mean()
        for plan, value, name in (("plan", best, "w2"), ("plan_by_class", best_within, "cw2")):
            assert sum(mass * costs[int(i), int(j)] for i, j, mass in table[plan]) == pytest.approx(value, rel=1e-9)
            assert table[name] ** 2 == pytest.approx(value, rel=1e-9)


class TestPowerTransform:
    def test_two_classes_are_transformed_as_the_formula_says(self):
        table = table_of("power-transform")
        p = np.array(table["p"])
        assert (p[0], p[-1]) == (0, 1)
        inner = (p > 1e-6) & (p < 1 - 1e-6)
        for gamma, mapped, weight in zip(table["gammas"], table["transformed"], table["weight"], strict=True):
            total = p**gamma + (1 - p) ** gamma
            np.testing.assert_allclose(np.array(mapped)[inner], (p**gamma / total)[inner], rtol=1e-9)
            np.testing.assert_allclose(np.array(weight)[inner], total[inner], rtol=1e-9)
            assert (np.array(weight) >= 1 - 1e-12).all()
            assert max(weight) == pytest.approx(2 ** (1 - gamma), rel=1e-12)

    def test_three_classes_stay_on_the_simplex_and_keep_their_order(self):
        table = table_of("power-transform")
        before, after = np.array(table["simplex"]), np.array(table["simplex_transformed"])
        powers = before ** table["simplex_gamma"]
        np.testing.assert_allclose(after, powers / powers.sum(axis=1, keepdims=True), rtol=1e-9)
        np.testing.assert_allclose(before.sum(axis=1), 1, rtol=1e-12)
        assert (before.argmax(axis=1) == after.argmax(axis=1)).all()


class TestFramework:
    def test_the_images_are_real_digits_and_the_marked_one_has_its_label(self):
        table = table_of("framework")
        pixels, labels = load_digits(return_X_y=True)
        for k, image in enumerate(table["images"]):
            (found,) = np.flatnonzero((np.abs(pixels / 16 - np.ravel(image)) < 1e-7).all(axis=1))
            if k == table["example"]:
                assert labels[found] == table["label"]

    def test_the_weights_are_those_of_the_encoder(self):
        convolution, linear = 4 * 9 + 4, 64 * 64 + 64
        assert table_of("framework")["parameters"]["student"] == convolution + linear

    def test_predictions_are_probabilities_and_kl_is_theirs(self):
        table = table_of("framework")
        p, q = (np.array(table["probabilities"][name]) for name in ("teacher", "student"))
        assert p.sum() == pytest.approx(1)
        assert q.sum() == pytest.approx(1)
        assert table["kl"] == pytest.approx(stats.entropy(p, q), rel=1e-9)

    def test_the_distances_are_at_least_those_of_what_is_drawn(self):
        """A projection moves no two clouds apart; a plan that keeps to classes costs no less than any."""
        table = table_of("framework")
        x, y = (np.array(table["features"][name]) for name in ("teacher", "student"))
        assert len(x) == len(y) == table["batch"]
        assert 0 < np.sqrt(ot.emd2([], [], ot.dist(x, y))) <= table["w2"] <= table["cw2"]

    def test_the_axes_are_principal(self):
        table = table_of("framework")
        both = np.vstack([table["features"]["teacher"], table["features"]["student"]])
        covariance = np.cov(both.T)
        assert covariance[0, 0] > covariance[1, 1]
        assert abs(covariance[0, 1]) < 1e-9 * covariance[0, 0]


class TestSharpness:
    @pytest.mark.long
    def test_every_form_and_hypothesis_of_the_catalogue_is_there(self):
        table = table_of("sharpness")
        assert [one["name"] for one in table["theorems"]] == [theorem.name for theorem in theorems()]
        for one, theorem in zip(table["theorems"], theorems(), strict=True):
            assert [form["name"] for form in one["forms"]] == [form.name for form in theorem.forms]
            assert [h["name"] for h in one["hypotheses"]] == [h.name for h in theorem.hypotheses]

    def test_witnesses_hold_and_counterexamples_violate(self):
        for one, theorem in zip(table_of("sharpness")["theorems"], theorems(), strict=True):
            for form, drawn in zip(theorem.forms, one["forms"], strict=True):
                assert form.witness.reaches <= drawn["witness"] <= 1 + 1e-9
            for drawn in one["hypotheses"]:
                assert drawn["ratio"] is None or drawn["ratio"] >= 1.05

    def test_upper_bounds_on_positive_gaps_are_used_as_the_quotient_says(self):
        compared = 0
        for one, theorem in zip(table_of("sharpness")["theorems"], theorems(), strict=True):
            for form, drawn in zip(theorem.forms, one["forms"], strict=True):
                sides = form.sides(form.witness.make())
                if sides.lower is None and sides.gap > 0:
                    compared += 1
                    assert drawn["witness"] == pytest.approx(float(sides.gap / sides.upper), rel=1e-9)
        assert compared > 30

    def test_each_of_them_has_its_mark_in_the_picture(self):
        (figure,) = chosen(["sharpness"])
        table = table_of("sharpness")
        picture = figure.picture(table)
        with look():
            lines = [line for axes in picture.axes for line in axes.lines]
        marks = Counter()
        for line in lines:
            marks[line.get_marker()] += len(line.get_xdata())
        forms = sum(len(one["forms"]) for one in table["theorems"])
        hypotheses = sum(len(one["hypotheses"]) for one in table["theorems"])
        assert marks["|"] == forms
        assert marks["o"] + marks[">"] == hypotheses
