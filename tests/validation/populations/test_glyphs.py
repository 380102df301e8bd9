"""Glyphs: drawn characters whose labels, fonts and disturbances are what they are called."""

import math

import numpy as np
import pytest
import torch
from batches import same
from scipy import stats

from kd2m_theory.errors import InputError
from kd2m_theory.validation.populations import atlas
from kd2m_theory.validation.populations.registry import population

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def glyphs():
    return population("glyphs", classes=62)


@pytest.mark.long
def test_labels_fonts_and_classes_are_uniform(glyphs):
    _, labels = glyphs.sample("train", 10_000, 0)
    assert stats.chisquare(torch.bincount(labels, minlength=62).numpy()).pvalue > 0.01
    assert not torch.equal(labels[:1000], glyphs.sample("test", 1000, 0)[1])
    pairs = torch.stack([glyphs.batch(split, 0, 10_000, 0)[1] % 2 for split in ("train", "test")])
    assert abs(np.corrcoef(pairs.numpy())[0, 1]) < 3.3 / math.sqrt(10_000)


@pytest.mark.parametrize("count", [60, pytest.param(1100, marks=pytest.mark.long)])
def test_a_shorter_sample_begins_a_longer_one(count):
    glyphs = population("glyphs", classes=10)
    long, short = glyphs.sample("validation", count, 4), glyphs.sample("validation", 30, 4)
    assert same([part[:30] for part in long], short)
    assert len(long[0]) == count
    assert len({image.numpy().tobytes() for image in long[0]}) == count


@pytest.mark.parametrize("fonts", [atlas.FONTS[::6], pytest.param(atlas.FONTS, marks=pytest.mark.long)], ids=len)
def test_the_atlas_has_every_character_whole_and_no_two_alike(fonts, monkeypatch):
    monkeypatch.setattr(atlas, "FONTS", fonts)
    atlas.atlas.cache_clear()
    cells = atlas.atlas(62)
    atlas.atlas.cache_clear()
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
