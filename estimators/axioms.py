"""Property tests of any callable that measures how far apart two clouds are: `check_metric(f).assert_ok()`.

Each axiom is one relation between two expressions, such as `d(x, z) <= d(x, y) + d(y, z)`. Hypothesis looks for clouds that
break it and shrinks them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from kd2m_theory.checks import one_of, whole
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.axiom_memory import memory
from kd2m_theory.estimators.axiom_precision import precision
from kd2m_theory.estimators.axiom_search import (
    GRADIENT,
    Arrays,
    Axiom,
    AxiomResult,
    Calling,
    Options,
    axiom_table,
    name_of,
    no_files,
    refusal,
    search,
)
from kd2m_theory.estimators.axiom_words import sentences
from kd2m_theory.named_code import named_object

Expect = Literal["metric", "squared", "divergence"]
Scaling = Literal["homogeneous", "quadratic", "by expectation"]

_COMMON = ("finite", "non_negativity", "identity", "permutation", "repeatability", "purity", "precision", "dtype", "array_type")

# The axioms of each expectation. "translation" and "separation" (a pseudo-metric has none) are asked for by name:
# `axioms=(*AXIOMS_OF["metric"], "separation")`; the other axioms come with an argument: "batch" with `batched`,
# "ignored_labels" with `labels`, those of gradients with `gradient`, "memory" with `large`.
AXIOMS_OF: dict[str, tuple[str, ...]] = {
    "metric": (*_COMMON, "symmetry", "triangle", "scaling"),
    "squared": (*_COMMON, "symmetry", "scaling"),
    "divergence": _COMMON,
}
ALL_AXIOMS = (*AXIOMS_OF["metric"], "translation", "separation", "batch", "ignored_labels", *GRADIENT, "memory")


@dataclass(frozen=True, slots=True)
class MetricReport:
    """Every axiom's result. `str()` is the sentences, a table, and the counterexamples as Python.

    Attributes:
        subject: the callable's name.
        expect: what it was tested as.
        seed: of the search.
        arrays: what the callable was called with, "numpy" arrays or "torch" tensors.
        results: one for each tested axiom.
    """

    subject: str
    expect: str
    seed: int
    arrays: Arrays
    results: tuple[AxiomResult, ...]

    @property
    def passed(self) -> bool:
        """Whether no axiom failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[AxiomResult, ...]:
        """The axioms that failed."""
        return tuple(result for result in self.results if result.passed is False)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The report in plain sentences: what was tried, then what fails and on which clouds, one sentence per axiom."""
        return sentences(self.subject, self.expect, self.arrays, self.results)

    def __getitem__(self, name: str) -> AxiomResult:
        """The result of one axiom.

        Raises:
            KeyError: the axiom was not tested.
        """
        return {result.name: result for result in self.results}[name]

    def assert_ok(self) -> None:
        """Do nothing if no axiom failed: `check_metric(f).assert_ok()` is a test.

        Raises:
            AssertionError: with the table and the counterexamples.
        """
        if not self.passed:
            raise AssertionError(f"\n{self}")

    def cells(self) -> "list[tuple[str, str, str, str]]":
        """Each axiom with its result, the examples that were tried, and what was measured, in words."""
        words = {True: "holds", False: "FAILS", None: "n/a"}
        found = []
        for result in self.results:
            values = result.error or ", ".join(f"{text} = {value:.6g}" for text, value in result.measured)
            found.append((result.name, words[result.passed], str(result.examples), values or result.statement))
        return found

    def __str__(self) -> str:
        rows = [("axiom", "result", "examples", "measured"), *self.cells()]
        widths = [max(len(row[k]) for row in rows) for k in range(3)]
        lines = ["  ".join((*(row[k].ljust(widths[k]) for k in range(3)), row[3])).rstrip() for row in rows]
        parts = [*self.sentences, "", *lines]
        for result in self.failures:
            parts += ["", f"# {result.name} fails:", str(result.counterexample)]
        return "\n".join(parts)


def check_metric(
    distance: Callable[..., Any],
    *,
    expect: Expect = "metric",
    axioms: Sequence[str] | None = None,
    dimension: tuple[int, int] = (1, 5),
    points: tuple[int, int] = (1, 8),
    equal_sizes: bool = False,
    paired: bool = False,
    labels: bool = False,
    batched: bool = False,
    gradient: bool = False,
    arrays: Arrays | None = None,
    large: int | None = None,
    tolerance: float = 1e-6,
    dtypes: Sequence[str] = ("float64",),
    scaling: Scaling | None = "by expectation",
    examples: int = 200,
    seed: int = 0,
) -> MetricReport:
    """Look for clouds on which a distance breaks the axioms that it should obey, and report the smallest found.

    Coordinates are 0, ±1, … and float32 numbers up to 10; points repeat within and between clouds. A pass means that the
    search found nothing, not that there is nothing. The same seed gives the same report with the same version of hypothesis
    and the same modules loaded (hypothesis also tries constants that it reads in the user's own modules).

    Args:
        distance: called as distance(x, y) with an n × d and an m × d array; returns a number, a 0-d tensor, or an object
            with `.value` such as an `Enclosure`. An exception counts as a failure; so does a warning that a solver did not
            converge, and a result in half precision ("finite").
        expect: "metric"; "squared", without the triangle inequality; or "divergence", which may also be asymmetric and +∞.
        axioms: names from `ALL_AXIOMS`; None takes `AXIOMS_OF[expect]`, less what does not apply.
        dimension: least and largest d.
        points: least and largest number of points in a cloud.
        equal_sizes: whether the distance demands n = m.
        paired: whether row i of x belongs to row i of y: equal sizes, and only both together may be reordered.
        labels: whether it is called as distance(x, y, labels_x, labels_y), integer classes; clouds then share one label
            vector, so that sizes and class shares agree. Rows with the label −100 must not count ("ignored_labels"), if it
            takes them.
        batched: whether it is called as distance(x, y) with B × n × d and B × m × d arrays (labels B × n) and returns B
            values; each must be that of its pair alone ("batch").
        gradient: whether torch can differentiate it: its gradient agrees with finite differences ("gradient"), is finite
            where points coincide ("gradient_finite"), and the gradients in x and in y cancel where the clouds are equal, as
            the distance then stays 0 when both move together ("gradient_at_equal_clouds").
        arrays: "numpy" or "torch": what it is called with; NumPy arrays if None, or tensors if it fails on arrays and not on
            tensors.
        large: n of larger clouds on which memory is measured ("memory"): what NumPy has allocated at the peak, and the
            largest tensor, may be at most 8 times that for n / 4 points. At least 400; not measured if None.
        tolerance: relative to the largest of the compared values, the clouds' coordinates (squared for a square), and 1;
            at least 1e-4 where float32 takes part.
        dtypes: "float64", "float32", or both: the dtypes of the clouds, the first preferred; "dtype" compares the two.
        scaling: "homogeneous": d(cx, cy) = |c| d(x, y); "quadratic": c² d(x, y); None: nothing is demanded;
            "by expectation": homogeneous for a metric, quadratic for a square.
        examples: clouds tried for each axiom.
        seed: of the search.

    Raises:
        InputError: an argument is not as described.

    Example:
        >>> axioms = ("identity", "triangle", "scaling")
        >>> report = check_metric(lambda x, y: (x.mean() - y.mean()) ** 2, axioms=axioms, examples=50)
        >>> [failure.name for failure in report.failures]
        ['triangle', 'scaling']
    """
    _require(callable(distance), "distance", distance, "pass a function of two clouds")
    for name, span in (("dimension", dimension), ("points", points)):
        pair = isinstance(span, tuple | list) and len(span) == 2 and all(isinstance(end, int) for end in span)
        _require(pair and 1 <= span[0] <= span[1], name, span, "give the least and the largest, such as (1, 5)")
    for name, names in (("dtypes", dtypes), ("axioms", AXIOMS_OF["metric"] if axioms is None else axioms)):
        _require(not isinstance(names, str) and len(names) > 0, name, names, "give a list of names with at least one entry")
    whole(examples, "examples", 1)
    whole(seed, "seed", 0)
    _require(0 <= tolerance < 1, "tolerance", tolerance, "give a relative error ≥ 0 and below 1, such as 1e-6")
    one_of(expect, get_args(Expect), "expect")
    one_of(str(scaling), (*get_args(Scaling), "None"), "scaling")
    one_of(str(arrays), (*get_args(Arrays), "None"), "arrays")
    if large is not None:
        whole(large, "large", 400)
    preset = {"metric": 1, "squared": 2}.get(expect)
    degree = preset if scaling == "by expectation" else {"homogeneous": 1, "quadratic": 2}.get(str(scaling))
    wanted = tuple(one_of(name, ALL_AXIOMS, "axioms") for name in (AXIOMS_OF[expect] if axioms is None else axioms))
    if axioms is None:
        asked = {"scaling": degree is not None, "batch": batched, "ignored_labels": labels, "memory": large is not None}
        asked |= dict.fromkeys(GRADIENT, gradient)
        wanted = tuple(dict.fromkeys((*wanted, *(name for name, is_asked in asked.items() if is_asked))))
    options = Options(
        dimension=dimension,
        points=points,
        equal_sizes=equal_sizes or paired or labels,
        labels=labels,
        dtypes=tuple(one_of(name, ("float64", "float32"), "dtypes") for name in dtypes),
        tolerance=tolerance,
        degree=degree or 1,
        examples=examples,
        seed=seed,
    )

    def table(kind: Arrays) -> dict[str, Axiom]:
        calling = Calling(labels=labels, paired=paired, batched=batched, arrays=kind)
        return axiom_table(calling, degree, infinite=expect == "divergence", tolerance=tolerance)

    known, called = table(arrays or "numpy"), arrays or "numpy"
    refused = refusal(distance, known["identity"], options)
    if arrays is None and refused and not refusal(distance, table("torch")["identity"], options):
        known, called = table("torch"), "torch"
    reasons: dict[str, str | None] = {
        "dtype": None if len(set(options.dtypes)) > 1 else "dtypes names one dtype only",
        "scaling": None if degree is not None else "no scaling is demanded",
        "batch": None if batched else "it is not called with batches",
        "ignored_labels": None if labels else "it is not called with labels",
        "memory": None if large is not None else "large names no number of points",
    }
    if "array_type" in wanted:
        refused_tensors = refusal(distance, known["array_type"], options) if called == "numpy" else None
        only = f"takes no torch tensors ({refused_tensors})" if refused_tensors else None
        reasons["array_type"] = "it is called with tensors only" if called == "torch" else only
    if labels and "ignored_labels" in wanted:
        refused_labels = refusal(distance, known["ignored_labels"], options)
        reasons["ignored_labels"] = f"refuses the label -100 ({refused_labels})" if refused_labels else None

    def result(name: str) -> AxiomResult:
        if reason := reasons.get(name):
            statement = known[name].statement if name in known else name
            return AxiomResult(name=name, statement=statement, passed=None, examples=0, error=reason)
        if name == "memory":
            assert large is not None
            return memory(distance, known["identity"].prelude, large, options)
        if name == "precision":
            return precision(distance, known["identity"].prelude, options)
        return search(name, known[name], distance, options)

    with no_files():
        results = tuple(result(name) for name in wanted)
    return MetricReport(subject=name_of(distance), expect=expect, seed=seed, arrays=called, results=results)


def load_callable(target: str) -> Callable[..., Any]:
    """The callable that "module:name" names; modules of the working folder are found too.

    Raises:
        InputError: not of that form, no such module or name, a module that fails when imported, or not callable.
    """
    found = named_object(target, "function", "my_distances:energy")
    _require(callable(found), target, found, "name a function of two clouds")
    return found  # type: ignore[no-any-return]


def _require(holds: bool, name: str, value: object, advice: str) -> None:
    if not holds:
        raise InputError(f"{name} is {value!r}; {advice}")
