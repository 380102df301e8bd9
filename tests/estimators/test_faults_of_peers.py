"""check_metric on small metrics that each have one fault that users met in other packages, and on ways to call a metric."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from sampled import sampled
from scipy.linalg import sqrtm
from scipy.special import logsumexp

from kd2m_theory import estimators
from kd2m_theory.errors import InputError
from kd2m_theory.estimators import conditional_wasserstein
from kd2m_theory.estimators.axioms import check_metric

SMALL = {"dimension": (1, 3), "points": (1, 3), "examples": 40}


def centres(x, y):
    return np.linalg.norm(x.mean(axis=0) - y.mean(axis=0))


def squares(x, y):
    return ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum()


def cost(x, y):
    return ((x[:, None] - y[None]) ** 2).sum(axis=2)


def sinkhorn(x, y, iterations=1, complain=False):
    """⟨P, C⟩ after too few iterations, without a word or with the words of POT or of scikit-learn."""
    costs = cost(x, y)
    g = np.zeros(len(y))
    for _ in range(iterations):
        f = -logsumexp(g[None] - costs, axis=1) - np.log(len(x))
        g = -logsumexp(f[:, None] - costs, axis=0) - np.log(len(y))
    if complain:
        warnings.warn(complain, stacklevel=1)
    return float((np.exp(f[:, None] + g[None] - costs) * costs).sum())


def frechet(x, y):
    """The formula of the Fréchet distance of two Gaussians as it is often written."""
    one, other = (np.atleast_2d(np.cov(cloud.T, bias=True)) for cloud in (x, y))
    root = sqrtm(np.linalg.inv(one) @ other).real if len(x) > 1 else sqrtm(one @ other).real
    return squares(x, y) + np.trace(one + other - 2 * one @ root)


def unbiased_mmd(x, y):
    """MMD² without the diagonals, which is negative where the clouds agree better than by chance."""
    if min(len(x), len(y)) < 2:
        return 0.0
    k = [np.exp(-cost(*pair)) for pair in ((x, x), (y, y), (x, y))]
    own = [(each.sum() - np.trace(each)) / (len(each) * (len(each) - 1)) for each in k[:2]]
    return float(sum(own) - 2 * k[2].mean())


def squared_mmd(x, y):
    k = [np.exp(-cost(*pair)).mean() for pair in ((x, x), (y, y), (x, y))]
    return float(k[0] + k[1] - 2 * k[2])


def float32_iteration(x, y):
    """A square root by Newton's method, to ten digits, which float32 does not have."""
    goal = squares(x, y) + x.dtype.type(2)
    value = goal
    for _ in range(12):
        value = (value + goal / value) / 2
        if abs(value * value - goal) <= 1e-10 * goal:
            return value - np.sqrt(2)
    return np.nan


def by_class(x, y, labels_x, labels_y):
    """Counts −100 as a class like any other."""
    return sum(centres(x[labels_x == c], y[labels_y == c]) for c in np.unique(labels_x))


def half(x, y):
    return centres(x.astype(np.float16).astype(np.float64), y.astype(np.float16).astype(np.float64))


DRAWS = np.random.default_rng(0)
PEERS = {
    "a solver stops early and says so in a warning (POT)": (
        lambda x, y: sinkhorn(x, y, complain="numItermax reached before optimality. Try to increase numItermax."),
        {"expect": "divergence"},
        "finite",
    ),
    "a solver stops early and says so in a warning (others)": (
        lambda x, y: sinkhorn(x, y, complain="Sinkhorn did not converge"),
        {"expect": "divergence"},
        "finite",
    ),
    "a solver stops early in silence": (sinkhorn, {"expect": "squared"}, "symmetry"),
    "entropic transport from a cloud to itself": (sinkhorn, {"expect": "squared"}, "identity"),
    "a square for a distance": (squares, {}, "triangle"),
    "a distance for a square": (centres, {"expect": "squared"}, "scaling"),
    "float32 that never converges": (float32_iteration, {"dtypes": ("float64", "float32"), "expect": "divergence"}, "dtype"),
    "no number from a covariance without full rank": (frechet, {"expect": "squared"}, "finite"),
    "a negative debiased value": (unbiased_mmd, {"expect": "divergence"}, "non_negativity"),
    "memory that grows as n²": (squared_mmd, {"expect": "divergence", "large": 1000}, "memory"),
    "memory of tensors that grows as n²": (
        lambda x, y: torch.cdist(x, y).mean() - (torch.cdist(x, x).mean() + torch.cdist(y, y).mean()) / 2,
        {"expect": "divergence", "large": 1000, "arrays": "torch"},
        "memory",
    ),
    "an order of the samples that counts": (lambda x, y: np.linalg.norm(x[0] - y[0]), {}, "permutation"),
    "an answer that does not repeat": (lambda x, y: centres(x, y) * DRAWS.random(), {}, "repeatability"),
    "a cast to half precision inside": (half, {}, "scaling"),
    "a cast to half precision, without scaling": (lambda x, y: half(x, y) ** 3, {"expect": "divergence"}, "precision"),
    "a cast to bfloat16": (
        lambda x, y: float(torch_squares(*(torch.as_tensor(cloud).bfloat16().double() for cloud in (x, y)))),
        {"expect": "divergence"},
        "precision",
    ),
    "a result in half precision": (lambda x, y: np.float16(centres(x, y)), {"expect": "divergence"}, "finite"),
    "a result in bfloat16": (
        lambda x, y: torch.as_tensor(centres(x, y)).bfloat16(),
        {"expect": "divergence"},
        "finite",
    ),
    "the label −100 taken for a class": (by_class, {"labels": True}, "ignored_labels"),
}


# Each is caught by an axiom that a quicker one shows, too.
SLOW = (
    "a negative debiased value",
    "a solver stops early in silence",
    "an answer that does not repeat",
    "an order of the samples that counts",
    "entropic transport from a cloud to itself",
    "a square for a distance",
    "a cast to half precision inside",
)


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("fault", sampled(PEERS, later=SLOW))
def test_the_fault_is_found_by_its_axiom_and_said_in_a_sentence(fault):
    distance, options, axiom = PEERS[fault]
    report = check_metric(distance, **SMALL, **options, axioms=[axiom])
    assert [failure.name for failure in report.failures] == [axiom]
    assert len(report.sentences) == 2
    assert report.sentences[1].endswith(".")
    assert "{" not in report.sentences[1]
    with pytest.raises(Exception):  # noqa: B017, PT011  # the printed code fails, in whatever way the metric does
        exec(report[axiom].counterexample, {"distance": distance})


def test_memory_in_proportion_to_the_clouds_passes_and_is_measured():
    def spread(x, y):
        return abs((x - x[0]).std() - (y - y[0]).std())

    result = check_metric(spread, axioms=["memory"], large=4000)["memory"]
    (_, most), (_, least) = result.measured
    assert result.passed
    assert 2 < most / least < 8
    assert check_metric(spread, axioms=["memory"])["memory"].passed is None


def counts(x, y):
    return abs(int((x > 2.5).sum()) - int((y > 2.5).sum()))


def test_full_precision_passes_and_so_do_counts():
    for distance in (centres, counts, lambda x, y: centres(x.astype(np.float32), y.astype(np.float32))):
        assert check_metric(distance, axioms=["precision"], **SMALL)["precision"].passed


def test_what_refuses_the_label_that_does_not_count_is_not_blamed():
    report = check_metric(conditional_wasserstein, labels=True, axioms=["ignored_labels"], examples=10)
    assert report["ignored_labels"].passed is None
    assert "refuses the label -100" in report["ignored_labels"].error


def leaves_out(x, y, labels_x, labels_y):
    return centres(x[labels_x >= 0], y[labels_y >= 0])


def test_what_leaves_those_points_out_passes():
    assert check_metric(leaves_out, labels=True, axioms=["ignored_labels"], **SMALL)["ignored_labels"].passed


# Torch, with and without gradient. One law is asked for at a time where only that law is in question.


def torch_squares(x, y):
    return (x.mean(dim=0) - y.mean(dim=0)).square().sum()


def torch_root(x, y):
    return torch_squares(x, y).sqrt()


def safe_root(x, y):
    return torch.linalg.vector_norm(x.mean(dim=0) - y.mean(dim=0))


def sorted_transport(x, y):
    """W₁ of equal clouds on the line, with kinks wherever points coincide."""
    return (x[:, 0].sort().values - y[:, 0].sort().values).abs().mean()


def matched(x, y):
    """W₂² by an assignment that carries no gradient: its gradient is right all the same (Danskin)."""
    from scipy.optimize import linear_sum_assignment

    costs = (x[:, None] - y[None]).square().sum(dim=2)
    rows, columns = linear_sum_assignment(costs.detach().numpy())
    return costs[rows, columns].mean()


LAWS = ("gradient", "gradient_finite", "gradient_at_equal_clouds")


@pytest.mark.parametrize(
    ("distance", "options"),
    [
        pytest.param(torch_squares, {"expect": "squared"}, marks=pytest.mark.long),
        (safe_root, {}),
        pytest.param(sorted_transport, {"equal_sizes": True, "dimension": (1, 1)}, marks=pytest.mark.long),
        (matched, {"equal_sizes": True, "expect": "squared"}),
    ],
    ids=["squared means", "means", "W1 on the line", "W2 squared"],
)
def test_right_gradients_pass(distance, options):
    report = check_metric(distance, gradient=True, axioms=LAWS, **(SMALL | options))
    report.assert_ok()
    assert [result.passed for result in report.results] == [True, True, True]
    assert report.arrays == "torch"


def attached(value, to):
    """The value with a gradient that is not its own."""
    return value + 0.1 * (to.sum() - to.sum().detach())


WRONG_GRADIENTS = {
    "gradient_finite": torch_root,  # 0/0 where the means coincide
    "gradient": lambda x, y: (x.mean(dim=0) - y.mean(dim=0).detach()).square().sum(),
    "gradient_at_equal_clouds": lambda x, y: attached(torch_squares(x, y), x),
}


@pytest.mark.parametrize("law", WRONG_GRADIENTS)
def test_a_wrong_gradient_is_caught_on_one_point(law):
    report = check_metric(WRONG_GRADIENTS[law], gradient=True, axioms=LAWS, **SMALL)
    assert law in [failure.name for failure in report.failures]
    case = dict(report[law].case)
    assert case["x"] == [[0.0]]
    names = {"distance": WRONG_GRADIENTS[law]}
    with pytest.raises(AssertionError):
        exec(report[law].counterexample, names)


def test_a_value_without_gradient_is_a_failure_where_one_is_asked_for():
    report = check_metric(lambda x, y: torch_squares(x, y).detach(), gradient=True, axioms=["gradient"], **SMALL)
    assert "does not require grad" in report["gradient"].error


def test_a_function_of_tensors_is_called_with_tensors_and_a_function_of_arrays_with_arrays():
    assert check_metric(torch_squares, axioms=["identity"], **SMALL).arrays == "torch"
    assert check_metric(squares, axioms=["identity"], **SMALL).arrays == "numpy"
    refused = check_metric(torch_squares, arrays="numpy", axioms=["identity"], **SMALL)
    assert "dim" in refused["identity"].error


# Batches.


def batch_of_squares(x, y):
    return ((x.mean(1) - y.mean(1)) ** 2).sum(-1)


@pytest.mark.parametrize("arrays", sampled(["numpy", "torch"], always=["torch"]))
def test_a_batched_square_passes(arrays):
    gradient = arrays == "torch"
    report = check_metric(
        batch_of_squares, batched=True, expect="squared", arrays=arrays, gradient=gradient, **(SMALL | {"examples": 15})
    )
    report.assert_ok()
    assert report["batch"].passed


@pytest.mark.parametrize(
    ("distance", "words"),
    [
        (lambda x, y: batch_of_squares(x, y) / len(x), "not independent"),
        (lambda x, y: batch_of_squares(x, y)[::-1], "not independent"),
        (lambda x, y: batch_of_squares(x, y).mean(), "shape"),
    ],
    ids=["divided by B", "reversed", "one number for all"],
)
def test_a_batch_that_is_not_its_pairs_is_caught(distance, words):
    report = check_metric(distance, batched=True, axioms=["batch"], **SMALL)
    assert words in report.sentences[1]


# The report.


def test_the_report_can_be_read_aloud():
    report = check_metric(squares, **SMALL, axioms=["triangle", "identity"])
    first, second = report.sentences
    assert first == "squares as a metric, on NumPy arrays: 1 of 2 axioms fail."
    assert second.startswith("The triangle inequality fails: from the point ")
    assert 'say expect="squared"' in second
    assert str(report).startswith(f"{first}\n{second}\n\naxiom")
    assert check_metric(centres, **SMALL, axioms=["identity"]).sentences == (
        "centres as a metric, on NumPy arrays: 0 of 1 axioms fail; the search found nothing.",
    )


def test_numbers_that_differ_late_are_not_said_to_be_equal():
    report = check_metric(lambda x, y: 1 + 1e-5 * len(x), axioms=["symmetry"], **SMALL)
    one, other = report["symmetry"].measured
    assert one[1] != other[1]
    assert report.sentences[1].count("1.00001") + report.sentences[1].count("1.00002") == 2


@pytest.mark.long
def test_a_suite_has_a_fixture(tmp_path):
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["kd2m_theory.estimators.metric_fixture"]\n')
    (tmp_path / "test_mine.py").write_text(
        "import numpy as np\n"
        "def centres(x, y):\n    return np.linalg.norm(x.mean(axis=0) - y.mean(axis=0))\n"
        "def test_good(metric_laws):\n"
        "    assert metric_laws(centres, axioms=['identity'], examples=50)['identity'].examples == 7\n"
        "def test_bad(metric_laws):\n    metric_laws(lambda x, y: centres(x, y) + 1, axioms=['identity'])\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--metric-examples", "7", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 failed, 1 passed" in done.stdout
    assert "It is not 0 between equal clouds" in done.stdout


BY_CLASS = {
    "conditional_wasserstein": lambda x, y, labels: estimators.conditional_wasserstein(x, y, labels, labels),
    "joint_wasserstein": lambda x, y, labels: estimators.joint_wasserstein(x, y, labels, labels, beta=1.0),
    "conditional_mmd": lambda x, y, labels: estimators.conditional_mmd(x, y, labels, labels, bandwidth=1.0),
    "conditional_gaussian_wasserstein": lambda x, y, labels: estimators.conditional_gaussian_wasserstein(x, y, labels, labels),
    "conditional_gaussian_kl": lambda x, y, labels: estimators.conditional_gaussian_kl(x, y, labels, labels),
}


@pytest.mark.parametrize("name", BY_CLASS)
def test_distances_of_this_package_refuse_the_label_that_does_not_count(name):
    x, y = np.random.default_rng(0).normal(size=(2, 12, 2))
    labels = np.arange(12) % 2
    assert float(BY_CLASS[name](x, y, labels)) >= 0
    labels[-3:] = -100
    with pytest.raises(InputError, match="label -100, of rows that do not count, 3 times"):
        BY_CLASS[name](x, y, labels)
