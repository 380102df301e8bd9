"""Training batches of one epoch after another, each a function of seed and number, shared out over processes."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from kd2m_theory.errors import InputError
from kd2m_theory.validation.populations.population import Population
from kd2m_theory.validation.training.configuration import Recipe
from kd2m_theory.validation.training.processes import Processes


def seen_by(recipe: Recipe, population: Population) -> Population:
    """The population with no more training images than the recipe lets its network see.

    Raises:
        InputError: it has no such number of images of every class.
    """
    return population if recipe.images_per_class is None else population.with_fewer(recipe.images_per_class)


def steps_an_epoch(population: Population, recipe: Recipe) -> int:
    """Batches in an epoch.

    Raises:
        InputError: an unlimited population and a recipe without `steps`, or a batch larger than the training split; fewer
            images of a class than the recipe asks for.
    """
    filled = seen_by(recipe, population).steps("train", recipe.batch)
    if recipe.steps is None and filled is None:
        raise InputError(f"{population.name} has no last training image; say steps = how many batches make an epoch")
    return recipe.steps if recipe.steps is not None else filled  # type: ignore[return-value]  # one of them is a number


class Batches:
    """What a trainer iterates over once per epoch.

    Every process makes the whole batch and keeps its part: the images of a run do not depend on how many processes share it.

    Args:
        population: gives them.
        recipe: says how many.
        seed: of their order.
        device: where they are made.
        processes: that share them.
        epoch: tells the present one, from 0.

    Raises:
        InputError: see `steps_an_epoch`; or a batch that the processes cannot share equally.
    """

    def __init__(
        self,
        population: Population,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        processes: Processes,
        epoch: Callable[[], int],
    ) -> None:
        if recipe.batch % processes.count:
            raise InputError(
                f"a batch of {recipe.batch} images cannot be shared by {processes.count} processes; choose a multiple"
            )
        self.population = seen_by(recipe, population)
        self.batch, self.seed, self.device = recipe.batch, seed, device
        self.steps = steps_an_epoch(population, recipe)
        self.processes, self.epoch = processes, epoch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        first = self.epoch() * self.steps
        share = self.batch // self.processes.count
        mine = slice(self.processes.rank * share, (self.processes.rank + 1) * share)
        for index in range(first, first + self.steps):
            images, labels = self.population.batch("train", index, self.batch, self.seed, self.device)
            yield images[mine], labels[mine]
