"""Optimiser and schedule of a recipe; the schedule is always that of the optimiser that is trained."""

import math
from bisect import bisect_right

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from kd2m_theory.validation.training.configuration import Recipe


def optimiser(recipe: Recipe, weights: list[nn.Parameter]) -> Optimizer:
    """The optimiser that the recipe names, for these weights."""
    if recipe.optimiser == "sgd":
        return SGD(
            weights,
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
        )
    return AdamW(weights, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of a step.

    Args:
        recipe: with the schedule.
        step: from 0 over the whole training.
        steps: of an epoch.
    """
    if recipe.schedule == "cosine":
        share = (1 + math.cos(math.pi * step / (recipe.epochs * steps))) / 2
        return recipe.final_learning_rate + (recipe.learning_rate - recipe.final_learning_rate) * share
    if recipe.schedule == "step":
        return recipe.learning_rate * recipe.decay ** bisect_right(recipe.milestones, step // steps)
    return recipe.learning_rate


def schedule(recipe: Recipe, trained: Optimizer, steps: int) -> LambdaLR:
    """The schedule, to be moved on after every step of `trained`."""
    return LambdaLR(trained, lambda step: learning_rate(recipe, step, steps) / recipe.learning_rate)
