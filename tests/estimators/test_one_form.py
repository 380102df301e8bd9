"""Every public estimator answers to the same names: laws of the form, tried on each name of `estimators.__all__`."""

import copy
import json
import math
import operator
import pickle
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from fractions import Fraction
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kd2m_theory import InputError, estimators
from kd2m_theory.estimators import Confidence, CostMatrix, Enclosure, Estimate, Number, VertexNorm
from kd2m_theory.estimators.accumulators import GaussianAccumulator, PairedDistance, RandomFeatureMMD
from kd2m_theory.estimators.intervals import difference
from kd2m_theory.estimators.number import MEANING

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 2)), 1.3 * RNG.normal(size=(12, 2)) + 0.5
FEW = X[:2]
LABELS = np.arange(12) % 3
VALUES = RNG.beta(2, 5, size=40)
HALF = np.full(2, 0.5)
COSTS = np.array([[1.0, 3.0], [2.0, 5.0]])
NORM = VertexNorm(RNG.normal(size=(4, 2)), label=1)
SPREADS = np.stack([np.eye(2), np.diag([1.0, 3.0])])

# By what power the value grows with the inputs. Nats are of two kinds, so each case says which.
DEGREE = {"distance": 1.0, "squared distance": 2.0, "probability": 0.0}


@dataclass(frozen=True)
class Case:
    """One call with its inputs multiplied by c, the unit it must come back in, and its degree where the unit does not say."""

    call: Callable[[float], Number | Mapping[int, Number]]
    unit: str = "distance"
    degree: float | None = None
    least: int = -1000  # power of two below which an input of the call, a square, is no longer a number


def accumulated(accumulator, c):
    accumulator.update(c * X, c * Y)
    return accumulator.compute()


CASES = {
    "wasserstein": [
        Case(lambda c: estimators.wasserstein(c * X, c * Y)),
        Case(lambda c: estimators.wasserstein(c * X, c * Y[:7], p=2)),
        Case(lambda c: estimators.wasserstein(c * X, c * Y[:7], p=2, max_pivots=2)),
        Case(lambda c: estimators.wasserstein(c * X, c * Y, ground="sqeuclidean"), "squared distance"),
        Case(lambda c: estimators.wasserstein(c * X, c * Y, ground=NORM), "nats", 1.0),  # margins are linear in features
    ],
    "class_wasserstein": [Case(lambda c: estimators.class_wasserstein(c * X, c * Y, LABELS, LABELS))],
    "conditional_wasserstein": [Case(lambda c: estimators.conditional_wasserstein(c * X, c * Y, LABELS, LABELS, p=2))],
    "joint_wasserstein": [
        Case(lambda c: estimators.joint_wasserstein(c * X, c * Y, LABELS, LABELS, p=2, beta=c**2), least=-500),
        Case(lambda c: estimators.joint_wasserstein(c * X, c * Y, LABELS, LABELS, feature_scale=c**2), degree=0.0, least=-500),
        Case(lambda c: estimators.joint_wasserstein(c * X, c * Y, LABELS, LABELS, feature_scale="mean"), degree=0.0),
        Case(lambda c: estimators.joint_wasserstein(c * X, c * Y, c * X, c * Y, feature_scale="max", label_scale="max"), degree=0.0),
    ],
    "sliced_wasserstein": [
        Case(lambda c: estimators.sliced_wasserstein(c * X, c * Y)),
        Case(lambda c: estimators.sliced_wasserstein(c * X, c * Y, projections=2)),
    ],
    "max_sliced_wasserstein": [Case(lambda c: estimators.max_sliced_wasserstein(c * X, c * Y))],
    "gromov_wasserstein": [Case(lambda c: estimators.gromov_wasserstein(c * X, c * Y))],
    "mixture_wasserstein": [
        Case(lambda c: estimators.mixture_wasserstein(HALF, c * X[:2], c**2 * SPREADS, HALF, c * Y[:2], c**2 * SPREADS), least=-500)
    ],
    "optimal_cost": [
        Case(lambda c: estimators.optimal_cost(CostMatrix(c * COSTS, 0.0, 0.0, "distance"), HALF, HALF)),
        Case(lambda c: estimators.optimal_cost(CostMatrix(c**2 * COSTS, 0.0, 0.0, "squared distance"), HALF, HALF), "squared distance", least=-500),
    ],
    "gaussian_wasserstein": [
        Case(lambda c: estimators.gaussian_wasserstein(c * X, c * Y)),
        Case(lambda c: estimators.gaussian_wasserstein(c * X, c * Y).enclosure()),
    ],
    "conditional_gaussian_wasserstein": [Case(lambda c: estimators.conditional_gaussian_wasserstein(c * X, c * Y, LABELS, LABELS))],
    # A divergence does not know the unit of the features.
    "gaussian_kl": [
        Case(lambda c: estimators.gaussian_kl(c * X, c * Y), "nats", 0.0),
        Case(lambda c: estimators.gaussian_kl(c * X, c * FEW), "nats", 0.0),
    ],
    "gaussian_symmetric_kl": [Case(lambda c: estimators.gaussian_symmetric_kl(c * X, c * Y), "nats", 0.0)],
    "conditional_gaussian_kl": [Case(lambda c: estimators.conditional_gaussian_kl(c * X, c * Y, LABELS, LABELS), "nats", 0.0)],
    # A distance in the Hilbert space of the kernel: it grows as the feature map does.
    "mmd": [
        Case(lambda c: estimators.mmd(c * X, c * Y, kernel="linear")),
        Case(lambda c: estimators.mmd(c * X, c * Y, bandwidth=c, permutations=20), degree=0.0),
        Case(lambda c: estimators.mmd(c * X, c * Y, bandwidth=c, delta=0.05), degree=0.0),
        Case(lambda c: estimators.mmd(c * np.tile(X, (40, 1)), c * np.tile(Y, (40, 1)), bandwidth=c, delta=0.05), degree=0.0),
    ],
    "conditional_mmd": [
        Case(lambda c: estimators.conditional_mmd(c * X, c * Y, LABELS, LABELS, kernel="linear")),
        Case(lambda c: estimators.conditional_mmd(c * X, c * Y, LABELS, LABELS, bandwidth=c, delta=0.05), degree=0.0),
    ],
    "energy_distance": [Case(lambda c: estimators.energy_distance(c * X, c * Y), degree=0.5)],
    "hoeffding": [Case(lambda c: estimators.hoeffding(c * VALUES, 0, c, 0.05), "nats", 1.0)],
    "empirical_bernstein": [Case(lambda c: estimators.empirical_bernstein(c * VALUES, 0, c, 0.05), "nats", 1.0)],
    "betting": [Case(lambda c: estimators.betting(c * VALUES, 0, c, 0.05), "nats", 1.0)],
    "student_t": [Case(lambda c: estimators.student_t(c * VALUES, 0.05, "distance"))],
    "percentile_bootstrap": [Case(lambda c: estimators.percentile_bootstrap(c * VALUES, 0.05), "nats", 1.0)],
    "mean_interval": [Case(lambda c: estimators.mean_interval(c * VALUES, "betting", 0, c), "nats", 1.0)],
    "clopper_pearson": [Case(lambda _: estimators.clopper_pearson(7, 40, 0.05), "probability")],
    "paired_difference": [Case(lambda _: estimators.paired_difference(3, 7, 40, 0.05), "probability")],
}  # fmt: skip
BATCHES = {
    "GaussianAccumulator": [Case(lambda c: accumulated(GaussianAccumulator(), c))],
    "PairedDistance": [Case(lambda c: accumulated(PairedDistance(), c))],
    "RandomFeatureMMD": [Case(lambda c: accumulated(RandomFeatureMMD(2, c, 16), c), degree=0.0)],
}
# What is public and measures nothing: kinds of numbers, and what distances are made of.
NO_ESTIMATORS = {
    "Confidence",
    "Enclosure",
    "Estimate",
    "Number",
    "CostMatrix",
    "VertexNorm",
    "cost_matrix",
    "Plan",
    "optimal_plan",
}
ALL = [(f"{name}-{k}", case) for name, cases in (CASES | BATCHES).items() for k, case in enumerate(cases)]
EACH = pytest.mark.parametrize("case", [case for _, case in ALL], ids=[name for name, _ in ALL])


def numbers_of(found):
    return list(found.values()) if isinstance(found, Mapping) else [found]


def every_number():
    return [number for _, case in ALL for number in numbers_of(case.call(1.0))]


def test_every_public_estimator_is_here():
    assert set(estimators.__all__) == set(CASES) | NO_ESTIMATORS


@EACH
def test_it_answers_to_the_names(case):
    for number in numbers_of(case.call(1.0)):
        assert isinstance(number, Number)
        assert all(type(getattr(number, name)) is float for name in ("value", "lower", "upper"))
        assert number.lower <= number.value <= number.upper
        assert float(number) == number.value
        assert number.unit == case.unit
        assert number.status in MEANING
        assert f"{number:.3e}" == f"{number.value:.3e}"
        assert f"{number}" == str(number)


@EACH
def test_it_prints_in_one_line_with_its_unit_and_status(case):
    for number in numbers_of(case.call(1.0)):
        for words in (repr(number), str(number)):
            assert "\n" not in words
            assert number.unit in words
            assert number.status in words
        assert len(repr(number)) < 120
        assert repr(number).startswith(f"{type(number).__name__}(")


@EACH
@pytest.mark.parametrize("c", [2.0, 4.0])
def test_the_unit_says_how_it_scales(case, c):
    degree = DEGREE[case.unit] if case.degree is None else case.degree
    for one, scaled in zip(numbers_of(case.call(1.0)), numbers_of(case.call(c)), strict=True):
        assert scaled.value == pytest.approx(c**degree * one.value, rel=1e-9)
        assert (scaled.lower, scaled.upper) == pytest.approx(
            (c**degree * one.lower, c**degree * one.upper), rel=1e-6, abs=1e-12
        )
        assert scaled.status == one.status


@EACH
@pytest.mark.parametrize("exponent", [-1000, -480, -30, 500])
def test_a_power_of_two_changes_no_digit(case, exponent):
    """Whatever squares leave float64 on the way: for c = 2^k, a number of c·x is c^degree times that of x, bit for bit."""
    if exponent < case.least:
        return
    degree = DEGREE[case.unit] if case.degree is None else case.degree
    factor = Fraction(2) ** int(degree * exponent)
    for one, scaled in zip(numbers_of(case.call(1.0)), numbers_of(case.call(2.0**exponent)), strict=True):
        for end in ("lower", "value", "upper"):
            if math.isinf(old := getattr(one, end)):
                assert getattr(scaled, end) == old
                continue
            new, truth = Fraction(getattr(scaled, end)), Fraction(old) * factor
            if abs(truth) >= sys.float_info.min or truth == 0:
                assert new == truth
            else:  # a square under the smallest float64 moves outward
                assert abs(new - truth) <= Fraction(5e-324)
                assert new <= truth if end == "lower" else new >= truth
        assert scaled.status == one.status or Fraction(one.upper) * factor < sys.float_info.min


@EACH
@pytest.mark.parametrize("exponent", [-290, -150, -9, 9, 145])
def test_other_factors_move_no_end_beyond_rounding(case, exponent):
    if exponent * math.log2(10) < case.least:
        return
    degree = DEGREE[case.unit] if case.degree is None else case.degree
    for one, scaled in zip(numbers_of(case.call(1.0)), numbers_of(case.call(10.0**exponent)), strict=True):
        factor = Fraction(10) ** math.floor(degree * exponent) * Fraction(10.0 ** (degree * exponent % 1))
        if math.isfinite(one.upper) and factor * Fraction(one.value) > sys.float_info.min:
            slack = Fraction(1, 10**9) * Fraction(abs(one.value) + one.upper - one.lower)
            assert Fraction(scaled.lower) <= (Fraction(one.upper) + slack) * factor
            assert (Fraction(one.lower) - slack) * factor <= Fraction(scaled.upper)
            assert abs(Fraction(scaled.value) - Fraction(one.value) * factor) <= slack * factor


@EACH
def test_equal_numbers_have_one_hash(case):
    for number in numbers_of(case.call(1.0)):
        assert hash(number) == hash(copy.deepcopy(number))


@pytest.mark.parametrize("field", ["value", "lower", "upper"])
def test_no_number_is_nan_and_all_are_plain_floats(field):
    for number in every_number():
        if field in {each.name for each in fields(number)}:
            assert type(getattr(replace(number, **{field: np.float64(getattr(number, field))}), field)) is float
            with pytest.raises(ValueError, match=r"NaN|exceeds"):
                replace(number, **{field: math.nan})


@EACH
def test_it_can_be_copied_and_sent(case):
    for number in numbers_of(case.call(1.0)):
        assert pickle.loads(pickle.dumps(number)) == copy.copy(number) == copy.deepcopy(number) == number


@EACH
@pytest.mark.parametrize("compare", [operator.lt, operator.le, operator.gt, operator.ge])
def test_it_has_no_order(case, compare):
    number = numbers_of(case.call(1.0))[0]
    for left, right in ((number, number), (number, 1.0), (1.0, number), (np.float64(1.0), number)):
        with pytest.raises(TypeError, match=r"compare \.lower, \.upper or float"):
            compare(left, right)


def test_every_status_occurs():
    statuses = {number.status for number in every_number()}
    assert statuses == set(MEANING)


def test_only_enclosures_of_one_unit_have_a_sum():
    representatives = {(type(number), number.unit): number for number in every_number()}.values()
    sums = 0
    for first in representatives:
        for second in representatives:
            if type(first) is type(second) is Enclosure and first.unit == second.unit:
                total = first + second
                assert total.lower <= first.lower + second.lower <= first.upper + second.upper <= total.upper
                sums += 1
            else:
                with pytest.raises(InputError, match="cannot add"):
                    first + second
        with pytest.raises(TypeError):
            first + 1.0
        if type(first) is Enclosure:
            total = sum([first, first])
            assert (total.lower, total.upper) == ((first + first).lower, (first + first).upper)
            assert sum([first]) is first
        else:
            with pytest.raises(TypeError):
                sum([first])
    assert sums == 3


class Cells(HTMLParser):
    """Texts and tags of a piece of HTML."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, attributes))

    def handle_data(self, data):
        self.texts.append(data)


@EACH
def test_a_notebook_shows_a_table(case):
    for number in numbers_of(case.call(1.0)):
        cells = Cells(number._repr_html_())
        assert {tag for tag, _ in cells.tags} == {"table", "caption", "tr", "th", "td"}
        assert not any(attributes for _, attributes in cells.tags)
        assert cells.texts[0] == type(number).__name__
        words = dict(zip(cells.texts[1::2], cells.texts[2::2], strict=True))
        assert set(words) >= {"value", "lower", "upper", "unit", "status"}
        assert words["unit"] == number.unit
        assert words["status"].startswith(number.status)
        assert words["status"].endswith(MEANING[number.status])


@pytest.mark.parametrize("kind", [Enclosure, Confidence, Estimate])
def test_the_table_is_escaped(kind):
    hostile = '<script>alert("&")</script>'
    number = next(each for each in every_number() if type(each) is kind)
    shown = replace(number, method=hostile)._repr_html_()
    assert "<script" not in shown
    assert hostile in "".join(Cells(shown).texts)


@pytest.mark.parametrize("kind", [Enclosure, Confidence, Estimate])
def test_its_fields_are_json(kind):
    for number in every_number():
        if type(number) is kind:
            assert kind(**json.loads(json.dumps(asdict(number)))) == number


def test_a_capped_solver_and_its_width_are_printed():
    capped = Enclosure(1.0, 1.23456, "distance", "by hand", capped=True)
    assert repr(capped) == "Enclosure(1.235 in [1, 1.235], distance, capped)"
    assert repr(replace(capped, upper=1.23416)) == "Enclosure(1.234 in [1, 1.235], distance, capped)"
    near = Enclosure(1.0000001, 1.0000002, "distance", "by hand")
    assert repr(near) == "Enclosure(1.0000002 in [1.0000001, 1.0000002], distance, open)"


NUMBERS = st.floats(allow_nan=False)


@given(ends=st.tuples(NUMBERS, NUMBERS, NUMBERS).map(sorted))
def test_a_printed_interval_contains_the_interval(ends):
    lower, value, upper = ends
    for number in (
        Enclosure(lower, upper, "nats", "by hand", capped=True),
        Confidence(value, lower, upper, 0.95, "nats", "by hand", True, "none"),
    ):
        texts = Cells(number._repr_html_()).texts
        printed = [(texts[texts.index("lower") + 1], texts[texts.index("upper") + 1])]
        printed += re.findall(r" in \[(.+), (.+)\], nats", repr(number))
        # One number in place of an interval agrees with it to nine digits.
        assert len(printed) == 2 or upper - lower <= 1e-9 * max(abs(lower), abs(upper)) or lower == upper
        for words in printed:
            low, high = (float(each.replace("−", "-").replace("∞", "inf")) for each in words)
            assert low <= lower
            assert upper <= high


@pytest.mark.parametrize(
    ("enclosure", "vacuous"),
    [
        (Enclosure(0.0, math.inf, "distance", "by hand"), True),
        (Enclosure(0.0, math.inf, "nats", "by hand"), False),  # a change of cross-entropy may be negative
        (Enclosure(-math.inf, math.inf, "nats", "by hand"), True),
        (Enclosure(-math.inf, 3.0, "nats", "by hand"), False),
        (Enclosure(1e-300, math.inf, "squared distance", "by hand", capped=True), False),
    ],
)
def test_an_enclosure_of_everything_is_vacuous(enclosure, vacuous):
    assert (enclosure.status == "vacuous") is vacuous
    assert ("vacuous" in repr(enclosure)) is vacuous


def test_an_interval_is_vacuous_exactly_where_its_radius_covers_the_range():
    one, many = [0.3], [0.25, 0.35] * 50
    assert math.sqrt(math.log(2 / 0.05) / 2) > 1 > math.sqrt(math.log(2 / 0.05) / 200) + 0.3  # Hoeffding's radii
    vacuous, says = (estimators.hoeffding(values, 0, 1, 0.05) for values in (one, many))
    assert (vacuous.status, says.status) == ("vacuous", "guaranteed")
    assert difference(vacuous, vacuous).status == "vacuous"
    assert difference(vacuous, says).status == "guaranteed"
    # The same interval of a mean that has no range excludes something; one that is known at fixed n only is asymptotic.
    assert replace(vacuous, least=None, most=None).status == "guaranteed"
    assert replace(says, guaranteed=False).status == "asymptotic"
    assert replace(vacuous, lower=-math.inf, upper=math.inf, least=None, most=None).status == "vacuous"


def test_ends_of_the_gaussian_distance_are_about_the_gaussians():
    """Closed form: N(1, 1) and N(5, 4) are √(4² + 1²) apart, and the clouds at most √(4² + 1 + 4)."""
    found = estimators.gaussian_wasserstein([[0.0], [2.0]], [[3.0], [7.0]])
    assert found.lower <= math.sqrt(17) <= found.upper
    assert found.upper - found.lower < 1e-12
    clouds = found.enclosure()
    assert clouds.lower == found.lower == found.lower_bound_on_w2
    assert clouds.upper == pytest.approx(math.sqrt(21), rel=1e-12)
