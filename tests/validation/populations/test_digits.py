"""Digits: finite splits, epochs that are permutations, and maps that turn, shift and scale."""

import math
import sys

import numpy as np
import pytest
import torch
from batches import same
from scipy import stats
from sklearn.datasets import load_digits

from kd2m_theory.errors import InputError, MissingDependencyError
from kd2m_theory.validation.populations.affine import Affine, warp
from kd2m_theory.validation.populations.digits import DigitsPopulation
from kd2m_theory.validation.populations.population import stratified
from kd2m_theory.validation.populations.registry import population
from kd2m_theory.validation.populations.stream import SPLITS, Stream

pytestmark = pytest.mark.usefixtures("one_thread")


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
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingDependencyError, match="scikit-learn"):
        population("digits")


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
