"""The suites by name."""

from importlib import import_module

from kd2m_theory.checks import did_you_mean
from kd2m_theory.errors import InputError
from kd2m_theory.validation.evidence.suite import Suite

NAMES = ("rows", "transport", "segments", "files", "coverage", "labels", "sizes")


def suites(only: str | None = None) -> tuple[Suite, ...]:
    """All suites, or one.

    Raises:
        InputError: there is none of that name.
    """
    if only is not None and only not in NAMES:
        raise InputError(f"there is no suite {only!r}; {did_you_mean(only, NAMES)}suites are {', '.join(NAMES)}")
    chosen = NAMES if only is None else (only,)
    return tuple(import_module(f"kd2m_theory.validation.evidence.{name}").SUITE for name in chosen)
