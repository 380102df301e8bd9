"""What `check_metric` found, in sentences that can be read aloud."""

import math
from collections.abc import Sequence
from typing import Any

from kd2m_theory.estimators.axiom_search import AxiomResult
from kd2m_theory.words import number

_FAULTS = {
    "finite": "It has no finite value: for {x} and {y} it is {left}.",
    "non_negativity": "It is negative: for {x} and {y} it is {right}.",
    "identity": "It is not 0 between equal clouds: from {x} to itself it is {left}.",
    "permutation": "It depends on the order of the points: for {x} and {y} it is {right}, and {left} when the same points come "
    "in another order.",
    "repeatability": "It does not repeat: for {x} and {y} it is first {left}, then {right}.",
    "purity": "It writes into its arguments when it is called with {x} and {y}.",
    "precision": "It sees only the first digits of its clouds, as after a cast to half precision: rounding all coordinates to "
    "the digits of {half} changes no value.",
    "dtype": "float32 and float64 disagree: for {x} and {y} it is {left} in float32 and {right} in float64.",
    "array_type": "Tensors and arrays disagree: for {x} and {y} it is {left} with tensors and {right} with arrays.",
    "symmetry": "It is not symmetric: from {x} to {y} it is {left}, and back it is {right}.",
    "triangle": "The triangle inequality fails: from {x} to {z} it is {left}, and by way of {y} only {right}. A squared "
    'distance does that; if yours is one, say expect="squared".',
    "scaling": "It does not scale: when {x} and {y} are multiplied by {c}, it is {left}, and should be {right}.",
    "translation": "It changes when both clouds move together: for {x} and {y} it is {right}, and {left} when {shift} is added "
    "to every point.",
    "separation": "It does not tell different clouds apart: for {x} and {y} it is {left}.",
    "batch": "The pairs of a batch are not independent: {x} and {y} alone give {right}, and in a batch of two {left}.",
    "ignored_labels": "Points with the label -100 count: for {x} and {y} it is {right}, and {left} with one such point more in "
    "each.",
    "gradient": "Its gradient is wrong: near {x} and {y} the slope in one direction is {left} by automatic differentiation and "
    "{right} by finite differences.",
    "gradient_finite": "Its gradient is not finite at {x} and {y}.",
    "gradient_at_equal_clouds": "Its gradients do not cancel at equal clouds: it is 0 when both copies of {x} move together, "
    "and the two gradients add up to {left}.",
    "memory": "Its memory grows faster than its clouds: 4 times the points need {growth} times the memory ({megabytes} MB).",
}


def sentences(subject: str, expect: str, arrays: str, results: Sequence[AxiomResult]) -> tuple[str, ...]:
    """What was tried, and one sentence for each axiom that fails.

    Args:
        subject: the callable's name.
        expect: what it was tested as.
        arrays: "numpy" or "torch".
        results: of the axioms.
    """
    failed = [result for result in results if result.passed is False]
    tried = [result for result in results if result.passed is not None]
    given = {"numpy": "NumPy arrays", "torch": "torch tensors"}[arrays]
    first = f"{subject} as a {expect}, on {given}: {len(failed)} of {len(tried)} axioms fail"
    return (f"{first}." if failed else f"{first}; the search found nothing.", *map(_sentence, failed))


def _sentence(result: AxiomResult) -> str:
    case = dict(result.case)
    words: dict[str, str] = {name: _cloud(case[name]) for name in ("x", "y", "z") if name in case}
    if result.error:
        where = f" for {' and '.join(words.values())}" if words else ""
        return f"It fails ({result.name}){where}: {result.error.rstrip('.')}."
    values = _values([value for _, value in result.measured])
    words |= {"c": str(case.get("c")), "shift": _point(case.get("shift", [0.0]))}
    words |= {"left": values[0], "right": values[-1]} | _memory(result)
    words["half"] = "bfloat16" if "(8)" in result.statement else "float16"
    labelled = f" The labels are {_listed([str(label) for label in case['labels']])}." if "labels" in case else ""
    return _FAULTS[result.name].format(**words) + labelled


def _values(values: Sequence[float]) -> list[str]:
    """In four digits, or in as many as it takes to tell them apart."""
    for digits in (4, 8, 17):
        words = ["not a number" if math.isnan(value) else number(value, digits) for value in values]
        if len({*words}) == len(words):
            break
    return words or ["–"]


def _memory(result: AxiomResult) -> dict[str, str]:
    if result.name != "memory":
        return {}
    (_, most), (_, least) = result.measured
    return {"growth": f"{most / max(least, 1.0):.0f}", "megabytes": f"{most / 1e6:.0f}"}


def _cloud(points: Sequence[Sequence[float]]) -> str:
    noun = "the point" if len(points) == 1 else "the points"
    return f"{noun} {_listed([_point(point) for point in points])}"


def _point(point: Sequence[float]) -> str:
    numbers = [f"{value:g}" for value in point]
    return numbers[0] if len(numbers) == 1 else f"({', '.join(numbers)})"


def _listed(parts: Sequence[Any]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
