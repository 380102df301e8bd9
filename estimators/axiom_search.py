"""The search behind `kd2m_theory.estimators.axioms`: draw clouds, evaluate one relation on them, shrink what breaks it.

The text of an axiom's expressions is what is evaluated and what the counterexample prints, so the two cannot come apart.
"""

import importlib
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random
from tempfile import TemporaryDirectory
from types import CodeType
from typing import Any

import numpy as np
from hypothesis import Phase, assume, find, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir, storage_directory
from hypothesis.errors import Flaky, NoSuchExample, Unsatisfiable

from kd2m_theory.errors import FOREIGN

Variables = dict[str, Any]

# What each relation demands; written so that NaN breaks it, and ∞ equals itself.
_TESTS = {
    "is finite": "np.isfinite({left})",
    "is a number": "not np.isnan({left})",
    "==": "{left} == {right} or abs({left} - {right}) <= {allowance}",
    "<=": "{left} <= {right} + {allowance}",
    ">": "{left} > {allowance}",
}

# What the expressions call; arguments are copied, so that writing into them breaks "purity" and nothing else.
_DISTANCE = """
def d(x, y{tags}):
    result = distance(*map(deepcopy, (x, y{values})))
    value = getattr(result, "value", result)
    return float(value.item() if hasattr(value, "item") else value)
"""
_CHANGED = """
def changed(*arguments):
    given = [deepcopy(argument) for argument in arguments]
    distance(*given)
    return any(not np.array_equal(*both) for both in zip(arguments, given))
"""

# Least tolerance where float32 takes part: differences of squares lose half of its 24 bits.
_FLOAT32_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class AxiomResult:
    """What became of one axiom.

    Attributes:
        name: the axiom.
        statement: the relation that was tested.
        passed: None if the axiom does not apply to the callable (`error` says why).
        examples: clouds tried before the first failure.
        measured: expression and value, in the counterexample.
        counterexample: code that breaks the axiom when it is run, as small as it was possible to make it.
        error: the exception that the callable raised there, or why the axiom does not apply.
    """

    name: str
    statement: str
    passed: bool | None
    examples: int
    measured: tuple[tuple[str, float], ...] = ()
    counterexample: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Axiom:
    """`left relation right` over `clouds`, both Python expressions; `draws` names the further variables in them."""

    clouds: str
    left: str
    relation: str
    right: str = "0"
    draws: tuple[str, ...] = ()
    prelude: str = ""

    @property
    def statement(self) -> str:
        """The relation in one line."""
        return f"{self.left} {self.relation}" + ("" if self.relation.startswith("is") else f" {self.right}")

    def measured(self, left: float, right: float) -> tuple[tuple[str, float], ...]:
        """Expression and value of each side that is not constant."""
        # One NaN object, so that equal reports compare equal.
        values = (math.nan if math.isnan(value) else value for value in (left, right))
        return tuple((text, value) for text, value in zip((self.left, self.right), values, strict=True) if "(" in text)


def axiom_table(labels: bool, paired: bool, degree: int | None, infinite: bool) -> dict[str, Axiom]:
    """Every axiom by name, worded for the way in which the callable is called; `infinite` values are no fault if true."""
    second = "order_x" if paired else "order_y"
    moved = f", labels[order_x], labels[{second}]" if labels else ""
    tensors = ["torch.from_numpy(x).to(device)", "torch.from_numpy(y).to(device)"]
    tensors += ["torch.from_numpy(labels).to(device)"] * (2 * labels)
    inputs = "x, y, labels, labels" if labels else "x, y"
    orders = ("order_x",) if paired else ("order_x", "order_y")
    tags, values = (", labels_x=labels, labels_y=labels", ", labels_x, labels_y") if labels else ("", "")
    calls = _DISTANCE.format(tags=tags, values=values)
    axioms = {
        "finite": Axiom(clouds="xy", left="d(x, y)", relation="is a number" if infinite else "is finite"),
        "non_negativity": Axiom(clouds="xy", left="0", relation="<=", right="d(x, y)"),
        "identity": Axiom(clouds="x", left="d(x, x)", relation="=="),
        "permutation": Axiom(
            clouds="xy", left=f"d(x[order_x], y[{second}]{moved})", relation="==", right="d(x, y)", draws=orders
        ),
        "repeatability": Axiom(clouds="xy", left="d(x, y)", relation="==", right="d(x, y)"),
        "purity": Axiom(clouds="xy", left=f"changed({inputs})", relation="=="),
        "dtype": Axiom(
            clouds="xy", left="d(x.astype(dtype), y.astype(dtype))", relation="==", right="d(x, y)", draws=("dtype",)
        ),
        "array_type": Axiom(clouds="xy", left=f"d({', '.join(tensors)})", relation="==", right="d(x, y)", draws=("device",)),
        "symmetry": Axiom(clouds="xy", left="d(x, y)", relation="==", right="d(y, x)"),
        "triangle": Axiom(clouds="xyz", left="d(x, z)", relation="<=", right="d(x, y) + d(y, z)"),
        "scaling": Axiom(
            clouds="xy",
            left="d(c * x, c * y)",
            relation="==",
            right="abs(c) * d(x, y)" if degree == 1 else "c**2 * d(x, y)",
            draws=("c",),
        ),
        "translation": Axiom(clouds="xy", left="d(x + shift, y + shift)", relation="==", right="d(x, y)", draws=("shift",)),
        "separation": Axiom(clouds="xy", left="d(x, y)", relation=">"),
    }
    preludes = {"purity": _CHANGED, "array_type": f"import torch\n{calls}"}
    return {name: replace(axiom, prelude=preludes.get(name, calls)) for name, axiom in axioms.items()}


@dataclass(frozen=True, slots=True)
class Options:
    """The checked arguments of `check_metric` that the search needs; `degree` is 2 where values grow as squares, else 1."""

    dimension: tuple[int, int]
    points: tuple[int, int]
    equal_sizes: bool
    labels: bool
    dtypes: tuple[str, ...]
    tolerance: float
    degree: int
    examples: int
    seed: int


def search(name: str, axiom: Axiom, distance: Callable[..., Any], options: Options) -> AxiomResult:
    """The smallest case on which the axiom fails, if the search finds one."""
    tried = 0
    failure: AxiomResult | None = None
    smallest: Variables = {}
    test = _TESTS[axiom.relation].format(left="left", right="right", allowance="allowance")

    def fails(case: Variables) -> bool:
        nonlocal tried, failure, smallest
        if failure is None:
            tried += 1
        left, right, error = _evaluate(axiom, distance, case)
        allowance = _allowance(case, (left, right), options)
        values = {"left": left, "right": right, "allowance": allowance, "np": np}
        if error is None and eval(_compiled(test, "eval"), values):
            return False
        # Shrinking stays with the kind of failure that was found first: a broken relation, or an exception.
        if failure is not None and (failure.error is None) != (error is None):
            return False
        measured = axiom.measured(left, right) if error is None else ()
        found = error or ", ".join(f"{text} = {value!r}" for text, value in measured)
        code = _snippet(axiom, distance, case, allowance, found)
        failure = AxiomResult(
            name=name,
            statement=axiom.statement,
            passed=False,
            examples=tried,
            measured=measured,
            counterexample=code,
            error=error,
        )
        smallest = case
        return True

    limits = settings(
        max_examples=options.examples, derandomize=False, database=None, deadline=None, phases=(Phase.generate, Phase.shrink)
    )
    # Flaky: the failure did not repeat, the callable is random; what was seen is reported all the same.
    with suppress(NoSuchExample, Flaky, Unsatisfiable):
        find(_cases(axiom, options), fails, settings=limits, random=Random(options.seed))
    if failure is not None:
        while any(fails(smaller) for smaller in _smaller(smallest, options)):
            pass
        return failure
    return AxiomResult(
        name=name,
        statement=axiom.statement,
        passed=True if tried else None,
        examples=tried,
        error=None if tried else "no such clouds found",
    )


# Made once and kept: hypothesis inspects every new strategy before it draws from it.
_FINE = st.integers(-3, 3).map(float) | st.floats(-10, 10, width=32)
_COORDINATES = st.sampled_from([st.integers(-1, 1).map(float), _FINE])


@lru_cache(maxsize=1024)
def _times(count: int, each: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Lists of that many."""
    return st.lists(each, min_size=count, max_size=count)


@lru_cache(maxsize=256)
def _compiled(code: str, mode: str) -> CodeType:
    return compile(code, "<axiom>", mode)


@st.composite
def _cases(draw: st.DrawFn, axiom: Axiom, options: Options) -> Variables:
    """Values for the names in the axiom's expressions."""
    # float32 numbers, so that a change of dtype changes no point; few different points and often a coarse grid, so that
    # points, means and distances coincide; often the least dimension and size, because differences of crowds average out.
    coordinate = draw(_COORDINATES)
    dimension = draw(st.sampled_from([options.dimension[0]] * 2 + list(range(options.dimension[0], options.dimension[1] + 1))))
    distinct = draw(st.integers(1, 8))
    pool = np.array(draw(_times(distinct, _times(dimension, coordinate))))
    dtype = "float64" if "dtype" in axiom.draws else draw(st.sampled_from(options.dtypes))
    case: Variables = {}
    least, most = options.points
    sizes = st.integers(least, draw(st.sampled_from(sorted({least, min(least + 1, most), most}))))
    size = draw(sizes)
    for name in axiom.clouds:
        n = size if options.equal_sizes else draw(sizes)
        case[name] = pool[draw(_times(n, st.integers(0, distinct - 1)))].astype(dtype)
    if options.labels:
        case["labels"] = np.array(draw(_times(size, st.integers(0, 2))))
    further: dict[str, Callable[[], st.SearchStrategy[Any]]] = {
        "order_x": lambda: st.permutations(range(len(case["x"]))),
        "order_y": lambda: st.permutations(range(len(case["y"]))),
        "dtype": lambda: st.just("float32"),
        "device": lambda: st.sampled_from(["cpu", *["cuda"] * importlib.import_module("torch").cuda.is_available()]),
        "c": lambda: st.sampled_from([2.0, -1.0, 0.5, -3.0, 0.0]),
        "shift": lambda: st.sampled_from(pool.tolist()).map(lambda point: np.array(point, dtype)),
    }
    case |= {name: draw(further[name]()) for name in axiom.draws}
    if axiom.relation == ">":
        # Clearly different: some point of one cloud is further than 1 from every point of the other.
        apart = np.linalg.norm(case["x"][:, None] - case["y"][None], axis=2)
        assume(max(apart.min(axis=1).max(), apart.min(axis=0).max()) >= 1)
    return case


def _smaller(case: Variables, options: Options) -> Iterator[Variables]:
    """The case without one coordinate or one point: what hypothesis, which works on single draws, often leaves in."""
    clouds = {name: value for name, value in case.items() if name in ("x", "y", "z")}
    dimension = clouds["x"].shape[1]
    for k in range(dimension if dimension > options.dimension[0] else 0):
        further = {"shift": np.delete(case["shift"], k)} if "shift" in case else {}
        yield case | further | {name: np.delete(cloud, k, axis=1) for name, cloud in clouds.items()}
    together = [tuple(clouds)] if options.equal_sizes else [(name,) for name in clouds]
    for names in together:
        n = len(clouds[names[0]])
        for k in range(n if n > options.points[0] else 0):
            kept: Variables = {name: np.delete(case[name], k, axis=0) for name in (*names, *["labels"] * options.labels)}
            for order in ("order_x", "order_y"):
                if order in case and order[-1] in names:
                    kept[order] = [i - (i > k) for i in case[order] if i != k]
            yield case | kept


def _evaluate(axiom: Axiom, distance: Callable[..., Any], case: Variables) -> tuple[float, float, str | None]:
    """Left and right side, or NaN and the text of the exception."""
    names = case | {"distance": distance, "deepcopy": deepcopy, "np": np}
    try:
        exec(_compiled(axiom.prelude, "exec"), names)
        left, right = (float(eval(_compiled(side, "eval"), names)) for side in (axiom.left, axiom.right))
        return left, right, None
    except FOREIGN as error:  # whatever the callable under test raises is the result
        return math.nan, math.nan, one_line(error)


def _allowance(case: Variables, values: tuple[float, float], options: Options) -> float:
    clouds = [value for name, value in case.items() if name in ("x", "y", "z")]
    coarse = "dtype" in case or any(value.dtype == np.float32 for value in clouds)
    tolerance = max(options.tolerance, _FLOAT32_TOLERANCE) if coarse else options.tolerance
    size = max(float(np.abs(cloud).max()) for cloud in clouds)
    return tolerance * max(1.0, size**options.degree, *(abs(value) for value in values if math.isfinite(value)))


def _snippet(axiom: Axiom, distance: Callable[..., Any], case: Variables, allowance: float, found: str) -> str:
    """Code that raises where the axiom fails; it needs NumPy and the callable."""
    module, name = getattr(distance, "__module__", None), name_of(distance)
    importable = module != "__main__" and getattr(sys.modules.get(str(module)), name, None) is distance
    lines = ["from copy import deepcopy", "import numpy as np"]
    lines += [f"from {module} import {name} as distance" if importable else f"# distance = {name}, the callable under test"]
    for key, value in case.items():
        array = isinstance(value, np.ndarray)
        lines.append(f"{key} = np.array({value.tolist()}, dtype={str(value.dtype)!r})" if array else f"{key} = {value!r}")
    test = _TESTS[axiom.relation].format(left=axiom.left, right=axiom.right, allowance=repr(allowance))
    return "\n".join([*lines, axiom.prelude, f"# {found}", f"assert {test}"])


def refusal_of_tensors(distance: Callable[..., Any], axiom: Axiom, options: Options) -> str | None:
    """Why the callable takes no tensors, or None if it does."""
    x = np.arange(options.points[1] * options.dimension[1], dtype=options.dtypes[0]).reshape(options.points[1], -1)
    error = _evaluate(axiom, distance, {"x": x, "y": x + 1, "device": "cpu", "labels": np.arange(len(x)) % 2})[2]
    return f"takes no torch tensors ({error})" if error else None


@contextmanager
def no_files() -> Iterator[None]:
    """Hypothesis caches what it reads in the user's modules; keep that out of the working folder."""
    place = storage_directory(intent_to_write=False)
    home: Any = getattr(place, "home_directory", place)  # older Hypothesis: the folder itself
    with TemporaryDirectory() as folder:
        set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            set_hypothesis_home_dir(home)


def name_of(distance: Callable[..., Any]) -> str:
    """The callable's name, or its type's."""
    return str(getattr(distance, "__qualname__", type(distance).__qualname__))


def one_line(error: BaseException) -> str:
    """Type and message of an exception, without line breaks."""
    return " ".join(f"{type(error).__name__}: {error}".split())
