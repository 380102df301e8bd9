"""Populations: batches that are functions of their arguments, laws that are what they say, and files as the hub has them."""

import io
import itertools
import json
import math
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import special, stats
from sklearn.datasets import load_digits

from kd2m_theory.errors import InputError, MissingDependencyError
from kd2m_theory.validation.populations import atlas, hub
from kd2m_theory.validation.populations.affine import Affine, warp
from kd2m_theory.validation.populations.digits import DigitsPopulation
from kd2m_theory.validation.populations.population import stratified
from kd2m_theory.validation.populations.registry import NAMES, population
from kd2m_theory.validation.populations.stream import SPLITS, Stream

LOCAL = {
    "digits": {},
    "glyphs": {"classes": 10},
    "gaussian-mixture": {"classes": 3, "image_shape": (1, 2, 3)},
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


# What holds for all of them.


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


# Finite sources.


def test_an_epoch_is_a_permutation_and_the_next_another():
    source = population("digits", rotation=0, scale=(1, 1), shift=0)
    size = 50
    steps = source.steps("train", size)
    assert steps == source.size("train") // size
    everything, _ = source.everything("train")
    place = {image.numpy().tobytes(): i for i, image in enumerate(everything)}
    epochs = []
    for epoch in range(2):
        images = torch.cat([source.batch("train", epoch * steps + step, size, 9)[0] for step in range(steps)])
        seen = [place[image.numpy().tobytes()] for image in images]
        assert len(set(seen)) == steps * size
        epochs.append(seen)
    assert epochs[0] != epochs[1]
    assert set(epochs[0]) != set(epochs[1])  # the left over images differ


def test_digits_are_split_by_class_and_nothing_is_lost():
    source = population("digits")
    counts = [torch.bincount(source.everything(split)[1]) for split in SPLITS]
    total = sum(counts)
    for count, share in zip(counts, (0.5, 0.2, 0.3), strict=True):
        assert (count - share * total).abs().max() <= 1
    pixels = load_digits()
    images = torch.cat([source.everything(split)[0] for split in SPLITS]).reshape(1797, -1) * 16
    labels = torch.cat([source.everything(split)[1] for split in SPLITS])
    kept = np.column_stack((images.numpy(), labels.numpy()))
    original = np.column_stack((pixels.data, pixels.target))
    assert np.array_equal(np.unique(kept, axis=0), np.unique(original, axis=0))
    assert np.array_equal(np.sort(kept.sum(1)), np.sort(original.sum(1)))


def test_the_split_has_its_own_seed():
    first, again, other = (DigitsPopulation(split_seed=seed).everything("test") for seed in (0, 0, 1))
    assert same(first, again)
    assert not same(first, other)


def test_train_alone_is_augmented():
    source, bare = population("digits"), population("digits", rotation=0, scale=(1, 1), shift=0)
    for split in SPLITS:
        (images, labels), (plain, the_same) = (each.batch(split, 3, 32, 0) for each in (source, bare))
        assert torch.equal(labels, the_same)
        assert torch.equal(images, plain) == (split != "train")
    again = source.batch("train", 3 + source.steps("train", 32), 32, 0)[0]
    assert not torch.equal(again, source.batch("train", 3, 32, 0)[0])
    everything = source.everything("train")[0]
    everything.zero_()  # a copy: the source is not changed by its user
    assert source.everything("train")[0].sum() > 0


def test_finite_and_unlimited_sources_say_which_they_are():
    with pytest.raises(InputError, match=r"digits has 898 train images and no more; ask for everything\(split\)"):
        population("digits").sample("train", 5, 0)
    with pytest.raises(InputError, match="the batch size 1000 exceeds the 898 train images of digits"):
        population("digits").batch("train", 0, 1000, 0)
    glyphs = population("glyphs", classes=10)
    with pytest.raises(InputError, match=r"glyphs has no last image; ask for sample\(split, count, seed\)"):
        glyphs.everything("test")
    assert glyphs.size("train") is None
    assert glyphs.steps("train", 8) is None


def test_stratified_rounds_without_loss():
    labels = torch.tensor([0] * 7 + [1] * 3 + [2])
    parts = stratified(labels, {"train": 0.9, "validation": 0.1}, 0)
    assert sorted(torch.cat(list(parts.values())).tolist()) == list(range(11))
    assert torch.bincount(labels[parts["train"]]).tolist() == [6, 3, 1]


def test_missing_scikit_learn_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingDependencyError, match="scikit-learn"):
        population("digits")


# Affine maps.


def test_warp_is_the_affine_grid_of_torch():
    maps, _ = Affine(40, 0.3, (0.7, 1.4), 0.2).draw(6, Stream(0, "train", "batch", 0))
    images = torch.rand(6, 2, 9, 12, generator=torch.Generator().manual_seed(0))
    grid = torch.nn.functional.affine_grid(maps, [6, 2, 5, 7], align_corners=False)
    expected = torch.nn.functional.grid_sample(images, grid, align_corners=False)
    torch.testing.assert_close(warp(images, maps, (5, 7)), expected)


def test_maps_turn_shift_and_scale():
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 4, 7] = 1  # three right of the centre
    turn = Affine(90, 0, (1, 1), 0)
    maps, magnification = turn.draw(500, Stream(0, "train", "batch", 0))
    assert torch.allclose(magnification, torch.ones(500))
    angles = torch.rad2deg(torch.atan2(maps[:, 0, 1], maps[:, 0, 0]))
    assert stats.kstest(angles.numpy(), "uniform", (-90, 180)).pvalue > 0.01
    turned = warp(image.expand(500, -1, -1, -1), maps, (9, 9))
    y, x = torch.meshgrid(torch.arange(9.0) - 4, torch.arange(9.0) - 4, indexing="ij")
    centre = torch.stack([(turned[:, 0] * axis).sum((1, 2)) for axis in (x, y)]) / turned.sum((1, 2, 3))
    assert (centre.norm(dim=0) - 3).abs().max() < 0.3
    inside = Affine(0, 0.5, (0.5, 2.0), 0.1).draw(500, Stream(0, "train", "batch", 0))
    determinants = 1 / torch.linalg.det(inside[0][:, :, :2])
    torch.testing.assert_close(inside[1], determinants.sqrt())
    assert 0.5 <= inside[1].min() < 0.7 < 1.5 < inside[1].max() <= 2
    shifts = torch.linalg.solve(inside[0][:, :, :2], -inside[0][:, :, 2])
    assert 0.19 < shifts.abs().max() <= 0.2 + 1e-6  # a tenth of the side, which is 2 long


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rotation": -1}, "rotation is -1"),
        ({"shift": math.nan}, "shift is nan"),
        ({"scale": (0, 1)}, r"scale is \(0, 1\)"),
        ({"scale": (1.2, 1)}, r"scale is \(1\.2, 1\)"),
        ({"scale": 1.1}, r"scale is 1\.1; give smallest and largest"),
        ({"scale": [1, "x"]}, "scale is"),
        ({"split_seed": -3}, "split_seed is -3"),
    ],
)
def test_options_of_digits_that_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        population("digits", **options)


# Glyphs.


@pytest.fixture(scope="module")
def glyphs():
    return population("glyphs", classes=62)


def test_labels_fonts_and_classes_are_uniform(glyphs):
    _, labels = glyphs.sample("train", 20_000, 0)
    assert stats.chisquare(torch.bincount(labels, minlength=62).numpy()).pvalue > 0.01
    assert not torch.equal(labels[:1000], glyphs.sample("test", 1000, 0)[1])
    pairs = torch.stack([glyphs.batch(split, 0, 20_000, 0)[1] % 2 for split in ("train", "test")])
    assert abs(np.corrcoef(pairs.numpy())[0, 1]) < 3.3 / math.sqrt(20_000)


def test_a_shorter_sample_begins_a_longer_one(glyphs):
    long, short = glyphs.sample("validation", 1100, 4), glyphs.sample("validation", 30, 4)
    assert same([part[:30] for part in long], short)
    assert len(long[0]) == 1100
    assert len({image.numpy().tobytes() for image in long[0]}) == 1100


def test_the_atlas_has_every_character_whole_and_no_two_alike():
    cells = atlas.atlas(62)
    ink = cells > 0
    assert cells.shape == (62, len(atlas.FONTS), atlas.SIDE, atlas.SIDE)
    assert not ink[..., 0, :].any()
    assert not ink[..., -1, :].any()
    assert not ink[..., :, 0].any()
    assert not ink[..., :, -1].any()
    for f, font in enumerate(atlas.FONTS):
        assert len({cells[c, f].numpy().tobytes() for c in range(62)}) == 62, font
        areas = ink[:, f].float().mean((1, 2))
        assert areas.min() > 0.01, font
        heights = {c: int(ink[atlas.CHARACTERS.index(c), f].any(1).sum()) for c in "Xxp"}
        assert heights["x"] < 0.85 * heights["X"]  # one type size for all
        assert (
            ink[atlas.CHARACTERS.index("p"), f].any(1).nonzero().max()
            > ink[atlas.CHARACTERS.index("x"), f].any(1).nonzero().max() + 3
        )  # one baseline
    assert len({cells[10, f].numpy().tobytes() for f in range(len(atlas.FONTS))}) == len(atlas.FONTS)


def test_the_atlas_holds_distances():
    cells = atlas.atlas(10) * atlas.SIDE
    slopes = torch.stack((cells[..., 2:, 1:-1] - cells[..., :-2, 1:-1], cells[..., 1:-1, 2:] - cells[..., 1:-1, :-2])) / 2
    lengths = slopes.norm(dim=0)
    assert lengths.max() < 1.1  # a distance is 1-Lipschitz, and has slope 1 away from ridges
    assert 0.95 < lengths.flatten().median() < 1.05


def plain(**changes):
    still = {"rotation": 0, "shear": 0, "shift": 0, "stroke": 0, "contrast": 1, "noise": 0}
    return population("glyphs", classes=10, **still | changes)


def test_strokes_contrast_and_noise_act_as_named():
    sharp, labels = plain().batch("train", 0, 400, 0)
    lightest, darkest = sharp.amax((1, 2, 3)), sharp.amin((1, 2, 3))
    assert (lightest > 0.6).all()
    assert (darkest < 0.4).all()
    inverted = sharp[:, 0, 0, 0] > 0.5
    assert abs(inverted.float().mean() - 0.5) < 1.65 / 20
    ink = torch.where(inverted, 1 - sharp.mean((1, 2, 3)), sharp.mean((1, 2, 3)))

    thick, the_same = plain(stroke=0.02).batch("train", 0, 400, 0)
    assert torch.equal(labels, the_same)
    thick_ink = torch.where(inverted, 1 - thick.mean((1, 2, 3)), thick.mean((1, 2, 3)))
    ratios = thick_ink / ink
    assert ratios.min() < 0.8  # eroded
    assert ratios.max() > 1.3  # dilated

    grey, _ = plain(contrast=0.3).batch("train", 0, 400, 0)
    spread = grey.amax((1, 2, 3)) - grey.amin((1, 2, 3))
    assert 0.2 < spread.min() < 0.4
    assert spread.max() > 0.9

    noisy, _ = plain(noise=0.2, contrast=0.2).batch("train", 0, 400, 0)
    middle, _ = plain(contrast=0.2).batch("train", 0, 400, 0)
    free = ((middle > 0.35) & (middle < 0.65)).flatten(1)  # hardly ever clipped
    deviations = torch.stack([(noisy - middle).flatten(1)[i][free[i]].std() for i in range(400) if free[i].sum() > 300])
    assert len(deviations) > 50
    assert deviations.min() < 0.04
    assert 0.16 < deviations.max() < 0.22


def test_a_simple_reader_tells_the_digits_apart():
    source = population("glyphs", classes=10, side=16)
    train, labels = source.sample("train", 8000, 0)
    test, truth = source.sample("test", 500, 0)

    def normalised(images):
        flat = images.flatten(1) - images.flatten(1).mean(1, keepdim=True)
        flat = flat / flat.norm(dim=1, keepdim=True)
        # Light on dark like dark on light: the frame is paper.
        frame = torch.ones(16, 16, dtype=torch.bool)
        frame[2:-2, 2:-2] = False
        return flat * torch.where(flat[:, frame.flatten()].mean(1, keepdim=True) > 0, -1.0, 1.0)

    nearest = (normalised(test) @ normalised(train).T).argmax(1)
    assert (labels[nearest] == truth).float().mean() > 0.7


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": 9}, "classes is 9; give a whole number from 10 to 62"),
        ({"classes": 63}, "classes is 63"),
        ({"side": 128}, "side is 128"),
        ({"stroke": 0.1}, r"stroke is 0\.1; choose a number from 0 to 0\.02"),
        ({"contrast": 1.5}, r"contrast is 1\.5"),
        ({"noise": -0.1}, r"noise is -0\.1"),
        ({"noise": math.nan}, "noise is nan"),
        ({"shear": 2}, "shear is 2"),
    ],
)
def test_options_of_glyphs_that_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        population("glyphs", **options)


def test_a_missing_font_is_named(monkeypatch):
    monkeypatch.setattr(atlas, "FONTS", ("NoSuchFont",))
    atlas.atlas.cache_clear()
    with pytest.raises(InputError, match=r"NoSuchFont\.ttf is missing; reinstall it"):
        population("glyphs", classes=11)
    atlas.atlas.cache_clear()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_makes_the_same_images_but_for_the_noise():
    source = plain(rotation=15, shear=0.2, shift=0.1, stroke=0.01, contrast=0.4)
    (images, labels), (there, the_same) = (source.batch("train", 3, 64, 1, device) for device in ("cpu", "cuda"))
    assert torch.equal(labels, the_same.cpu())
    torch.testing.assert_close(there.cpu(), images, rtol=0, atol=1e-3)
    noisy = population("glyphs", classes=10)
    assert same(noisy.batch("train", 3, 64, 1, "cuda"), noisy.batch("train", 3, 64, 1, "cuda"))


# Gaussian mixtures.


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


# The hub's data sets.

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
datasets = pytest.importorskip("datasets")

LAYOUT = {
    "cifar10": ("plain_text", "img", ("label",), 10),
    "cifar100": ("cifar100", "img", ("fine_label", "coarse_label"), 100),
    "svhn": ("cropped_digits", "image", ("label",), 10),
}


def encoded(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write(folder, name, counts=None, side=32, spoilt=None, metadata=True, shards=1):
    """Small files as the hub has them: PNG bytes in a struct, class labels, and the features in the schema's metadata."""
    configuration, image, columns, classes = LAYOUT[name]
    pixels, labels = {}, {}
    place = folder / configuration
    place.mkdir(parents=True, exist_ok=True)
    for split, count in (counts or {"train": 2 * classes, "test": classes}).items():
        generator = np.random.default_rng(count)
        pixels[split] = generator.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
        labels[split] = generator.permutation(np.arange(count) % classes)
        rows = [{"bytes": encoded(each), "path": None} for each in pixels[split]]
        if spoilt is not None:
            rows[spoilt]["bytes"] = b"\x89PNG no picture"
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        table = pa.table({image: pa.array(rows, kind)} | {column: pa.array(labels[split]) for column in columns})
        if metadata:
            features = datasets.Features(
                {image: datasets.Image(), **{c: datasets.ClassLabel(names=[str(k) for k in range(classes)]) for c in columns}}
            )
            table = table.cast(features.arrow_schema)
        for shard in range(shards):
            part = table.slice(shard * count // shards, (shard + 1) * count // shards - shard * count // shards)
            pq.write_table(part, place / f"{split}-{shard:05d}-of-{shards:05d}.parquet")
    return pixels, labels


@pytest.mark.parametrize("name", LAYOUT)
@pytest.mark.parametrize("metadata", [True, False])
def test_the_hubs_files_are_read_as_they_are(name, metadata, tmp_path):
    pixels, labels = write(tmp_path, name, metadata=metadata, shards=2 if metadata else 1)
    write(tmp_path / "other", name, {"extra": 5})
    source = population(name, root=tmp_path, validation=0)
    assert (source.name, source.classes, source.image_shape) == (name, LAYOUT[name][3], (3, 32, 32))
    for split in ("train", "test"):
        images, found = source.everything(split)
        assert np.array_equal(found, labels[split])
        mean, deviation = (np.array(v, dtype=np.float32) for v in (source.source.mean, source.source.deviation))
        back = images.permute(0, 2, 3, 1).numpy() * deviation + mean
        np.testing.assert_allclose(back * 255, pixels[split], atol=1e-3)
    with pytest.raises(InputError, match="has no validation images"):
        source.everything("validation")


def test_crops_and_mirror_images_are_of_the_image(tmp_path):
    pixels, _ = write(tmp_path, "cifar10", {"train": 30, "test": 10})
    source = population("cifar10", root=tmp_path, validation=0)
    bare = population("cifar10", root=str(tmp_path), validation=0, crop=False, flip=False)
    padded = np.pad(pixels["train"], ((0, 0), (4, 4), (4, 4), (0, 0)))
    where = {image.tobytes(): i for i, image in enumerate(pixels["train"])}
    mean, deviation = (torch.tensor(v)[:, None, None] for v in (source.source.mean, source.source.deviation))
    found = set()
    for index in range(9):
        images, originals = (
            ((each.batch("train", index, 10, 2)[0] * deviation + mean) * 255).round().byte().permute(0, 2, 3, 1).numpy()
            for each in (source, bare)
        )
        for image, original in zip(images, originals, strict=True):
            whole = padded[where[original.tobytes()]]
            matches = [
                (top, left, mirrored)
                for top, left in itertools.product(range(9), repeat=2)
                for mirrored in (False, True)
                if np.array_equal(whole[top : top + 32, left : left + 32][:, :: -1 if mirrored else 1], image)
            ]
            assert len(matches) == 1
            found.update(matches)
    assert {top for top, _, _ in found} == {left for _, left, _ in found} == set(range(9))
    assert {mirrored for _, _, mirrored in found} == {False, True}
    flips = {name: population(name, root=tmp_path / name, validation=0).flip for name in LAYOUT if write(tmp_path / name, name)}
    assert flips == {"cifar10": True, "cifar100": True, "svhn": False}


def test_validation_is_set_aside_from_train_by_class(tmp_path):
    write(tmp_path, "svhn", {"train": 100, "test": 20})
    source = population("svhn", root=tmp_path, validation=0.2)
    assert [source.size(split) for split in SPLITS] == [80, 20, 20]
    assert torch.bincount(source.everything("validation")[1]).tolist() == [2] * 10
    train = {image.numpy().tobytes() for image in source.everything("train")[0]}
    assert not train & {image.numpy().tobytes() for image in source.everything("validation")[0]}


def test_nothing_is_written_for_a_local_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    write(tmp_path / "data", "cifar10")
    before = sorted((tmp_path / "data").rglob("*"))
    bars = datasets.are_progress_bars_disabled()
    population("cifar10", root=tmp_path / "data")
    assert sorted((tmp_path / "data").rglob("*")) == before
    assert not list((tmp_path / "cache").rglob("*.arrow"))
    assert datasets.are_progress_bars_disabled() == bars


@pytest.fixture
def offline(monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.mark.usefixtures("offline")
def test_offline_from_the_cache(tmp_path, monkeypatch):
    pixels, labels = write(tmp_path / "data", "cifar10")
    cache = tmp_path / "cache"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(cache))
    files = {split: str(next((tmp_path / "data").rglob(f"{split}-*"))) for split in ("train", "test")}
    datasets.load_dataset("parquet", data_files=files)
    # The library keeps what it took from the hub in the same form under the repository's name.
    (made,) = (path.parent for path in cache.rglob("dataset_info.json"))
    place = cache / "uoft-cs___cifar10" / "plain_text" / "0.0.0" / made.name
    place.parent.mkdir(parents=True)
    made.rename(place)
    for file in place.glob("parquet-*"):
        file.rename(place / file.name.replace("parquet-", "cifar10-"))
    info = place / "dataset_info.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"dataset_name": "cifar10", "config_name": "plain_text"}))
    source = population("cifar10", validation=0)
    assert np.array_equal(source.everything("test")[1], labels["test"])
    assert source.size("train") == len(pixels["train"])


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", LAYOUT)
def test_missing_data_are_named_with_the_command_that_fetches_them(name, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path))
    command = rf"hf download {hub.SOURCES[name].repository} --repo-type dataset --include '{LAYOUT[name][0]}/\*' --local-dir"
    with pytest.raises(InputError, match=rf"{name} is neither .* run: {command} data/{name} and set root") as refused:
        population(name)
    assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match=rf"no train-\*\.parquet of {name} under .*; fetch it with: {command} {tmp_path}"):
        population(name, root=tmp_path)
    with pytest.raises(InputError, match="under /no/such/folder"):
        population(name, root="/no/such/folder")


def test_online_the_library_is_asked_for_the_hubs_names(monkeypatch):
    asked = []

    def load_dataset(path, name, split):
        asked.append((path, name, split))
        rows = [{"bytes": encoded(np.full((32, 32, 3), k, dtype=np.uint8)), "path": None} for k in range(20)]
        features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
        return datasets.Dataset.from_dict({"image": rows, "label": [k % 10 for k in range(20)]}, features)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert population("svhn").size("test") == 20
    assert asked == [("ufldl-stanford/svhn", "cropped_digits", split) for split in ("train", "test")]


def test_files_that_are_not_these_data(tmp_path):
    write(tmp_path / "a", "cifar10")
    with pytest.raises(InputError, match=r"no train-\*\.parquet of cifar100"):
        population("cifar100", root=tmp_path / "a")
    with pytest.raises(InputError, match=r"have columns img, label; expected img or image, and fine_label"):
        population("cifar100", root=tmp_path / "a" / "plain_text")
    write(tmp_path / "b", "cifar10", side=28)
    with pytest.raises(InputError, match="image 0 of the train split of cifar10 is no picture of 32 × 32 pixels"):
        population("cifar10", root=tmp_path / "b")
    write(tmp_path / "c", "cifar10", spoilt=3)
    with pytest.raises(InputError, match="image 3 of the train split of cifar10 is no picture"):
        population("cifar10", root=tmp_path / "c")
    write(tmp_path / "d", "cifar10", metadata=False)
    table = pq.read_table(next((tmp_path / "d").rglob("train-*")))
    pq.write_table(table.set_column(1, "label", pa.array(np.full(len(table), 10))), next((tmp_path / "d").rglob("train-*")))
    with pytest.raises(InputError, match="labels of cifar10 go from 10 to 10, not 0 to 9"):
        population("cifar10", root=tmp_path / "d")
    write(tmp_path / "e", "cifar10")
    next((tmp_path / "e").rglob("train-*")).write_bytes(b"PAR1 half a file")
    with pytest.raises(InputError, match=r"train-00000-of-00001\.parquet cannot be read as parquet; fetch the files again"):
        population("cifar10", root=tmp_path / "e")
    with pytest.raises(InputError, match="flip is 'no'; choose true or false"):
        population("cifar10", root=tmp_path / "a", flip="no")
    with pytest.raises(InputError, match=r"validation is 0\.9"):
        population("cifar10", root=tmp_path / "a", validation=0.9)


def test_missing_datasets_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingDependencyError, match="pip install datasets"):
        population("cifar10")


# Names.


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
    assert set(NAMES) == {"digits", "glyphs", "gaussian-mixture", *LAYOUT}
