"""Objectives: values from formulas written again here, gradients by finite differences, and the defects that must stay away."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, kl_divergence

from kd2m_theory.errors import InputError
from kd2m_theory.validation.objectives.registry import NAMES, SINGLE, objective
from kd2m_theory.validation.objectives.ttm import smoothness
from kd2m_theory.validation.outputs import Outputs

CLASSES = 4
SUM = {"kd": 0.5, "cw2": {"weight": 0.1}, "wide": {"name": "mmd", "bandwidth": 9.0}}
# Objectives whose terms compare laws: they do not know which teacher row belongs to which student row.
MARGINAL = ["w2", "jw2", "gaussian-w2", "gaussian-kl", "symmetric-gaussian-kl", "mmd", "gromov-w2", "sliced-w2"]
CONDITIONAL = ["cw2", "gaussian-cw2", "conditional-gaussian-kl", "conditional-mmd"]
PAIRED = ["kd", "ttm", "wttm", "paired-l2", "unikd-reconstruction"]
WITH_TERMS = [name for name in NAMES if name != "none"]


class Net(nn.Module):
    """What the registry looks at."""

    def __init__(self, features=3, classes=CLASSES, stages=(2, 3)):
        super().__init__()
        self.fc = nn.Linear(features, classes)
        self.feature_size = features
        self.stage_channels = stages


def make(name, student=None, teacher=None, **options):
    if name == "sum":
        options = {"terms": SUM} | options
    return objective(name, student or Net(), teacher or Net(), init_seed=0, **options).double()


def outputs(n=9, d=3, seed=0, classes=CLASSES):
    rng = np.random.default_rng(seed)
    shapes = ((n, classes), (n, d), (n, 2, 4, 4), (n, 3, 2, 2))
    logits, features, shallow, deep = (torch.tensor(rng.normal(size=shape)) for shape in shapes)
    return Outputs(logits, features, (shallow, deep))


def labels_of(n=9):
    return torch.arange(n) % 3  # class 3 is absent


def flat(batch):
    return (batch.logits, batch.features, *batch.stages)


def rebuilt(tensors):
    logits, features, *stages = tensors
    return Outputs(logits, features, tuple(stages))


def mapped(batch, change):
    return rebuilt([change(tensor) for tensor in flat(batch)])


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def kl(p, q):
    return (p * (np.log(p) - np.log(q))).sum(axis=1)


def brute_w2(x, y):
    """W₂² of two clouds of one size: the best of all permutations."""
    costs = ((x[:, None] - y[None]) ** 2).sum(axis=2)
    return min(costs[range(len(x)), order].mean() for order in itertools.permutations(range(len(x))))


def moments(x, shrinkage=0.0, diagonal=False):
    covariance = np.cov(x.T, bias=True)
    if diagonal:
        covariance = np.diag(np.diag(covariance))
    return x.mean(axis=0), (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / x.shape[1] * np.eye(x.shape[1])


def root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T


def brute_gaussian_w2(x, y, diagonal=False):
    (mean_x, cov_x), (mean_y, cov_y) = moments(x, diagonal=diagonal), moments(y, diagonal=diagonal)
    half = root(cov_x)
    return ((mean_x - mean_y) ** 2).sum() + np.trace(cov_x + cov_y - 2 * root(half @ cov_y @ half))


def brute_kl(x, y, shrinkage, diagonal=False):
    first, second = (MultivariateNormal(*(torch.tensor(part) for part in moments(z, shrinkage, diagonal))) for z in (x, y))
    return kl_divergence(first, second).item()


def brute_mmd(x, y, sigma):
    def mean(a, b):
        return np.mean([[math.exp(-((p - q) ** 2).sum() / (2 * sigma**2)) for q in b] for p in a])

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


def by_class(distance, x, y, labels):
    return np.mean([distance(x[labels == c], y[labels == c]) for c in np.unique(labels)])


def conditional_moments(x, labels, pooling, shrinkage):
    within = sum(np.cov(x[labels == c].T, bias=True) * (labels == c).sum() for c in np.unique(labels)) / len(x)
    result = {}
    for c in np.unique(labels):
        own = x[labels == c]
        share = pooling if len(own) > 1 else 1.0
        covariance = (1 - share) * np.cov(own.T, bias=True) + share * within
        level = shrinkage * np.trace(covariance) / x.shape[1]
        result[c] = own.mean(axis=0), (1 - shrinkage) * covariance + level * np.eye(x.shape[1])
    return result


def brute_conditional_kl(x, y, labels, pooling=0.5, shrinkage=0.1):
    first, second = (conditional_moments(z, labels, pooling, shrinkage) for z in (x, y))
    normal = {
        side: {c: MultivariateNormal(*map(torch.tensor, m)) for c, m in of.items()}
        for side, of in zip("xy", (first, second), strict=True)
    }
    return np.mean([kl_divergence(normal["x"][c], normal["y"][c]).item() for c in first])


def median_distance(x):
    return np.median([np.linalg.norm(p - q) for p, q in itertools.combinations(x, 2)])


def oracle(name, options, student, teacher, labels):
    """The value of a term by the formula, in NumPy and float64."""
    a_s, z_s, a_t, z_t = (t.numpy() for t in (student.logits, student.features, teacher.logits, teacher.features))
    y = labels.numpy()
    gamma = options.get("gamma", 0.1)
    diagonal = options.get("covariance") == "diagonal"
    power = softmax(a_t) ** gamma
    target = power / power.sum(axis=1, keepdims=True)
    predicted = np.eye(CLASSES)[y] if options.get("label_cost") == "labels" else softmax(a_t)
    sigma = options.get("bandwidth") or median_distance(z_t)
    linear = options.get("kernel") == "linear"
    mmd = (lambda p, q: ((p.mean(axis=0) - q.mean(axis=0)) ** 2).sum()) if linear else lambda p, q: brute_mmd(p, q, sigma)
    beta = options.get("beta", 1.0) ** 0.5
    joint = [np.hstack((z_s, beta * softmax(a_s))), np.hstack((z_t, beta * predicted))]
    shrinkage = options.get("shrinkage", 0.1)
    values = {
        "kd": lambda: 16 * kl(softmax(a_t / 4), softmax(a_s / 4)).mean(),
        "ttm": lambda: kl(target, softmax(a_s)).mean(),
        "wttm": lambda: (power.sum(axis=1) * kl(target, softmax(a_s))).mean(),
        "w2": lambda: brute_w2(z_s, z_t),
        "cw2": lambda: by_class(brute_w2, z_s, z_t, y),
        "jw2": lambda: brute_w2(*joint),
        "gaussian-w2": lambda: brute_gaussian_w2(z_s, z_t, diagonal),
        "gaussian-cw2": lambda: by_class(lambda p, q: brute_gaussian_w2(p, q, diagonal), z_s, z_t, y),
        "gaussian-kl": lambda: brute_kl(
            *((z_s, z_t) if options.get("direction") == "student-teacher" else (z_t, z_s)), shrinkage, diagonal
        ),
        "symmetric-gaussian-kl": lambda: (
            (brute_kl(z_t, z_s, shrinkage, diagonal) + brute_kl(z_s, z_t, shrinkage, diagonal)) / 2
        ),
        "conditional-gaussian-kl": lambda: brute_conditional_kl(z_t, z_s, y, options.get("pooling", 0.5), shrinkage),
        "mmd": lambda: mmd(z_s, z_t),
        "conditional-mmd": lambda: by_class(mmd, z_s, z_t, y),
        "paired-l2": lambda: ((z_s - z_t) ** 2).sum(axis=1).mean(),
    }
    return values[name]()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("kd", {}),
        ("ttm", {}),
        ("ttm", {"gamma": 0.5}),
        ("wttm", {"gamma": 0.3}),
        ("w2", {}),
        ("cw2", {}),
        ("jw2", {"beta": 2.5}),
        ("jw2", {"beta": 3.0, "label_cost": "labels"}),
        ("gaussian-w2", {}),
        ("gaussian-w2", {"covariance": "diagonal"}),
        ("gaussian-cw2", {}),
        ("gaussian-cw2", {"covariance": "diagonal"}),
        ("gaussian-kl", {}),
        ("gaussian-kl", {"shrinkage": 0.0, "direction": "student-teacher"}),
        ("gaussian-kl", {"covariance": "diagonal", "shrinkage": 0.0}),
        ("symmetric-gaussian-kl", {"shrinkage": 0.3}),
        ("conditional-gaussian-kl", {"pooling": 0.25}),
        ("mmd", {}),
        ("mmd", {"bandwidth": 0.7}),
        ("mmd", {"kernel": "linear"}),
        ("conditional-mmd", {}),
        ("conditional-mmd", {"kernel": "linear"}),
        ("paired-l2", {}),
    ],
)
def test_terms_are_their_formulas(name, options):
    student, teacher, labels = outputs(7, seed=1), outputs(7, seed=2), labels_of(7)
    loss = make(name, **options)(student, teacher, labels)
    # The oracle's root of a singular covariance keeps half of its digits.
    expected = pytest.approx(oracle(name, options, student, teacher, labels), rel=1e-7)
    assert loss.parts[name.replace("-", "_")].item() == expected


def test_sliced_w2_of_features_on_a_line_is_w2():
    student, teacher = outputs(7, d=1, seed=1), outputs(7, d=1, seed=2)
    loss = make("sliced-w2", Net(1), Net(1))(student, teacher, labels_of(7))
    assert loss.parts["sliced_w2"].item() == pytest.approx(brute_w2(student.features.numpy(), teacher.features.numpy()))


def test_gromov_w2_compares_shapes_across_dimensions():
    student = outputs(8, d=2, seed=3)
    # Isometric copies lie at zero; a copy twice as large at the mean square of the distances.
    turned = torch.linalg.qr(torch.tensor(np.random.default_rng(4).normal(size=(5, 2))))[0]
    copy = Outputs(student.logits, student.features @ turned.T + 7)
    large = Outputs(student.logits, student.features * 2)
    term = make("gromov-w2", Net(2), Net(5))
    assert term(student, copy, labels_of(8)).parts["gromov_w2"].item() == pytest.approx(0, abs=1e-9)
    assert make("gromov-w2", Net(2), Net(2))(student, large, labels_of(8)).parts["gromov_w2"].item() == pytest.approx(
        torch.cdist(student.features, student.features).square().mean().item(), rel=1e-6
    )


@pytest.mark.parametrize("name", NAMES)
def test_total_is_cross_entropy_and_weighted_terms(name):
    student, teacher, labels = outputs(seed=1), outputs(seed=2), labels_of()
    made = make(name)
    made.start_epoch(1, 10)
    loss = made(student, teacher, labels)
    expected = -np.log(softmax(student.logits.numpy())[range(9), labels]).mean()
    assert loss.parts["cross_entropy"].item() == pytest.approx(expected)
    weights = {"cross_entropy": made.cross_entropy} | made.weights()
    assert set(weights) == set(loss.parts)
    assert loss.total.item() == pytest.approx(sum(weight * loss.parts[part].item() for part, weight in weights.items()))
    assert not any(part.requires_grad for part in loss.parts.values())
    assert all(part.shape == () for part in loss.parts.values())


@pytest.mark.parametrize("name", NAMES)
def test_gradient_by_finite_differences_and_none_for_the_teacher(name):
    student, teacher, labels = outputs(6, seed=1), outputs(6, seed=2), labels_of(6)
    # The anchor of UniKD stops its gradient on purpose (test_unikd.py). In evaluation sliced transport keeps its directions.
    made = make(name, **({"anchor": False} if name.startswith("unikd") else {})).eval()
    student, teacher = (mapped(batch, torch.Tensor.requires_grad_) for batch in (student, teacher))
    assert torch.autograd.gradcheck(lambda *t: made(rebuilt(t), teacher, labels).total, flat(student))
    made(student, teacher, labels).total.backward()
    assert all(tensor.grad is None for tensor in flat(teacher))
    assert all(parameter.grad is not None for parameter in made.parameters())


@pytest.mark.parametrize("name", [*MARGINAL, *CONDITIONAL])
def test_a_distribution_has_no_order(name):
    student, teacher, labels = outputs(seed=1), outputs(seed=2), labels_of()
    order = torch.from_numpy(np.random.default_rng(5).permutation(9))
    if name in CONDITIONAL:
        order = torch.tensor([3, 7, 8, 6, 1, 5, 0, 4, 2])  # within classes
        assert torch.equal(labels[order], labels)
    made = make(name).eval()
    part = name.replace("-", "_")
    values = [made(mapped(student, lambda t, o=o: t[o]), teacher, labels).parts[part] for o in (torch.arange(9), order)]
    torch.testing.assert_close(*values, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", PAIRED)
def test_a_pairing_has_one(name):
    student, teacher, labels = outputs(seed=1), outputs(seed=2), labels_of()
    made = make(name)
    straight, turned = (made(s, teacher, labels).parts for s in (student, mapped(student, lambda t: t.flip(0))))
    part = "distribution" if name.startswith("unikd") else name.replace("-", "_")
    assert abs(straight[part] - turned[part]) > 1e-3


# What the author's code gets wrong.


@pytest.mark.parametrize("name", [*MARGINAL, *CONDITIONAL, "paired-l2"])
def test_moving_the_teacher_moves_the_loss(name):
    """There, joint W₂ compared the student with itself, and a teacher moved by +100 left the loss unchanged."""
    student, teacher, labels = outputs(seed=1), outputs(seed=2), labels_of()
    moved = Outputs(teacher.logits, teacher.features + 100)
    if name == "gromov-w2":  # shapes do not move
        moved = Outputs(teacher.logits, teacher.features * 100)
    made, part = make(name, **({"bandwidth": 50.0} if "mmd" in name else {})).eval(), name.replace("-", "_")
    assert made(student, moved, labels).parts[part] > 100 * made(student, teacher, labels).parts[part]


def test_the_labels_of_jw2_move_it_and_carry_gradient():
    """There, the label cost's normaliser was detached; here there is none, and logits get gradient from D alone."""
    student, teacher, labels = outputs(seed=1), outputs(seed=2), labels_of()
    for cost in ("predictions", "labels"):
        logits = student.logits.clone().requires_grad_()
        made = make("jw2", label_cost=cost, cross_entropy=0.0)
        made(Outputs(logits, student.features), teacher, labels).total.backward()
        assert logits.grad.abs().max() > 1e-3
    other = Outputs(-teacher.logits, teacher.features)
    assert make("jw2")(student, other, labels).total != make("jw2")(student, teacher, labels).total


@pytest.mark.parametrize("name", CONDITIONAL)
def test_conditional_losses_average_over_the_classes_present(name):
    """There, they raised a TypeError, and summed."""
    student, teacher, labels = outputs(6, seed=1), outputs(6, seed=2), torch.tensor([0, 0, 0, 2, 2, 2])
    twice = torch.cat((labels, labels + 10))
    made, part = make(name), name.replace("-", "_")
    doubled = [mapped(batch, lambda t: torch.cat((t, t))) for batch in (student, teacher)]
    if name == "conditional-mmd":  # a fixed bandwidth: two copies have another median distance
        made = make(name, bandwidth=1.3)
    once = made(student, teacher, labels).parts[part]
    made.cross_entropy = 0.0
    torch.testing.assert_close(made.terms(*doubled, twice)[part], once)


@pytest.mark.parametrize("name", CONDITIONAL)
@pytest.mark.parametrize("labels", [[0, 0, 0, 2, 2, 2, 3], [1, 1, 1, 1, 1, 1, 1], [3, 0, 0, 1, 0, 1, 2]])
def test_classes_may_be_absent_or_have_one_image(name, labels):
    labels = torch.tensor(labels)
    student, teacher = outputs(7, seed=1), outputs(7, seed=2)
    for dtype in (torch.float64, torch.float32):
        z = student.features.to(dtype, copy=True).requires_grad_()
        made = make(name).to(dtype)
        loss = made(Outputs(student.logits.to(dtype), z), teacher, labels)
        loss.total.backward()
        expected = oracle(name, {}, student, teacher, labels)
        assert loss.parts[name.replace("-", "_")].item() == pytest.approx(
            expected, rel=1e-7 if dtype == torch.float64 else 1e-3
        )
        assert z.grad.isfinite().all()
        assert (z.grad[labels == labels[-1]] != 0).any()


def test_a_class_of_one_image_alone_costs_its_squared_distance():
    student, teacher, labels = outputs(3, seed=1), outputs(3, seed=2), torch.tensor([0, 1, 2])
    for name in ("cw2", "gaussian-cw2"):
        value = make(name)(student, teacher, labels).parts[name.replace("-", "_")]
        torch.testing.assert_close(value, (student.features - teacher.features).square().sum(dim=1).mean())


def test_kd_averages_over_the_teacher():
    """There, the arguments of the logit KL were swapped."""
    teacher = Outputs(torch.tensor([[math.log(0.999), math.log(0.001)]]), torch.zeros(1, 3))
    student = Outputs(torch.zeros(1, 2), torch.zeros(1, 3))
    value = make("kd", Net(3, 2), Net(3, 2), temperature=1.0)(student, teacher, torch.tensor([0])).parts["kd"].item()
    assert value == pytest.approx(0.999 * math.log(0.999 / 0.5) + 0.001 * math.log(0.001 / 0.5), rel=1e-5)


def test_gaussians_have_correlations_and_no_eps():
    """There, only diagonals were compared, and an eps stood in the divisions."""
    rng = np.random.default_rng(0)
    z = torch.tensor(rng.normal(size=(400, 2)))
    z = (z - z.mean(dim=0)) @ torch.linalg.inv(torch.linalg.cholesky(z.T.cov(correction=0))).T
    turn = torch.tensor([[1.0, 0.9], [0.9, 1.0]], dtype=torch.float64)
    student, teacher = (Outputs(torch.zeros(400, CLASSES).double(), x) for x in (z, z @ torch.linalg.cholesky(turn).T))
    labels = torch.zeros(400, dtype=torch.int64)
    for name in ("gaussian-w2", "gaussian-kl"):
        part = name.replace("-", "_")
        options = {} if name == "gaussian-w2" else {"shrinkage": 0.0}
        full, diagonal = (
            make(name, Net(2), Net(2), covariance=c, **options)(student, teacher, labels).parts[part].item()
            for c in ("full", "diagonal")
        )
        assert full > 0.1
        assert diagonal == pytest.approx(0, abs=1e-9)
    tiny = [Outputs(batch.logits, 1e-9 * batch.features) for batch in (student, teacher)]
    made = make("gaussian-kl", Net(2), Net(2), shrinkage=0.0)
    torch.testing.assert_close(made(*tiny, labels).parts, made(student, teacher, labels).parts, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["gaussian-kl", "symmetric-gaussian-kl", "conditional-gaussian-kl"])
@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_dead_units_make_kl_infinite_which_is_said(name, covariance):
    student, teacher, labels = outputs(12, seed=1), outputs(12, seed=2), labels_of(12)
    dead = Outputs(student.logits, student.features * torch.tensor([1.0, 0.0, 1.0]))
    with pytest.raises(InputError, match=r"no finite value on this batch: .*ask for shrinkage > 0"):
        make(name, covariance=covariance, shrinkage=0.0)(dead, teacher, labels)
    z = dead.features.requires_grad_()
    loss = make(name, covariance=covariance)(Outputs(student.logits, z), teacher, labels)
    loss.total.backward()
    assert loss.total.isfinite()
    assert z.grad.isfinite().all()


def test_no_class_with_two_images_is_named():
    with pytest.raises(InputError, match="each of the 3 classes in this batch has one image"):
        make("conditional-gaussian-kl")(outputs(3), outputs(3, seed=1), torch.arange(3))


# Logarithms of small probabilities.


@pytest.mark.parametrize("name", ["kd", "ttm", "wttm"])
@pytest.mark.parametrize("gamma", [0.1, 1.0])
def test_float32_at_logits_of_a_hundred(name, gamma):
    """A power of a float32 softmax underflows here."""
    rng = np.random.default_rng(0)
    student, teacher = (torch.tensor(rng.choice([-100.0, -30.0, 0.0, 100.0], size=(16, 10))) for _ in range(2))
    options = {"temperature": 1 / gamma} if name == "kd" else {"gamma": gamma}
    made = make(name, Net(3, 10), Net(3, 10), **options)
    values, gradients = [], []
    for dtype in (torch.float64, torch.float32):
        logits = student.to(dtype, copy=True).requires_grad_()
        features = torch.zeros(16, 3, dtype=dtype)
        loss = made(Outputs(logits, features), Outputs(teacher.to(dtype), features), torch.arange(16) % 10)
        loss.total.backward()
        values.append(loss.total.detach().double())
        gradients.append(logits.grad.double())
    torch.testing.assert_close(values[1], values[0], rtol=1e-5, atol=0)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-5, atol=1e-5 * gradients[0].abs().max().item())


@pytest.mark.parametrize("temperature", [1.5, 4.0, 10.0])
def test_ttm_is_kd_with_a_renyi_regulariser(temperature):
    """β = λT/(1 − λ): L_TTM − L_KD/(1 − λ) has the gradient of −λT(T − 1)/(1 − λ)·H_{1/T}(q)."""
    weight = 0.7
    student, teacher, labels = outputs(20, seed=3), outputs(20, seed=4), labels_of(20)
    logits = (3 * student.logits).requires_grad_()
    student = Outputs(logits, student.features)
    kd = make("kd", weight=weight, temperature=temperature)(student, teacher, labels).total
    ttm = make("ttm", weight=weight * temperature / (1 - weight), gamma=1 / temperature)(student, teacher, labels).total
    q = torch.exp(logits - logits.exp().sum(dim=1, keepdim=True).log())
    order = 1 / temperature
    renyi = ((q**order).sum(dim=1).log() / (1 - order)).mean()
    difference, regulariser = (
        torch.autograd.grad(value, logits, retain_graph=True)[0]
        for value in (ttm - kd / (1 - weight), -weight * temperature * (temperature - 1) / (1 - weight) * renyi)
    )
    torch.testing.assert_close(difference, regulariser, rtol=1e-10, atol=1e-12)
    assert difference.abs().max() > 1e-2


@pytest.mark.parametrize("gamma", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_of_wttm_lie_between_one_and_their_bound(gamma, dtype):
    rng = np.random.default_rng(0)
    logits = torch.tensor(np.vstack([scale * rng.normal(size=(50, 7)) for scale in (0.0, 0.1, 1.0, 10.0, 100.0)]), dtype=dtype)
    weights = smoothness(logits, gamma)
    slack = 1 + 100 * torch.finfo(dtype).eps
    assert weights.min() >= 1 / slack
    assert weights.max() <= 7 ** (1 - gamma) * slack
    torch.testing.assert_close(weights[0].item(), 7 ** (1 - gamma), rtol=1e-5, atol=0)


# What holds for all.


@pytest.mark.parametrize("name", WITH_TERMS)
def test_weight_zero_is_cross_entropy_to_the_last_bit(name):
    student, teacher, labels = outputs(seed=1), outputs(seed=2), labels_of()
    options = {"weight": 0.0}
    if name == "sum":
        options = {"terms": {"kd": 0.0, "cw2": 0}}
    elif name.startswith("unikd"):
        options |= {"logit_weight": 0.0, "anchor": False}
    gradients = []
    for made in (make(name, **options), make("none")):
        logits = student.logits.clone().requires_grad_()
        loss = made(Outputs(logits, student.features, student.stages), teacher, labels)
        loss.total.backward()
        gradients.append(logits.grad)
    assert torch.equal(*gradients)
    made = make(name, **options)
    assert all(value > 0 for value in made(student, teacher, labels).parts.values()), "terms are still recorded"


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_outputs_are_widened_even_under_autocast(name):
    student, teacher, labels = (*(mapped(outputs(seed=s), torch.Tensor.bfloat16) for s in (1, 2)), labels_of())
    made = make(name).float().eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = made(student, teacher, labels)
    fine = made(mapped(student, torch.Tensor.float), mapped(teacher, torch.Tensor.float), labels)
    assert coarse.total.dtype == torch.float32
    assert coarse.total.item() == fine.total.item()
    assert coarse.parts == fine.parts


def test_a_projector_is_learned_and_only_made_when_asked_for():
    student, teacher = Net(2), Net(3)
    with pytest.raises(InputError, match="student features have dimension 2, teacher 3: add projector"):
        make("w2", student, teacher)
    made = make("w2", student, teacher, projector="linear")
    small, large, labels = outputs(d=2, seed=1), outputs(seed=2), labels_of()
    expected = small.features @ made.projector.weight.T + made.projector.bias
    value = made(small, large, labels).parts["w2"].item()
    assert value == pytest.approx(brute_w2_of(expected, large.features))
    assert sorted(made.state_dict()) == ["projector.bias", "projector.weight"]
    optimiser = torch.optim.SGD(made.parameters(), lr=0.05)
    for _ in range(10):
        optimiser.zero_grad()
        made(small, large, labels).total.backward()
        optimiser.step()
    assert made(small, large, labels).parts["w2"] < value


def brute_w2_of(x, y):
    from scipy.optimize import linear_sum_assignment

    costs = torch.cdist(x.detach(), y).square().numpy()
    return costs[linear_sum_assignment(costs)].mean()


def test_initial_weights_come_from_their_seed_alone():
    before = torch.get_rng_state()
    student, teacher = Net(), Net()
    torch.manual_seed(5)
    first, second, other = (
        objective("unikd-reconstruction", student, teacher, init_seed=seed).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), drawn)
    torch.set_rng_state(before)


def test_sliced_directions_continue_where_a_checkpoint_stopped():
    student, teacher, labels = outputs(seed=1), outputs(seed=2), labels_of()
    whole, first, second = (make("sliced-w2", projections=4, seed=3) for _ in range(3))
    values = [whole(student, teacher, labels).total.item() for _ in range(4)]
    assert len(set(values)) == 4
    assert values[:2] == [first(student, teacher, labels).total.item() for _ in range(2)]
    torch.rand(7)  # torch's own generator has no part in it
    second.load_state_dict(first.state_dict())
    assert second.eval()(student, teacher, labels).total.item() == values[2]  # evaluation does not count as a step
    assert values[2:] == [second.train()(student, teacher, labels).total.item() for _ in range(2)]


def test_a_sum_counts_cross_entropy_once_and_names_its_terms():
    student, teacher, labels = outputs(seed=1), outputs(seed=2), labels_of()
    terms = {"kd": {"weight": 3.0, "temperature": 2.0}, "cw2": 0.1, "near": {"name": "mmd", "bandwidth": 0.5, "weight": 2.0}}
    made = make("sum", terms=terms, cross_entropy=0.4)
    loss = made(student, teacher, labels)
    assert made.weights() == {"kd": 3.0, "cw2": 0.1, "near.mmd": 2.0}
    single = {
        "kd": make("kd", temperature=2.0),
        "cw2": make("cw2"),
        "near.mmd": make("mmd", bandwidth=0.5),
    }
    expected = 0.4 * loss.parts["cross_entropy"]
    for name, alone in single.items():
        value = next(value for part, value in alone(student, teacher, labels).parts.items() if part != "cross_entropy")
        assert loss.parts[name] == value
        expected = expected + made.weights()[name] * value
    torch.testing.assert_close(loss.total, expected)


def test_a_sum_passes_epochs_and_needs_on():
    made = make("sum", terms={"unikd-reconstruction": {"warm_up": 4}, "w2": 1.0})
    assert made.needs_stages
    assert made.needs_teacher
    made.start_epoch(0, 8)
    assert made.weights()["unikd-reconstruction.distribution"] == 0.25
    assert len(list(made.parameters())) > 0
    assert not make("none").needs_teacher
    assert not make("w2").needs_stages


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cw3", {}, "there is no objective 'cw3'; did you mean 'cw2'"),
        ("gaussian_w", {}, "did you mean 'gaussian-w2'"),
        ("unikd", {}, "objectives are .*, unikd-reconstruction, sum"),
        ("zzzz", {}, "no objective 'zzzz'; objectives are none, kd"),
        ("cw2", {"wieght": 1.0}, "'cw2' has no option 'wieght'; did you mean 'weight'"),
        ("none", {"weight": 1.0}, "'none' has no option 'weight'; it takes cross_entropy"),
        ("cw2", {"weight": -1.0}, r"weight is -1\.0; choose a finite number ≥ 0"),
        ("cw2", {"weight": math.nan}, "weight is nan"),
        ("cw2", {"weight": math.inf}, "weight is inf"),
        ("cw2", {"weight": "1"}, "weight is '1'"),
        ("cw2", {"weight": True}, "weight is True"),
        ("ttm", {"weight": -1}, "weight is -1"),
        ("gromov-w2", {"weight": -1}, "weight is -1"),
        ("kd", {"weight": 1.5}, r"weight is 1\.5, which leaves cross-entropy 1 − weight < 0"),
        ("kd", {"temperature": 0.0}, r"temperature is 0\.0; choose a finite number > 0"),
        ("kd", {"temperature": -4}, "temperature is -4"),
        ("kd", {"temperature": math.nan}, "temperature is nan"),
        ("wttm", {"gamma": 0.0}, r"gamma is 0\.0"),
        ("w2", {"cross_entropy": -0.1}, r"cross_entropy is -0\.1"),
        ("w2", {"projector": "mlp"}, "projector is 'mlp'"),
        ("jw2", {"beta": -1.0}, r"beta is -1\.0"),
        ("jw2", {"label_cost": "both"}, "label_cost is 'both'"),
        ("gaussian-w2", {"covariance": "sphere"}, "covariance is 'sphere'"),
        ("gaussian-kl", {"shrinkage": 1.5}, r"shrinkage is 1\.5"),
        ("gaussian-kl", {"direction": "both"}, "direction is 'both'"),
        ("conditional-gaussian-kl", {"pooling": 2}, "pooling is 2; choose a number from 0 to 1"),
        ("mmd", {"kernel": "laplace"}, "kernel is 'laplace'"),
        ("mmd", {"bandwidth": 0.0}, r"bandwidth is 0\.0"),
        ("mmd", {"bandwidth": "mean"}, "bandwidth is 'mean'"),
        ("mmd", {"kernel": "linear", "bandwidth": 1.0}, "a linear kernel has none"),
        ("sliced-w2", {"projections": 0}, "projections is 0; choose a whole number ≥ 1"),
        ("sliced-w2", {"seed": -1}, "seed is -1"),
        ("unikd-reconstruction", {"warm_up": -1}, "warm_up is -1"),
        ("unikd-reconstruction", {"fusion": 1}, "fusion is 1; choose true or false"),
        ("unikd-reconstruction", {"width": 0}, "width is 0"),
        ("sum", {"terms": {}}, "a sum has no terms"),
        ("sum", {"terms": 3}, "terms is 3; name some"),
        ("sum", {"terms": {"cw3": 1.0}}, "no objective 'cw3'; did you mean 'cw2'"),
        ("sum", {"terms": {"cw2": -1.0}}, r"weight is -1\.0"),
        ("sum", {"terms": {"none": {}}}, "'none' cannot be a term of a sum"),
        ("sum", {"terms": {"cw2": {"cross_entropy": 1.0}}}, "terms.cw2 sets cross_entropy"),
        ("sum", {"weight": 1.0}, "'sum' has no option 'weight'"),
    ],
)
def test_bad_options(name, options, message):
    with pytest.raises(InputError, match=message):
        objective(name, Net(), Net(), **options)


@pytest.mark.parametrize("name", [name for name in SINGLE if name != "none"])
def test_a_missing_teacher_is_named(name):
    with pytest.raises(InputError, match=f"objective '{name}' compares with a teacher"):
        objective(name, Net(), None)
    with pytest.raises(InputError, match="compares with a teacher, and none is given"):
        make(name)(outputs(), None, labels_of())


def test_no_teacher_is_needed_for_cross_entropy():
    loss = objective("none", Net(), None)(outputs(), None, labels_of())
    assert list(loss.parts) == ["cross_entropy"]
    assert loss.total == loss.parts["cross_entropy"]


@pytest.mark.parametrize("name", ["kd", "ttm", "wttm", "jw2", "unikd-reconstruction"])
def test_predictions_need_one_set_of_classes(name):
    with pytest.raises(InputError, match="the student predicts 4 classes, the teacher 7"):
        objective(name, Net(), Net(classes=7))


def test_batches_that_do_not_fit():
    with pytest.raises(InputError, match=r"the student's logits have shape \(8, 4\) for 9 labels"):
        make("w2")(outputs(8), outputs(9), labels_of())
    with pytest.raises(InputError, match=r"the teacher's logits have shape \(8, 4\) for 9 labels"):
        make("w2")(outputs(9), outputs(8), labels_of())
    with pytest.raises(InputError, match="set bandwidth to a number"):
        make("mmd")(outputs(1), outputs(1), labels_of(1))
    with pytest.raises(InputError, match=r"Linear\) has no fc\.out_features"):
        objective("w2", nn.Linear(2, 2), Net())


@pytest.mark.parametrize("name", [*MARGINAL, *CONDITIONAL, "paired-l2"])
def test_features_that_are_not_finite_are_named(name):
    student = Outputs(outputs().logits, torch.full((9, 3), math.nan).double())
    with pytest.raises(InputError, match="training has diverged"):
        make(name)(student, outputs(seed=1), labels_of())
