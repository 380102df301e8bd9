"""Populations by name."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from kd2m_theory.checks import did_you_mean
from kd2m_theory.errors import InputError
from kd2m_theory.validation.populations.digits import DigitsPopulation
from kd2m_theory.validation.populations.gaussian_mixture import GaussianMixturePopulation
from kd2m_theory.validation.populations.glyphs import GlyphsPopulation
from kd2m_theory.validation.populations.hub import SOURCES, HubPopulation
from kd2m_theory.validation.populations.mnist5k import MNIST5kPopulation
from kd2m_theory.validation.populations.population import Population

_KINDS: dict[str, Callable[..., Population]] = {
    "digits": DigitsPopulation,
    "glyphs": GlyphsPopulation,
    "gaussian-mixture": GaussianMixturePopulation,
    "mnist5k": MNIST5kPopulation,
    **{name: partial(HubPopulation, name) for name in SOURCES},
}
NAMES = tuple(_KINDS)


def population(name: str, **options: Any) -> Population:
    """The population of that name.

    Args:
        name: one of `NAMES`.
        **options: of its class; they fix its law.

    Raises:
        InputError: an unknown name or option (the message has the nearest known one), or what the population refuses.
        MissingDependencyError: a library that it needs is not installed.

    Example:
        >>> images, labels = population("gaussian-mixture", classes=3, image_shape=(1, 1, 4)).batch("train", 0, size=5, seed=0)
        >>> tuple(images.shape), bool((labels < 3).all())
        ((5, 1, 1, 4), True)
    """
    kind = _KINDS.get(name)
    if kind is None:
        raise InputError(f"there is no population {name!r}; {did_you_mean(name, NAMES)}populations are {', '.join(NAMES)}")
    accepted = inspect.signature(kind).parameters
    for option in options:
        if option not in accepted:
            raise InputError(
                f"population {name!r} has no option {option!r}; {did_you_mean(option, accepted)}it takes {', '.join(accepted)}"
            )
    return kind(**options)
