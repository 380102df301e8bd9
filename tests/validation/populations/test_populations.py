"""Populations: batches that are functions of their arguments, independent streams, names and options."""

import itertools
import math

import numpy as np
import pytest
import torch
from batches import same
from scipy import special, stats

from kd2m_theory.errors import InputError
from kd2m_theory.validation.populations.registry import NAMES, population
from kd2m_theory.validation.populations.stream import SPLITS, Stream

pytestmark = pytest.mark.usefixtures("one_thread")

LOCAL = {
    "digits": {},
    "glyphs": {"classes": 10},
    "gaussian-mixture": {"classes": 3, "image_shape": (1, 2, 3)},
    "mnist5k": {"noise": 0.2},
}


@pytest.mark.parametrize("name", LOCAL)
def test_a_batch_is_a_function_of_its_arguments(name):
    source, other = population(name, **LOCAL[name]), population(name, **LOCAL[name])
    wanted = ("train", 41, 16, 5)
    first = source.batch(*wanted)
    torch.manual_seed(12)
    for index in (0, 3, 200):
        for split in SPLITS:
            source.batch(split, index, 24, 5)
            source.batch(split, index, 16, 6)
    state = torch.random.get_rng_state()
    np_state = np.random.get_state()[1].copy()  # noqa: NPY002
    assert same(source.batch(*wanted), first)
    assert same(other.batch(*wanted), first)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], np_state)  # noqa: NPY002


@pytest.mark.parametrize("name", LOCAL)
def test_shapes_types_and_ranges(name):
    source = population(name, **LOCAL[name])
    assert source.name == name
    for split in SPLITS:
        images, labels = source.batch(split, 2, 7, 0)
        assert images.dtype == torch.float32
        assert images.shape == (7, *source.image_shape)
        assert labels.dtype == torch.int64
        assert labels.shape == (7,)
        assert 0 <= labels.min() <= labels.max() < source.classes
        assert images.isfinite().all()
        assert images.is_contiguous()
        if name != "gaussian-mixture":
            assert 0 <= images.min() <= images.max() <= 1


@pytest.mark.parametrize("name", LOCAL)
def test_streams_do_not_collide(name):
    source = population(name, **LOCAL[name])
    seeds = (0, 1, 2**32, 2**33, 2**63 - 1)  # generators that keep 32 bits of a seed take three of these for one
    drawn = [
        source.batch(split, index, 8, seed)[0].numpy().tobytes()
        for split, index, seed in itertools.product(SPLITS, (0, 1, 2, 2**20), seeds)
    ]
    if source.size("train") is None:
        drawn += [source.sample(split, 8, seed)[0].numpy().tobytes() for split in SPLITS for seed in seeds]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", -1, 8, 0),
        ("train", 0, 0, 0),
        ("train", 0, 8, -1),
        ("tarin", 0, 8, 0),
        ("train", 0.5, 8, 0),
        ("test", 0, 8, 2**63),
    ],
)
@pytest.mark.parametrize("name", ["digits", "glyphs"])
def test_arguments_that_are_refused(name, arguments):
    with pytest.raises(InputError, match=r"is -1|is 0\b|no split 'tarin'|is 0\.5|is 9223372036854775808"):
        population(name, **LOCAL[name]).batch(*arguments)


# Streams.


def test_streams_are_independent_over_seed_split_purpose_and_index():
    arguments = list(itertools.product((0, 1, 2, 77), SPLITS, ("batch", "sample", "order"), (0, 1, 2, 3)))
    drawn = torch.stack([Stream(*which).normal((4000,)) for which in arguments])
    correlations = np.corrcoef(drawn.numpy())[np.triu_indices(len(arguments), 1)] * math.sqrt(4000)
    # All pairs of 144 streams are standard normal numbers if the streams are independent: their law, and the largest.
    assert stats.kstest(correlations, "norm").pvalue > 0.01
    assert np.abs(correlations).max() < stats.norm.isf(0.005 / len(correlations))
    assert stats.kstest(drawn.flatten().numpy(), "norm").pvalue > 0.01


def test_first_numbers_of_streams_are_uniform():
    first = torch.cat([Stream(seed, "train", "batch", index).uniform(0, 1, 1) for seed in range(50) for index in range(50)])
    assert stats.kstest(first.numpy(), "uniform").pvalue > 0.01
    lagged = np.corrcoef(first[:-1].numpy(), first[1:].numpy())[0, 1]
    assert abs(lagged) < 3.3 / math.sqrt(len(first))


def test_pixel_noise_is_normal_to_what_it_says():
    noise = Stream(0, "train", "batch", 0).noise((1000, 1001))
    assert noise.shape == (1000, 1001)
    assert noise.abs().max() < 4.4
    assert abs(noise.mean()) < 4e-3
    assert abs(noise.double().var() - 1) < 6e-3
    assert stats.kstest(noise.flatten().numpy(), "norm").pvalue > 0.01
    rows = np.corrcoef(noise.numpy())[np.triu_indices(1000, 1)] * math.sqrt(1001)
    assert abs(rows.std() - 1) < 0.01
    every = special.ndtri((np.arange(2**16) + 0.5) / 2**16)
    assert abs(every.var() - 1) < 1e-4
    assert np.abs(every).max() < 4.4


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("digit", {}, r"no population 'digit'; did you mean 'digits'\?"),
        ("CIFAR-10", {}, r"did you mean 'cifar10'\?"),
        ("gaussian_mixtures", {}, "did you mean 'gaussian-mixture'"),
        ("imagenet", {}, "populations are digits, glyphs"),
        ("glyphs", {"clases": 10}, r"'glyphs' has no option 'clases'; did you mean 'classes'\?"),
        ("cifar10", {"rot": "x"}, r"'cifar10' has no option 'rot'; did you mean 'root'\?"),
    ],
)
def test_names_and_options_that_are_refused(name, options, words):
    with pytest.raises(InputError, match=words):
        population(name, **options)


def test_every_name_has_a_population():
    assert set(NAMES) == {"digits", "glyphs", "gaussian-mixture", "mnist5k", "mnist", "cifar10", "cifar100", "svhn"}
