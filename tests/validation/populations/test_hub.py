"""Data sets of the hub: its files read as they are, offline too, and named with a command where they are missing."""

import itertools
import json
import sys

import numpy as np
import pytest
import torch

from kd2m_theory.errors import InputError, MissingDependencyError
from kd2m_theory.validation.populations import hub
from kd2m_theory.validation.populations.registry import population
from kd2m_theory.validation.populations.stream import SPLITS

pytestmark = pytest.mark.usefixtures("one_thread")


pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
datasets = pytest.importorskip("datasets")

from hub_files import LAYOUT, encoded, write  # noqa: E402 - it needs the three


@pytest.mark.parametrize("name", LAYOUT)
@pytest.mark.parametrize("metadata", [True, False])
def test_the_hubs_files_are_read_as_they_are(name, metadata, tmp_path):
    pixels, labels = write(tmp_path, name, metadata=metadata, shards=2 if metadata else 1)
    write(tmp_path / "other", name, {"extra": 5})
    source = population(name, root=tmp_path, validation=0)
    shape = (1, 28, 28) if name == "mnist" else (3, 32, 32)
    assert (source.name, source.classes, source.image_shape) == (name, LAYOUT[name][3], shape)
    for split in ("train", "test"):
        images, found = source.everything(split)
        assert np.array_equal(found, labels[split])
        mean, deviation = (np.array(v, dtype=np.float32) for v in (source.source.mean, source.source.deviation))
        back = images.permute(0, 2, 3, 1).numpy() * deviation + mean
        np.testing.assert_allclose(back.reshape(pixels[split].shape) * 255, pixels[split], atol=1e-3)
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
    assert flips == {"mnist": False, "cifar10": True, "cifar100": True, "svhn": False}


def test_a_grey_image_is_cropped_within_its_border_of_four_pixels(tmp_path):
    pixels, _ = write(tmp_path, "mnist", {"train": 20, "test": 10})
    source = population("mnist", root=tmp_path, validation=0)
    mean, deviation = source.source.mean[0], source.source.deviation[0]
    images = ((source.batch("train", 0, 20, 0)[0] * deviation + mean) * 255).round().byte()[:, 0].numpy()
    padded = np.pad(pixels["train"], ((0, 0), (4, 4), (4, 4)))
    crops = {
        padded[i, top : top + 28, left : left + 28].tobytes(): (top, left)
        for i in range(20)
        for top in range(9)
        for left in range(9)
    }
    found = {crops[image.tobytes()] for image in images}
    assert len(found) > 10


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


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ({"bytes": encoded(np.full((32, 32), 7, dtype=np.uint8)), "path": None}, "of the kind L, not RGB"),
        ({"bytes": encoded(np.full((32, 32), 700, dtype=np.uint16)), "path": None}, "of the kind I;16, not RGB"),
        ({"bytes": encoded(np.full((32, 32, 4), 7, dtype=np.uint8)), "path": None}, "of the kind RGBA, not RGB"),
        ({"bytes": None, "path": "a.png"}, "it has no bytes of a picture file"),
        (None, "it has no value"),
        ({"bytes": b"no picture", "path": None}, "its bytes are not those of a picture"),
    ],
)
def test_pictures_that_a_conversion_would_change_are_refused(cell, message, tmp_path):
    """A 16-bit one would be white, and a transparent one lose its background."""
    write(tmp_path, "cifar10", metadata=False)
    file = next(tmp_path.rglob("train-*"))
    table = pq.read_table(file)
    cells = [*table["img"].to_pylist()[:-1], cell]
    pq.write_table(table.set_column(0, "img", pa.array(cells, table["img"].type)), file)
    with pytest.raises(InputError, match=f"image 19 of the train split of cifar10 .*{message}") as refused:
        population("cifar10", root=tmp_path)
    assert "0x" not in str(refused.value)


def test_files_without_rows_or_with_a_column_twice(tmp_path, capfd):
    write(tmp_path / "a", "cifar10", metadata=False)
    file = next((tmp_path / "a").rglob("train-*"))
    table = pq.read_table(file)
    pq.write_table(table[:0], file)
    with pytest.raises(InputError, match="parquet is empty; fetch the files again with"):
        population("cifar10", root=tmp_path / "a")
    pq.write_table(table.append_column("label", table["label"]), file)
    with pytest.raises(InputError, match="has two columns label; fetch the files again with"):
        population("cifar10", root=tmp_path / "a")
    assert capfd.readouterr() == ("", "")


def test_files_that_are_not_these_data(tmp_path):
    write(tmp_path / "a", "cifar10")
    with pytest.raises(InputError, match=r"no train-\*\.parquet of cifar100"):
        population("cifar100", root=tmp_path / "a")
    with pytest.raises(InputError, match=r"have columns img, label; expected img or image, and fine_label"):
        population("cifar100", root=tmp_path / "a" / "plain_text")
    write(tmp_path / "b", "cifar10", side=28)
    with pytest.raises(InputError, match="image 0 of the train split of cifar10 is not a picture of 32 × 32 pixels"):
        population("cifar10", root=tmp_path / "b")
    write(tmp_path / "c", "cifar10", spoilt=3)
    with pytest.raises(InputError, match="image 3 of the train split of cifar10 is not a picture"):
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
