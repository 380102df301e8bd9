"""Cases of a test that run every time, and those that run with `make long`."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def name_of(case: Any) -> str:
    return getattr(case, "name", case)


def sampled(
    cases: Iterable[Any],
    *,
    always: Iterable[str] | None = None,
    later: Iterable[str] = (),
    name: Callable[[Any], str] = name_of,
) -> list[Any]:
    """The cases; those not named in always, or named in later, are long. Each name has to be one of a case."""
    cases = list(cases)
    names = [name(case) for case in cases]
    later = set(names).difference(always) if always is not None else set(later)
    unknown = (set(always or ()) | later).difference(names)
    assert not unknown, f"no case is called {unknown}"
    parts = [case if isinstance(case, tuple) else (case,) for case in cases]  # of several names at once
    return [
        pytest.param(*part, marks=pytest.mark.long if name(case) in later else ())
        for part, case in zip(parts, cases, strict=True)
    ]
