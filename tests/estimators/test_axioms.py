"""check_metric on distances that obey their axioms, and on callables with one planted defect each."""

import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sampled import sampled

from kd2m_theory.errors import InputError
from kd2m_theory.estimators import conditional_wasserstein, wasserstein
from kd2m_theory.estimators.axioms import ALL_AXIOMS, AXIOMS_OF, check_metric, load_callable

# Smaller clouds than by default, where only what becomes of a finding matters: less to draw and to shrink, by the same steps.
SMALL = {"dimension": (1, 3), "points": (1, 4)}


def centre_distance(x, y):
    """Distance of the means: a pseudo-metric that is quick to compute and has every law but separation."""
    return float(np.linalg.norm(np.asarray(x).mean(axis=0) - np.asarray(y).mean(axis=0)))


def squared(x, y):
    return wasserstein(x, y, 2).squared()


def squared_centres(x, y):
    return centre_distance(x, y) ** 2


def reproduces(result, distance):
    """Whether the counterexample, run as it is printed, raises."""
    names = {"distance": distance}
    try:
        exec(result.counterexample, names)
    except Exception:
        return True
    return False


def caught(distance, axiom, repeats=True, **options):
    """The result of one axiom alone, which must fail with code that reproduces it."""
    report = check_metric(distance, axioms=[axiom], **options)
    result = report[axiom]
    assert result.passed is False, f"{axiom} was not caught"
    assert not report.passed
    if repeats:
        assert reproduces(result, distance), result.counterexample
    with pytest.raises(AssertionError, match=axiom):
        report.assert_ok()
    return result


@pytest.mark.parametrize(
    ("distance", "options"),
    [
        pytest.param(wasserstein, {"axioms": (*AXIOMS_OF["metric"], "translation", "separation")}, marks=pytest.mark.long),
        pytest.param(partial(wasserstein, p=2), {"dtypes": ("float64", "float32")}, marks=pytest.mark.long),
        pytest.param(conditional_wasserstein, {"labels": True}, marks=pytest.mark.long),
        pytest.param(
            partial(conditional_wasserstein, p=2, weighting="uniform"),
            {"labels": True, "points": (2, 5)},
            marks=pytest.mark.long,
        ),
        pytest.param(squared, {"expect": "squared"}, marks=pytest.mark.long),
        (centre_distance, {"axioms": (*AXIOMS_OF["metric"], "translation"), "dtypes": ("float32", "float64")}),
    ],
    ids=["W1", "W2", "conditional W1", "conditional W2", "squared W2", "centres"],
)
def test_what_is_a_metric_passes(distance, options):
    report = check_metric(distance, examples=25, **options)
    report.assert_ok()
    assert all(result.examples == 25 for result in report.results if result.passed and result.name != "precision")
    assert all(result.passed or result.name in ("dtype", "ignored_labels") for result in report.results)


@pytest.mark.long
def test_paired_distances_keep_their_pairs():
    def paired(x, y):
        return np.sqrt(((x - y) ** 2).sum(axis=1).mean())

    check_metric(paired, paired=True, examples=20, **SMALL).assert_ok()
    assert [failure.name for failure in check_metric(paired, equal_sizes=True, examples=60, **SMALL).failures] == [
        "permutation"
    ]


def test_a_squared_distance_breaks_the_triangle_inequality_and_the_code_shows_it():
    result = caught(squared_centres, "triangle", **SMALL)
    (_, direct), (_, detour) = result.measured
    assert direct > detour
    names = {"distance": squared_centres}
    with pytest.raises(AssertionError):
        exec(result.counterexample, names)
    assert len(names["x"]) + len(names["y"]) + len(names["z"]) == 3  # one point a cloud
    assert names["x"].shape[1] == 1  # on a line
    assert not check_metric(squared_centres, axioms=["scaling"], examples=20, **SMALL).passed


def gaussian_kl(x, y):
    (m, s), (k, t) = ((z.mean(), z.var() + 1.0) for z in map(np.asarray, (x, y)))
    return 0.5 * (np.log(t / s) + (s + (m - k) ** 2) / t - 1.0)


@pytest.mark.long
def test_a_divergence_is_no_metric():
    caught(gaussian_kl, "symmetry", **SMALL)
    check_metric(gaussian_kl, expect="divergence", examples=60).assert_ok()


def test_a_divergence_may_be_infinite_but_not_nan():
    def apart(x, y):
        return 0.0 if np.unique(x).tolist() == np.unique(y).tolist() else np.inf

    check_metric(apart, expect="divergence", examples=15, **SMALL).assert_ok()
    caught(apart, "finite", **SMALL)
    caught(lambda x, y: apart(x, y) - apart(x, y) if len(x) > 1 else 0.0, "finite", expect="divergence", **SMALL)


def nan_on_duplicates(x, y):
    return np.nan if len(np.unique(x, axis=0)) < len(x) else centre_distance(x, y)


def writes(x, y):
    value = centre_distance(x, y)
    x -= x.mean(axis=0) + 1.0
    return value


def drifts_in_float32(x, y):
    return abs(float((x + 1e5).mean() - (y + 1e5).mean()))


def tensors_are_doubled(x, y):
    return (2 if isinstance(x, torch.Tensor) else 1) * abs(float(x.mean() - y.mean()))


PLANTED = {
    "finite": nan_on_duplicates,
    "non_negativity": lambda x, y: float(x.mean() - y.mean()),
    "identity": lambda x, y: centre_distance(x, y) + 1e-3,
    "permutation": lambda x, y: float(np.linalg.norm(x[0] - y[0])),
    "purity": writes,
    "array_type": tensors_are_doubled,
    "symmetry": lambda x, y: centre_distance(x, y) * (1 + (x.mean() > y.mean())),
    "triangle": lambda x, y: centre_distance(x, y) ** 1.2,
    "scaling": lambda x, y: np.sqrt(centre_distance(x, y)),
    "translation": lambda x, y: abs(np.linalg.norm(x.mean(axis=0)) - np.linalg.norm(y.mean(axis=0))),
    "separation": centre_distance,
}


@pytest.mark.parametrize("axiom", sampled(PLANTED, later=["triangle", "separation", "translation", "permutation"]))
def test_a_planted_defect_is_caught_and_shrunk(axiom):
    # Clouds of equal mean that differ clearly are rare.
    examples = 1500 if axiom == "separation" else 200
    result = caught(PLANTED[axiom], axiom, seed=1, examples=examples, **SMALL)
    names = {"distance": PLANTED[axiom]}
    with pytest.raises(AssertionError):
        exec(result.counterexample, names)
    clouds = [names[name] for name in "xyz" if name in names]
    assert sum(map(len, clouds)) <= (4 if axiom == "triangle" else 3)  # 0, {0, 1}, 1 is as good as 0, 1, 2
    assert clouds[0].shape[1] == 1
    assert all(abs(cloud).max() <= 3 for cloud in clouds)


def test_the_defects_are_caught_by_their_own_axiom():
    """The other axioms of a callable that writes into its input hold: each call gets its own copy."""
    assert [failure.name for failure in check_metric(writes, examples=15, **SMALL).failures] == ["purity"]


def test_random_results_are_caught():
    rng = np.random.default_rng(0)
    caught(lambda x, y: rng.random(), "repeatability", repeats=False)


def test_float32_that_loses_digits_is_caught():
    result = caught(drifts_in_float32, "dtype", dtypes=("float64", "float32"), **SMALL)
    assert result.measured[0][0] == "d(x.astype(dtype), y.astype(dtype))"


def test_an_exception_is_a_failure_with_its_text():
    def refuses(x, y):
        if len(x) != len(y):
            raise ValueError("sizes differ:\n not supported")
        return centre_distance(x, y)

    result = caught(refuses, "symmetry", **SMALL)
    assert result.error == "ValueError: sizes differ: not supported"
    check_metric(refuses, equal_sizes=True, examples=15, **SMALL).assert_ok()


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(np.float32, marks=pytest.mark.long),
        pytest.param(np.array, marks=pytest.mark.long),
        lambda v: torch.tensor(v, dtype=torch.float64, requires_grad=True),
        lambda v: SimpleNamespace(value=v),
    ],
    ids=["scalar", "0-d array", "0-d tensor", "object with .value"],
)
def test_what_a_distance_may_return(wrap):
    check_metric(lambda x, y: wrap(centre_distance(x, y)), examples=15, **SMALL).assert_ok()


@pytest.mark.parametrize("result", [None, (1.0, 2.0), np.zeros(3)])
def test_what_it_may_not(result):
    assert check_metric(lambda x, y: result, axioms=["finite"])["finite"].error


def test_a_callable_that_takes_no_tensors_is_not_blamed():
    def numpy_only(x, y):
        if not isinstance(x, np.ndarray):
            raise TypeError("arrays only")
        return centre_distance(x, y)

    result = check_metric(numpy_only, axioms=["array_type"])["array_type"]
    assert result.passed is None
    assert "arrays only" in result.error


@pytest.mark.long
def test_equal_seeds_give_equal_reports():
    for distance, axioms in ((nan_on_duplicates, ["finite"]), (gaussian_kl, ["symmetry"])):
        first, second = (check_metric(distance, axioms=axioms, seed=3, examples=15, **SMALL) for _ in range(2))
        assert first == second
        assert str(first) == str(second)


@pytest.mark.long
def test_nothing_is_printed_and_no_folder_written(tmp_path):
    code = "import f\nfrom kd2m_theory.estimators.axioms import check_metric\nassert not check_metric(f.f, axioms=['non_negativity'], examples=60).passed"
    (tmp_path / "f.py").write_text("def f(x, y):\n    return float(x.mean() - y.mean())\n")
    command = [sys.executable, "-B", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["f.py"]


@pytest.mark.long
def test_the_table_names_every_axiom():
    words = str(check_metric(squared_centres, examples=3, axioms=ALL_AXIOMS, **SMALL))
    assert all(name in words for name in ALL_AXIOMS)
    assert "np.array([[" in words


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"expect": "norm"}, "expect is 'norm'"),
        ({"axioms": ["beauty"]}, "axioms is 'beauty'"),
        ({"axioms": "identity"}, "axioms is 'identity'"),
        ({"axioms": []}, r"axioms is \[\]"),
        ({"dimension": 3}, "dimension is 3"),
        ({"points": (4, 2)}, r"points is \(4, 2\)"),
        ({"points": (0, 2)}, r"points is \(0, 2\)"),
        ({"tolerance": float("nan")}, "tolerance is nan"),
        ({"examples": 0}, "examples is 0"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"dtypes": ("float16",)}, "dtypes is 'float16'"),
        ({"scaling": "cubic"}, "scaling is 'cubic'"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(InputError, match=message) as error:
        check_metric(centre_distance, **arguments)
    assert "\n" not in str(error.value)


def test_what_cannot_be_called_is_refused():
    with pytest.raises(InputError, match="distance is 3"):
        check_metric(3)


def test_a_callable_is_found_by_name(tmp_path, monkeypatch):
    (tmp_path / "distances_by_name.py").write_text(
        "LEVEL = 3\nclass Box:\n    @staticmethod\n    def far(x, y):\n        return 0.0\n"
    )
    (tmp_path / "my_broken.py").write_text("raise RuntimeError('no\\nlicence')\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    assert load_callable("kd2m_theory.estimators:wasserstein") is wasserstein
    assert load_callable("distances_by_name:Box.far")(0, 0) == 0.0
    for target, message in {
        "distances_by_name": "write module:function",
        "distances_by_name:": "write module:function",
        "no_such_module:f": "No module named 'no_such_module'",
        "distances_by_name:near": "has no near",
        "distances_by_name:LEVEL": "distances_by_name:LEVEL is 3",
        "my_broken:f": "RuntimeError: no licence",
    }.items():
        with pytest.raises(InputError, match=message) as error:
            load_callable(target)
        assert "\n" not in str(error.value)
