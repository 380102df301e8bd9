"""What every source of labelled images can do: counter-based batches, and either all of a split or fresh samples of it.

batch(split, index, size, seed, device) is a pure function of its arguments: a resumed run sees the same data, and so does
another process. The law of a population is fixed by its options; `seed` only says which draw from it.
"""

import copy
import hashlib
import math
from abc import ABC, abstractmethod
from functools import cached_property

import torch
from torch import Tensor

from kd2m_theory.checks import whole
from kd2m_theory.errors import InputError
from kd2m_theory.validation.populations.stream import SPLITS, Split, Stream, check_split

Device = torch.device | str

_CHUNK = 1024  # of `sample`: its images are made so many at a time, whatever their number


class Population(ABC):
    """A source of labelled images in three splits.

    Attributes:
        name: in the registry.
        classes: K; labels are 0 … K − 1.
        image_shape: channels, height, width.
    """

    name: str
    classes: int
    image_shape: tuple[int, int, int]

    @property
    def content(self) -> str | None:
        """Digest of the images and labels that it was given; None where it makes them itself, from its options and the code."""
        return None

    @abstractmethod
    def size(self, split: Split) -> int | None:
        """Images in the split; None where it is unlimited."""

    @abstractmethod
    def batch(self, split: Split, index: int, size: int, seed: int, device: Device = "cpu") -> tuple[Tensor, Tensor]:
        """Batch number `index`: images float32 size × C × H × W, labels int64 size, on the device.

        Raises:
            InputError: no such split, a negative index or seed, or a size that the split cannot fill.
        """

    def steps(self, split: Split, size: int) -> int | None:
        """Batches in an epoch; None where the split is unlimited.

        Raises:
            InputError: no such split, or fewer images than `size`.
        """
        count = self.size(split)
        return None if count is None else count // whole(size, "the batch size", 1)

    def everything(self, split: Split, device: Device = "cpu") -> tuple[Tensor, Tensor]:
        """All images and labels of a finite split, in a fixed order, never augmented.

        Raises:
            InputError: the split is unlimited or empty.
        """
        check_split(split)
        raise InputError(f"{self.name} has no last image; ask for sample(split, count, seed)")

    def sample(self, split: Split, count: int, seed: int, device: Device = "cpu") -> tuple[Tensor, Tensor]:
        """`count` fresh images and labels of an unlimited split, that no batch has; a shorter sample begins a longer one.

        Raises:
            InputError: the split is finite.
        """
        check_split(split)
        raise InputError(f"{self.name} has {self.size(split)} {split} images and no more; ask for everything(split)")

    def with_fewer(self, per_class: int) -> "Population":
        """The same with `per_class` training images of each class, always the same ones; other splits are left as they are.

        Raises:
            InputError: the split is unlimited, or a class has fewer.
        """
        raise InputError(
            f"{self.name} has no last training image, so no share of them can be taken; leave out images_per_class"
        )


class UnlimitedPopulation(Population):
    """Fresh, independent images without limit; classes are equally likely. The splits are disjoint streams of one law."""

    def size(self, split: Split) -> None:
        """None."""
        check_split(split)

    @abstractmethod
    def images(self, labels: Tensor, stream: Stream, device: Device) -> Tensor:
        """An image for each label, independent given the labels, float32 on the device; randomness is the stream's alone."""

    def batch(self, split: Split, index: int, size: int, seed: int, device: Device = "cpu") -> tuple[Tensor, Tensor]:
        """See `Population.batch`."""
        check_split(split)
        return self._draw(Stream(seed, split, "batch", index), whole(size, "the batch size", 1), device)

    def sample(self, split: Split, count: int, seed: int, device: Device = "cpu") -> tuple[Tensor, Tensor]:
        """See `Population.sample`."""
        check_split(split)
        chunks = math.ceil(whole(count, "the number of images", 1) / _CHUNK)
        drawn = [self._draw(Stream(seed, split, "sample", index), _CHUNK, device) for index in range(chunks)]
        images, labels = (torch.cat(parts)[:count] for parts in zip(*drawn, strict=True))
        return images, labels

    def _draw(self, stream: Stream, size: int, device: Device) -> tuple[Tensor, Tensor]:
        labels = stream.integers(self.classes, size)
        return self.images(labels, stream, device), labels.to(device)


class FinitePopulation(Population):
    """Images held in memory. An epoch is a permutation, drawn for each, of which n mod size images are left over.

    With steps = n // size, batch t is batch t mod steps of epoch t // steps. All batches have the same size, so that shares of
    them over processes are equal and no batch is too small for a distance.

    A subclass sets `name`, `classes` and `image_shape`, which networks and messages ask for.

    Args:
        splits: images (uint8 or float32, n × C × H × W) and labels (int64, n) of each split, "train", "validation" and "test";
            a split may be empty.
    """

    def __init__(self, splits: dict[Split, tuple[Tensor, Tensor]]) -> None:
        self._splits = splits
        self._on_device: dict[tuple[Split, torch.device], tuple[Tensor, Tensor]] = {}
        self._order: tuple[tuple[Split, int, int], Tensor] | None = None

    @cached_property
    def content(self) -> str:
        """See `Population.content`; the same on every machine."""
        digest = hashlib.sha256()
        for split in SPLITS:
            for values in self._splits[split]:
                digest.update(f"{split} {values.dtype} {tuple(values.shape)}".encode())
                digest.update(values.contiguous().numpy().data)
        return digest.hexdigest()[:16]

    def size(self, split: Split) -> int:
        """Images in the split."""
        check_split(split)
        return len(self._splits[split][1])

    def steps(self, split: Split, size: int) -> int:
        """See `Population.steps`."""
        steps = self.size(split) // whole(size, "the batch size", 1)
        if steps == 0:
            raise InputError(
                f"the batch size {size} exceeds the {self.size(split)} {split} images of {self.name}; choose a smaller one"
            )
        return steps

    def augmented(self, images: Tensor, stream: Stream) -> Tensor:
        """Images as training sees them: a random change of each that leaves its class. As stored unless overridden."""
        return images

    def finished(self, images: Tensor) -> Tensor:
        """Stored values → what a network gets, float32. As stored unless overridden."""
        return images

    def batch(self, split: Split, index: int, size: int, seed: int, device: Device = "cpu") -> tuple[Tensor, Tensor]:
        """See `Population.batch`; the train split is augmented."""
        steps = self.steps(split, size)
        epoch, step = divmod(whole(index, "index", 0), steps)
        images, labels = self._there(split, torch.device(device))
        chosen = self._permutation(split, seed, epoch)[step * size : (step + 1) * size].to(device)
        images = images[chosen]
        if split == "train":
            images = self.augmented(images, Stream(seed, split, "batch", index))
        return self.finished(images), labels[chosen]

    def everything(self, split: Split, device: Device = "cpu") -> tuple[Tensor, Tensor]:
        """See `Population.everything`."""
        if self.size(split) == 0:
            raise InputError(f"{self.name} has no {split} images; choose its splits so that there are some")
        images, labels = self._there(split, torch.device(device))
        return self.finished(images).clone(), labels.clone()

    def with_fewer(self, per_class: int) -> "FinitePopulation":
        """See `Population.with_fewer`."""
        images, labels = self._splits["train"]
        order = Stream(0, "train", "split", 1).permutation(len(labels))
        parts = [order[labels[order] == label][: whole(per_class, "images_per_class", 1)] for label in range(self.classes)]
        fewest, label = min((len(part), label) for label, part in enumerate(parts))
        if fewest < per_class:
            raise InputError(
                f"images_per_class is {per_class}, and {self.name} has {fewest} training images of class {label}; "
                f"choose at most {fewest}"
            )
        chosen = torch.cat(parts).sort().values
        made = copy.copy(self)
        made.__dict__.pop("content", None)  # of all images
        FinitePopulation.__init__(made, {**self._splits, "train": (images[chosen], labels[chosen])})
        return made

    def _there(self, split: Split, device: torch.device) -> tuple[Tensor, Tensor]:
        if (split, device) not in self._on_device:
            images, labels = self._splits[split]
            self._on_device[split, device] = images.to(device), labels.to(device)
        return self._on_device[split, device]

    def _permutation(self, split: Split, seed: int, epoch: int) -> Tensor:
        """Order of the samples in an epoch; the last one is kept, since its batches are asked for one after the other."""
        what = (split, seed, epoch)
        kept = self._order
        if kept is None or kept[0] != what:
            kept = self._order = what, Stream(seed, split, "order", epoch).permutation(self.size(split))
        return kept[1]


def stratified(labels: Tensor, shares: dict[Split, float], seed: int) -> dict[Split, Tensor]:
    """Indices of each split: every class is dealt out by its shares in an order drawn from `seed`.

    Args:
        labels: n classes.
        shares: fraction of every split, adding up to 1; counts are rounded so that nothing is lost.
        seed: of the deal.
    """
    order = Stream(seed, "train", "split", 0).permutation(len(labels))
    parts: dict[Split, list[Tensor]] = {split: [] for split in shares}
    for label in labels.unique():
        members = order[labels[order] == label]
        start, reached = 0, 0.0
        for split, share in shares.items():
            reached += share
            end = round(reached * len(members))
            parts[split].append(members[start:end])
            start = end
    return {split: torch.cat(indices).sort().values for split, indices in parts.items()}


__all__ = ["SPLITS", "Device", "FinitePopulation", "Population", "Split", "Stream", "UnlimitedPopulation", "stratified"]
