"""Gaussian mixtures: moments, posterior and Bayes risk against densities and closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from kd2m_theory.errors import InputError
from kd2m_theory.validation.populations.registry import population

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("covariance", ["common", "by-class"])
def test_moments_are_those_of_the_law(covariance):
    source = population("gaussian-mixture", classes=3, image_shape=(1, 2, 2), covariance=covariance, law_seed=4)
    images, labels = source.sample("test", 60_000, 1)
    for label in range(3):
        flat = images[labels == label].flatten(1).double()
        expected = source.factors[label] @ source.factors[label].T
        errors = (flat.mean(0) - source.means[label]) / (expected.diag() / len(flat)).sqrt()
        assert errors.abs().max() < 4
        torch.testing.assert_close(flat.T.cov(), expected, rtol=0, atol=0.08)
        eigenvalues = torch.linalg.eigvalsh(expected)
        assert 0.5 <= eigenvalues.min() <= eigenvalues.max() <= 2
    assert torch.equal(source.factors[0], source.factors[1]) == (covariance == "common")


@pytest.mark.parametrize("covariance", ["common", "by-class"])
def test_the_posterior_is_that_of_the_densities(covariance):
    source = population("gaussian-mixture", classes=4, image_shape=(1, 1, 3), covariance=covariance)
    images, _ = source.sample("train", 20, 0)
    flat = images.flatten(1).double().numpy()
    densities = np.stack(
        [
            stats.multivariate_normal(mean.numpy(), (factor @ factor.T).numpy()).pdf(flat)
            for mean, factor in zip(source.means, source.factors, strict=True)
        ],
        axis=1,
    )
    np.testing.assert_allclose(source.log_posterior(images).exp(), densities / densities.sum(1, keepdims=True), atol=1e-10)


def test_two_classes_in_closed_form_agree_with_counting():
    source = population("gaussian-mixture", classes=2, image_shape=(1, 1, 5), separation=0.8, law_seed=2)
    known = source.bayes_risk()
    difference = (source.means[0] - source.means[1]).numpy()
    covariance = (source.factors[0] @ source.factors[0].T).numpy()
    distance = math.sqrt(difference @ np.linalg.solve(covariance, difference))
    assert known.error.value == pytest.approx(stats.norm.sf(distance / 2), rel=1e-12)
    images, labels = source.sample("test", 100_000, 3)
    log_p = source.log_posterior(images)
    wrong = (log_p.argmax(1) != labels).double().mean().item()
    assert abs(wrong - known.error.value) < 4 * math.sqrt(known.error.value / 100_000)
    surprise = -log_p[torch.arange(len(labels)), labels]
    assert abs(surprise.mean() - known.cross_entropy.value) < 4 * surprise.std() / math.sqrt(100_000)
    assert known.cross_entropy.upper - known.cross_entropy.lower < 1e-9
    assert known.cross_entropy.lower <= known.cross_entropy.value <= known.cross_entropy.upper


def test_monte_carlo_covers_the_closed_form(monkeypatch):
    source = population("gaussian-mixture", classes=2, image_shape=(1, 1, 5), separation=0.8, law_seed=2)
    known = source.bayes_risk()
    source.covariance = "by-class"  # the same law, and the closed form is no longer taken
    estimate = source.bayes_risk(draws=40_000)
    for exact, interval in ((known.error, estimate.error), (known.cross_entropy, estimate.cross_entropy)):
        assert interval.lower <= exact.value <= interval.upper
        assert interval.upper - interval.lower < 0.02
        assert interval.guaranteed
        assert interval.level == 0.999


def test_bayes_risk_at_its_ends():
    same_means = population("gaussian-mixture", classes=2, separation=0).bayes_risk()
    assert same_means.error.value == 0.5
    assert same_means.cross_entropy.value == pytest.approx(math.log(2), abs=1e-12)
    far = population("gaussian-mixture", classes=2, separation=30).bayes_risk()
    assert 0 <= far.error.value < 1e-100
    assert 0 <= far.cross_entropy.value < 1e-100
    many = population("gaussian-mixture", classes=4, separation=0).bayes_risk(draws=2000)
    assert many.error.value == pytest.approx(0.75)
    assert many.cross_entropy.value == pytest.approx(math.log(4))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": 1}, "classes is 1"),
        ({"image_shape": (3, 3)}, r"image_shape is \(3, 3\)"),
        ({"image_shape": 5}, "image_shape is 5"),
        ({"image_shape": (1, 1, 0)}, "a side in image_shape is 0"),
        ({"image_shape": (3, 64, 64)}, "has 12288 numbers"),
        ({"separation": -1}, "separation is -1"),
        ({"separation": math.inf}, "separation is inf"),
        ({"covariance": "diagonal"}, "covariance is 'diagonal'"),
    ],
)
def test_options_of_mixtures_that_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        population("gaussian-mixture", **options)


def test_images_of_another_size_have_no_posterior():
    with pytest.raises(InputError, match="have 4 numbers each, those of this mixture 16"):
        population("gaussian-mixture").log_posterior(torch.zeros(2, 1, 2, 2))
