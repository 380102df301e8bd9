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
from typing import Any, Literal

import numpy as np
from hypothesis import Phase, assume, find, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir, storage_directory
from hypothesis.errors import Flaky, NoSuchExample, Unsatisfiable

from kd2m_theory.errors import FOREIGN

Variables = dict[str, Any]
Arrays = Literal["numpy", "torch"]

# What `gradient=True` adds.
GRADIENT = ("gradient", "gradient_finite", "gradient_at_equal_clouds")

# What each relation demands; written so that NaN breaks it, and ∞ equals itself.
_TESTS = {
    "is finite": "np.isfinite({left})",
    "is a number": "not np.isnan({left})",
    "==": "{left} == {right} or abs({left} - {right}) <= {allowance}",
    "<=": "{left} <= {right} + {allowance}",
    ">": "{left} > {allowance}",
}

# What the expressions call. `given` makes what the callable is handed: copies, so that writing into them breaks "purity" and
# nothing else.
_GIVEN = {
    ("numpy", False): "deepcopy(array)",
    ("numpy", True): "deepcopy(array)[None]",
    ("torch", False): "torch.from_numpy(array.copy())",
    ("torch", True): "torch.from_numpy(array.copy())[None]",
}
_DISTANCE = """
def given(array):
    return {given}
def d(x, y{tags}):
    result = distance(*map(given, (x, y{values})))
    value = getattr(result, "value", result)
    return float(value.item() if hasattr(value, "item") else value)
"""
_CHANGED = """
def changed(*arguments):
    passed = list(map(given, arguments))
    distance(*passed)
    return any(not np.array_equal(*both) for both in zip(map(given, arguments), passed))
"""
# A solver that gave up has no value, whatever number it returns; a value with only three digits does not count either.
_ANSWERS = """
import warnings
GAVE_UP = r"(?is).*(converg|reached before optimality|max\\w*[ _]?(number of )?iter)"
def d(x, y{tags}):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=GAVE_UP)
        result = distance(*map(given, (x, y{values})))
    value = getattr(result, "value", result)
    dtype = str(getattr(value, "dtype", ""))
    if dtype.endswith("float16"):
        raise TypeError(f"the result is in half precision ({{dtype}})")
    return float(value.item() if hasattr(value, "item") else value)
"""
_IN_BATCH = """
def in_batch(x, y, shift, place):
    others, stack = (x + shift, y - shift), (lambda one, other: [one, other] if place == 0 else [other, one])
    pairs = [np.stack(stack(one, other)) for one, other in zip((x, y), others)]
    passed = pairs + [np.stack([each, each]) for each in ({values})]
    result = distance(*[{batch} for each in passed])
    value = getattr(result, "value", result)
    if tuple(value.shape) != (2,):
        raise ValueError(f"the result for a batch of 2 has shape {{tuple(value.shape)}}, and (2,) is due")
    return float(value[place])
"""
_IGNORING = """
def ignoring(x, y):
    more = [np.concatenate([cloud, cloud[:1] + 1]) for cloud in (x, y)]
    return d(*more, *[np.append(labels, -100)] * 2)
"""
_GRADIENTS = """
def gradients(x, y):
    clouds = [torch.from_numpy(cloud.copy()).requires_grad_() for cloud in (x, y)]
    result = distance(*[{passed} for cloud in clouds], {values})
    value = getattr(result, "value", result)
    found = torch.autograd.grad(value.sum(), clouds, allow_unused=True)
    return [np.zeros(cloud.shape) if slope is None else slope.numpy() for cloud, slope in zip((x, y), found)]
def gradient_is_finite(x, y):
    return all(np.isfinite(found).all() for found in gradients(x, y))
def imbalance(x):
    return float(abs(sum(gradients(x, x))).max())
"""
# Away from ties and coinciding points, where a distance has kinks, the slope along one direction that moves all coordinates
# lies between its two one-sided differences.
_SLOPES = """
def nudged(cloud, rate):
    return cloud + 0.1 * np.cos(rate * np.arange(1, cloud.size + 1)).reshape(cloud.shape)
def ways(x, y):
    return [np.sin(1 + np.arange(cloud.size)).reshape(cloud.shape) for cloud in (x, y)]
def slope(x, y):
    x, y = nudged(x, 1.7), nudged(y, 2.3)
    return sum(float((found * way).sum()) for found, way in zip(gradients(x, y), ways(x, y)))
def difference(x, y):
    says, (x, y) = slope(x, y), (nudged(x, 1.7), nudged(y, 2.3))
    over_x, over_y = ({step} * way for way in ways(x, y))
    here = d(x, y{labels})
    sides = (d(x + over_x, y + over_y{labels}) - here) / {step}, (here - d(x - over_x, y - over_y{labels})) / {step}
    return min(max(says, min(sides)), max(sides))
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
        case: names and values in the counterexample, arrays as nested lists.
    """

    name: str
    statement: str
    passed: bool | None
    examples: int
    measured: tuple[tuple[str, float], ...] = ()
    counterexample: str | None = None
    error: str | None = None
    case: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Axiom:
    """`left relation right` over `clouds`, both Python expressions; `draws` names the further variables in them.

    A `loose` axiom compares with finite differences, which have half of the digits.
    """

    clouds: str
    left: str
    relation: str
    right: str = "0"
    draws: tuple[str, ...] = ()
    prelude: str = ""
    loose: bool = False

    @property
    def statement(self) -> str:
        """The relation in one line."""
        return f"{self.left} {self.relation}" + ("" if self.relation.startswith("is") else f" {self.right}")

    def measured(self, left: float, right: float) -> tuple[tuple[str, float], ...]:
        """Expression and value of each side that is not constant."""
        # One NaN object, so that equal reports compare equal.
        values = (math.nan if math.isnan(value) else value for value in (left, right))
        return tuple((text, value) for text, value in zip((self.left, self.right), values, strict=True) if "(" in text)


@dataclass(frozen=True, slots=True)
class Calling:
    """How the callable is called.

    Attributes:
        labels: with classes as third and fourth argument.
        paired: row i of one cloud belongs to row i of the other.
        batched: with a leading axis of B pairs of clouds, for B values.
        arrays: with NumPy arrays, or with torch tensors on the CPU.
    """

    labels: bool
    paired: bool
    batched: bool
    arrays: Arrays


def axiom_table(calling: Calling, degree: int | None, infinite: bool, tolerance: float) -> dict[str, Axiom]:
    """Every axiom by name, worded for how the callable is called; with `infinite`, infinite values are not faults."""
    labels, paired = calling.labels, calling.paired
    second = "order_x" if paired else "order_y"
    moved = f", labels[order_x], labels[{second}]" if labels else ""
    tensors = ["torch.from_numpy(x).to(device)", "torch.from_numpy(y).to(device)"]
    tensors += ["torch.from_numpy(labels).to(device)"] * (2 * labels)
    inputs = "x, y, labels, labels" if labels else "x, y"
    orders = ("order_x",) if paired else ("order_x", "order_y")
    tags, values = (", labels_x=labels, labels_y=labels", ", labels_x, labels_y") if labels else ("", "")
    both = "labels, labels" if labels else ""
    torch = "import torch\n"
    calls = _DISTANCE.format(tags=tags, values=values, given=_GIVEN[calling.arrays, calling.batched])
    if calling.arrays == "torch":
        calls = torch + calls
    batch = _IN_BATCH.format(values=both, batch="torch.from_numpy(each)" if calling.arrays == "torch" else "each")
    gradients = _GRADIENTS.format(
        passed="cloud[None]" if calling.batched else "cloud",
        values=", ".join(["torch.from_numpy(labels)" + "[None]" * calling.batched] * (2 * labels)),
    )
    slopes = _SLOPES.format(labels=f", {both}" if labels else "", step=tolerance**0.5 / 100 or 1e-5)
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
        "batch": Axiom(
            clouds="xy", left="in_batch(x, y, shift, place)", relation="==", right="d(x, y)", draws=("shift", "place")
        ),
        "ignored_labels": Axiom(clouds="xy", left="ignoring(x, y)", relation="==", right="d(x, y)"),
        "gradient": Axiom(clouds="xy", left="slope(x, y)", relation="==", right="difference(x, y)", loose=True),
        "gradient_finite": Axiom(clouds="xy", left="gradient_is_finite(x, y)", relation="==", right="1"),
        "gradient_at_equal_clouds": Axiom(clouds="x", left="imbalance(x)", relation="==", loose=True),
    }
    more = {
        "finite": _ANSWERS.format(tags=tags, values=values),
        "purity": _CHANGED,
        "batch": batch,
        "ignored_labels": _IGNORING,
    }
    more |= dict.fromkeys(GRADIENT, gradients) | {"gradient": gradients + slopes}
    first = {name: torch for name in ("array_type", *GRADIENT) if calling.arrays == "numpy"}
    return {name: replace(axiom, prelude=first.get(name, "") + calls + more.get(name, "")) for name, axiom in axioms.items()}


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
        allowance = _allowance(case, (left, right), options, loose=axiom.loose)
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
            case=tuple((key, value.tolist() if isinstance(value, np.ndarray) else value) for key, value in case.items()),
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
    dtype = "float64" if "dtype" in axiom.draws or axiom.loose else draw(st.sampled_from(options.dtypes))
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
        # 0.3 x is rounded, by half precision most.
        "c": lambda: st.sampled_from([2.0, -1.0, 0.5, -3.0, 0.0, 0.3]),
        "place": lambda: st.integers(0, 1),
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


def _allowance(case: Variables, values: tuple[float, float], options: Options, *, loose: bool) -> float:
    clouds = [value for name, value in case.items() if name in ("x", "y", "z")]
    coarse = "dtype" in case or any(value.dtype == np.float32 for value in clouds)
    tolerance = max(options.tolerance, _FLOAT32_TOLERANCE) if coarse else options.tolerance
    tolerance = tolerance**0.5 if loose else tolerance
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


def refusal(distance: Callable[..., Any], axiom: Axiom, options: Options) -> str | None:
    """The exception that the callable raises on two ordinary clouds, in one line; None if it raises none."""
    x = np.arange(options.points[1] * options.dimension[1], dtype=options.dtypes[0]).reshape(options.points[1], -1)
    return _evaluate(axiom, distance, {"x": x, "y": x + 1, "device": "cpu", "labels": np.arange(len(x)) % 2})[2]


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
