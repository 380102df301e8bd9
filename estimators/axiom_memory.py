"""How the memory of a distance grows with its clouds, measured on two sizes.

NumPy tells tracemalloc what it allocates. torch does not, so the largest tensor that a function of torch returns stands for it.
"""

from collections.abc import Callable
from typing import Any

from kd2m_theory.errors import FOREIGN
from kd2m_theory.estimators.axiom_search import AxiomResult, Options, name_of, one_line

# Linear memory grows by 4 between the two sizes, quadratic by 16.
_FEWER, _GROWTH = 4, 8

_PEAK = """
import tracemalloc
import torch
from torch.overrides import TorchFunctionMode
class Largest(TorchFunctionMode):
    bytes = 0
    def __torch_function__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {{}}))
        for each in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(each, torch.Tensor):
                self.bytes = max(self.bytes, each.numel() * each.element_size())
        return result
def peak(count):
    draws = np.random.default_rng({seed})
    clouds = [draws.normal(size=(count, {dimension})).astype({dtype!r}) for _ in "xy"]
    passed = [given(each) for each in (*clouds, *[np.arange(count) % 2] * {labels})]
    tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        with Largest() as largest:
            distance(*passed)
        return max(tracemalloc.get_traced_memory()[1] - before, largest.bytes)
    finally:
        if not tracing:
            tracemalloc.stop()
"""


def memory(distance: Callable[..., Any], prelude: str, large: int, options: Options) -> AxiomResult:
    """Whether `large` points need at most 8 times the memory of a quarter of them.

    Args:
        distance: the callable.
        prelude: code that defines `given`, which makes the callable's arguments from arrays.
        large: n of the larger clouds.
        options: dimension, dtype and seed of the clouds, and whether there are labels.
    """
    small = large // _FEWER
    names: dict[str, Any] = {"distance": distance, "labels": None}
    code = prelude + _PEAK.format(
        seed=options.seed, dimension=options.dimension[1], dtype=options.dtypes[0], labels=2 * options.labels
    )
    header = "from copy import deepcopy\nimport numpy as np\n"
    test = f"peak({large}) <= {_GROWTH} * peak({small})"
    snippet = "\n".join([f"{header}labels = None\n# distance = {name_of(distance)}, the callable under test{code}"])
    more: dict[str, Any] = {"name": "memory", "statement": test, "examples": 1}
    try:
        exec(header + code, names)
        names["peak"](small)  # what is imported or compiled on first use is nobody's growth
        least, most = (int(names["peak"](count)) for count in (small, large))
    except FOREIGN as error:  # MemoryError too
        return AxiomResult(passed=False, counterexample=f"{snippet}\npeak({large})", error=one_line(error), **more)
    measured = ((f"peak({large})", float(most)), (f"peak({small})", float(least)))
    if most <= _GROWTH * least:
        return AxiomResult(passed=True, measured=measured, **more)
    return AxiomResult(
        passed=False,
        measured=measured,
        counterexample=f"{snippet}\npeak({small})\nassert {test}",
        **more,
    )
