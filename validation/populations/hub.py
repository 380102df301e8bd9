"""MNIST, CIFAR-10, CIFAR-100 and SVHN in the parquet layout of the Hugging Face hub, through the `datasets` library.

Online the library fetches and caches them; without a network, or with HF_HUB_OFFLINE=1, it takes them from its cache; `root`
names a folder with the parquet files, and then nothing is looked up or cached. Images are decoded once, into memory.
"""

import io
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kd2m_theory.checks import whole
from kd2m_theory.errors import InputError, require
from kd2m_theory.parquet_files import check_parquet
from kd2m_theory.validation.populations.population import FinitePopulation, stratified
from kd2m_theory.validation.populations.stream import Stream

_PADDING = 4
_IMAGE_COLUMNS = ("img", "image")


@dataclass(frozen=True)
class Source:
    """A data set on the hub.

    Attributes:
        repository: on huggingface.co/datasets.
        configuration: the folder that holds its parquet files.
        labels: the column with the classes.
        classes: K.
        mean: of each channel over the training images, of values in [0, 1]; one number for grey images, three for colours.
        deviation: standard deviation of each channel.
        flip: whether a mirror image is one of the same class.
        side: height and width in pixels.
    """

    repository: str
    configuration: str
    labels: str
    classes: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    flip: bool
    side: int = 32

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return len(self.mean), self.side, self.side

    def fetch(self, folder: Path | str) -> str:
        """The command that fetches the files to a folder."""
        return f"hf download {self.repository} --repo-type dataset --include '{self.configuration}/*' --local-dir {folder}"


SOURCES = {
    "mnist": Source(
        repository="ylecun/mnist",
        configuration="mnist",
        labels="label",
        classes=10,
        mean=(0.1307,),
        deviation=(0.3081,),
        flip=False,
        side=28,
    ),
    "cifar10": Source(
        repository="uoft-cs/cifar10",
        configuration="plain_text",
        labels="label",
        classes=10,
        mean=(0.4914, 0.4822, 0.4465),
        deviation=(0.2470, 0.2435, 0.2616),
        flip=True,
    ),
    "cifar100": Source(
        repository="uoft-cs/cifar100",
        configuration="cifar100",
        labels="fine_label",
        classes=100,
        mean=(0.5071, 0.4865, 0.4409),
        deviation=(0.2673, 0.2564, 0.2762),
        flip=True,
    ),
    "svhn": Source(
        repository="ufldl-stanford/svhn",
        configuration="cropped_digits",
        labels="label",
        classes=10,
        mean=(0.4377, 0.4438, 0.4728),
        deviation=(0.1980, 0.2010, 0.1970),
        flip=False,
    ),
}


class HubPopulation(FinitePopulation):
    """A data set of the hub, 3 × 32 × 32 (MNIST: 1 × 28 × 28), each channel less its mean and over its standard deviation.

    Training batches are padded by 4 black pixels, cropped at random, and mirrored with probability ½ where that keeps the
    class. The hub's test split is the test split; a share of every class of its train split is set aside for validation.

    Args:
        name: "mnist", "cifar10", "cifar100" or "svhn".
        root: folder with the parquet files, as `hf download` lays them out; None asks the `datasets` library.
        validation: share of the training images, 0 … 0.5, for validation.
        split_seed: deals them out.
        crop: whether training images are cropped at random.
        flip: whether they are mirrored at random; None: where it keeps the class (not SVHN or MNIST).

    Raises:
        MissingDependencyError: `datasets` is not installed.
        InputError: the data are not there (the message has the command that fetches them) or are not these data.
    """

    def __init__(
        self,
        name: str,
        root: str | Path | None = None,
        validation: float = 0.1,
        split_seed: int = 0,
        crop: bool = True,
        flip: bool | None = None,
    ) -> None:
        if not isinstance(validation, int | float) or not 0 <= validation <= 0.5:
            raise InputError(f"validation is {validation!r}; choose a share from 0 to 0.5 of the training images")
        whole(split_seed, "split_seed", 0)
        for option, value in (("crop", crop), ("flip", flip)):
            if value not in (True, False, None):
                raise InputError(f"{option} is {value!r}; choose true or false")
        self.name, self.source = name, SOURCES[name]
        self.classes, self.image_shape = self.source.classes, self.source.image_shape
        self.crop, self.flip = crop, self.source.flip if flip is None else flip
        images, labels = _load(name, self.source, "train", root)
        chosen = stratified(labels, {"train": 1.0 - validation, "validation": validation}, split_seed)
        splits = {split: (images[indices], labels[indices]) for split, indices in chosen.items()}
        super().__init__({**splits, "test": _load(name, self.source, "test", root)})

    def augmented(self, images: Tensor, stream: Stream) -> Tensor:
        """Random crops and mirror images."""
        count, device = len(images), images.device
        shifts = stream.integers((2 * _PADDING + 1) ** 2, count)
        mirrored = stream.integers(2, count).bool()
        if self.crop:
            images = functional.pad(images, (_PADDING,) * 4)
        else:
            shifts = torch.zeros_like(shifts)
        across = torch.arange(self.source.side)
        rows = (shifts // (2 * _PADDING + 1))[:, None] + across
        columns = (shifts % (2 * _PADDING + 1))[:, None] + across
        if self.flip:
            columns = torch.where(mirrored[:, None], columns.flip(1), columns)
        rows, columns = rows.to(device), columns.to(device)
        each = torch.arange(count, device=device)[:, None, None]
        return images[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()

    def finished(self, images: Tensor) -> Tensor:
        """uint8 → normalised float32."""
        mean, deviation = (
            torch.tensor(values, device=images.device)[:, None, None] for values in (self.source.mean, self.source.deviation)
        )
        return (images.float() / 255 - mean) / deviation


def _load(name: str, source: Source, split: str, root: str | Path | None) -> tuple[Tensor, Tensor]:
    """uint8 images and labels of a split of the hub's."""
    require(name, "datasets")
    import datasets

    if root is None:
        try:
            table = datasets.load_dataset(source.repository, source.configuration, split=split)
        except Exception as error:  # the library raises many kinds, some of them of libraries below it
            reason = " ".join(str(error).split())
            raise InputError(
                f"{name} is neither in the cache of datasets nor can it be fetched ({type(error).__name__}: {reason}); "
                f"run: {source.fetch(f'data/{name}')} and set root = 'data/{name}'"
            ) from error
        return _decoded(name, source, split, table)
    files = [str(path) for path in sorted(Path(root).rglob(f"{split}-*.parquet")) if _belongs(path, source, Path(root))]
    if not files:
        raise InputError(f"there is no {split}-*.parquet of {name} under {root}; fetch it with: {source.fetch(root)}")
    for each in files:
        check_parquet(Path(each), f"{each} cannot be read as parquet; fetch the files again with: {source.fetch(root)}")
        _check_rows_and_columns(each, source.fetch(root))
    bars = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            try:
                table = datasets.load_dataset("parquet", data_files={split: files}, split=split, cache_dir=scratch)
            except Exception as error:
                raise InputError(
                    f"{', '.join(files)} cannot be read as parquet; fetch the files again with: {source.fetch(root)}"
                ) from error
            return _decoded(name, source, split, table)
    finally:
        if bars:
            datasets.enable_progress_bars()


def _belongs(path: Path, source: Source, root: Path) -> bool:
    """Whether a parquet file is of this configuration: in its folder, or in no folder but the root or the usual `data`."""
    return path.parent in (root, root / "data") or path.parent.name == source.configuration


def _decoded(name: str, source: Source, split: str, table: Any) -> tuple[Tensor, Tensor]:
    import pyarrow
    from PIL import Image

    column = next((each for each in _IMAGE_COLUMNS if each in table.column_names), None)
    if column is None or source.labels not in table.column_names:
        raise InputError(
            f"the {split} files of {name} have columns {', '.join(table.column_names)}; "
            f"expected {' or '.join(_IMAGE_COLUMNS)}, and {source.labels}: are these {source.repository}?"
        )
    if not pyarrow.types.is_integer(table.data.schema.field(source.labels).type):
        raise InputError(f"{source.labels} of the {split} files of {name} is not a column of whole numbers; fetch them again")
    held = table.with_format("arrow")[source.labels][:]
    if held.null_count:
        raise InputError(f"{source.labels} of the {split} files of {name} has rows without a value; fetch them again")
    labels = torch.tensor(held.to_numpy(), dtype=torch.int64)
    if len(labels) == 0:
        raise InputError(f"the {split} files of {name} are empty; fetch them again")
    if not 0 <= int(labels.min()) <= int(labels.max()) < source.classes:
        raise InputError(f"labels of {name} go from {labels.min()} to {labels.max()}, not 0 to {source.classes - 1}")
    side, channels = source.side, len(source.mean)
    mode = "L" if channels == 1 else "RGB"
    images = np.empty((len(labels), side, side, channels), dtype=np.uint8)
    row = 0
    for batch in table.with_format("arrow").iter(1024):  # Arrow rows hold the encoded bytes
        for cell in batch[column]:
            try:
                picture = _opened(cell)
                if picture.size != (side, side):  # before its pixels are unpacked
                    raise ValueError(f"it has {picture.width} × {picture.height}")
                if picture.mode != mode:  # a conversion would cut 16 bits off, or a transparent background
                    raise ValueError(f"its pixels are of the kind {picture.mode}, not {mode}")
                images[row] = np.asarray(picture).reshape(side, side, channels)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                raise InputError(
                    f"image {row} of the {split} split of {name} is not a picture of {side} × {side} pixels ({error}); "
                    "fetch the files again"
                ) from None
            row += 1
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), labels


def _opened(cell: Any) -> Any:
    """The picture in a cell, not yet unpacked.

    Raises:
        ValueError: it has none.
        OSError: a damaged one.
    """
    from PIL import Image, UnidentifiedImageError

    value = cell.as_py()
    if value is None:
        raise ValueError("it has no value")
    content = value.get("bytes") if isinstance(value, Mapping) else None
    if not isinstance(content, bytes):
        raise ValueError("it has no bytes of a picture file")
    try:
        return Image.open(io.BytesIO(content))
    except UnidentifiedImageError:
        raise ValueError("its bytes are not those of a picture") from None


def _check_rows_and_columns(file: str, fetch: str) -> None:
    """Refuse what the library datasets has no words for: a file without rows, or with two columns of one name.

    Raises:
        InputError: such a file.
    """
    import pyarrow.parquet

    names = pyarrow.parquet.read_schema(file).names
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{file} has two columns {twice}; fetch the files again with: {fetch}")
    if not pyarrow.parquet.read_metadata(file).num_rows:
        raise InputError(f"{file} is empty; fetch the files again with: {fetch}")
