"""Whether a distance sees more than the first few digits of its clouds."""

from collections.abc import Callable
from typing import Any

from kd2m_theory.errors import FOREIGN
from kd2m_theory.estimators.axiom_search import AxiomResult, Options, name_of, one_line

PAIRS = 12

# A function of ranks or counts does not change with the digits either, but takes few values.
_SEEN = """
def kept(cloud, digits):
    fraction, exponent = np.frexp(cloud)
    return np.ldexp(np.round(fraction * 2.0**digits) / 2.0**digits, exponent).astype(cloud.dtype)
def pair(seed):
    draws = np.random.default_rng(seed)
    return [draws.uniform(1.0, 4.0, size=({points}, {dimension})).astype({dtype!r}) for _ in "xy"]
def changed_by_rounding(digits):
    pairs = [pair(seed) for seed in range({seed}, {seed} + {pairs})]
    values = [d(x, y) for x, y in pairs]
    changed = sum(value != d(kept(x, digits), kept(y, digits)) for value, (x, y) in zip(values, pairs))
    return changed if len(set(values)) > {pairs} / 2 else {pairs}
"""
_DIGITS = {"float16": 11, "bfloat16": 8}  # binary


def precision(distance: Callable[..., Any], prelude: str, options: Options) -> AxiomResult:
    """Whether rounding all coordinates to the digits of float16 or bfloat16 changes the value of some pair of clouds.

    Args:
        distance: the callable.
        prelude: code that defines `d`.
        options: size, dimension, dtype and seed of the clouds, and whether there are labels.
    """
    labels = f"np.arange({options.points[1]}) % 2" if options.labels else "None"
    code = f"from copy import deepcopy\nimport numpy as np\nlabels = {labels}\n"
    code += f"# distance = {name_of(distance)}, the callable under test\n{prelude}"
    code += _SEEN.format(
        points=options.points[1], dimension=options.dimension[1], dtype=options.dtypes[0], seed=options.seed, pairs=PAIRS
    )
    names: dict[str, Any] = {"distance": distance}
    found: dict[str, Any] = {"name": "precision", "statement": "changed_by_rounding(11) > 0", "examples": PAIRS}
    try:
        exec(code, names)
        for digits in _DIGITS.values():
            if not names["changed_by_rounding"](digits):
                statement = f"changed_by_rounding({digits}) > 0"
                return AxiomResult(
                    **found | {"statement": statement},
                    passed=False,
                    measured=((f"changed_by_rounding({digits})", 0.0),),
                    counterexample=f"{code}\nassert {statement}",
                )
    except FOREIGN as error:  # the other axioms say what is wrong with a callable that raises
        return AxiomResult(**found | {"examples": 0}, passed=None, error=one_line(error))
    return AxiomResult(**found, passed=True)
