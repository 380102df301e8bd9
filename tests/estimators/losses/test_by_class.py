"""Losses by class are what each class gives by itself, values and gradients, whatever the classes and however they are stacked."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import MultivariateNormal, kl_divergence

from kd2m_theory.arrays import IGNORED
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.kernels import RBF, Energy, Polynomial
from kd2m_theory.estimators.losses.by_class import by_class, by_class_of_each
from kd2m_theory.estimators.losses.gaussian import conditional_gaussian_kl_loss, squared_gaussian_cw2
from kd2m_theory.estimators.losses.kernel import squared_conditional_mmd
from kd2m_theory.estimators.losses.transport import squared_cw2

# Sizes of classes; −100 beside them. One class, classes of one point, and one class that is far larger than the others.
sizes = st.lists(st.integers(1, 5), min_size=1, max_size=7) | st.just([1] * 12 + [5]) | st.just([5]) | st.just([1])


@st.composite
def layouts(draw, each=sizes):
    """Labels in any order, some of them ignored."""
    numbers = draw(st.permutations([7, 0, 3, 12, -4, 5, 1, 2, 40, 41, 42, 43, 44, 45, 46]))
    labels = [label for label, size in zip(numbers, draw(each), strict=False) for _ in range(size)]
    labels += [IGNORED] * draw(st.integers(0, 2))
    return torch.tensor(draw(st.permutations(labels)))


def clouds(n, d, seed):
    rng = np.random.default_rng(seed)
    return [torch.tensor(rng.normal(size=(n, d)) * rng.uniform(0.2, 3, size=d) + 2, requires_grad=True) for _ in range(2)]


def classes_of(labels):
    return [labels == label for label in labels.unique() if label != IGNORED]


@given(layouts(sizes | st.just([40, *[1] * 9]) | st.just([9, 8, 7, 30, 1, 1])), st.sampled_from([torch.float32, torch.float64]))
def test_stacks_have_each_row_once_and_little_padding(labels, dtype):
    features = torch.arange(1.0, 2 * len(labels) + 1, dtype=dtype).reshape(-1, 2)
    layout = by_class(labels, features)
    assert sorted(np.concatenate(layout.rows).tolist()) == (labels != IGNORED).nonzero()[:, 0].tolist()
    rows = iter(layout.rows)
    for stack in layout.stacks(features):
        k, p, _ = stack.points.shape
        own = [next(rows) for _ in range(k)]
        inside = torch.ones(k, p, 1, dtype=dtype) if stack.inside is None else stack.inside
        assert stack.counts.flatten().tolist() == [len(each) for each in own]
        for points, each, mask in zip(stack.points, own, inside, strict=True):
            assert labels[each].unique().numel() == 1
            assert torch.equal(points[: len(each)], features[each])
            assert not points[len(each) :].any()
            assert mask.flatten().tolist() == [1.0] * len(each) + [0.0] * (p - len(each))
        assert k * p <= 4 * sum(map(len, own))
        assert k * p**2 <= 8 * sum(len(each) ** 2 for each in own)
    assert next(rows, None) is None
    kept = torch.where((labels != IGNORED)[:, None], features, 0.0)
    assert torch.equal(layout.rows_of([stack.points for stack in layout.stacks(features)]), kept)


def test_classes_of_two_batches_are_stacked_in_one_order():
    labels, others = torch.tensor([2, 0, 0, 2, 9, 2]), torch.tensor([9, 2, 0, 9])
    first, second = by_class_of_each(labels, others, torch.zeros(0))
    assert [labels[rows[0]] for rows in first.rows] == [others[rows[0]] for rows in second.rows]
    assert [classes for classes, _ in first.shapes] == [classes for classes, _ in second.shapes]
    with pytest.raises(InputError, match="missing from the other"):
        by_class_of_each(labels, others[:3] + 1, torch.zeros(0))


def test_features_that_are_not_finite_are_refused_where_they_count():
    features = torch.zeros(3, 2)
    for bad in (torch.nan, torch.inf, -torch.inf):
        features[1, 1] = bad
        by_class(torch.tensor([0, IGNORED, 0]), features)
        with pytest.raises(InputError, match="training has diverged"):
            by_class(torch.tensor([0, 1, 0]), torch.zeros(3, 2), features)


# The definition of each class by itself, plainly, in float64 with gradients by torch.


def plain_w2(x, y):
    """The best of all permutations."""
    costs = (x[:, None] - y[None]).square().sum(dim=2)
    rows = torch.arange(len(x))
    return torch.stack([costs[rows, list(order)].mean() for order in itertools.permutations(range(len(x)))]).min()


def factor(x):
    return (x - x.mean(dim=0)) / len(x) ** 0.5


def plain_gaussian_w2(x, y):
    nuclear = torch.linalg.svdvals(factor(x) @ factor(y).T).sum()
    return (x.mean(dim=0) - y.mean(dim=0)).square().sum() + factor(x).square().sum() + factor(y).square().sum() - 2 * nuclear


def plain_mmd(kernel):
    def mean(x, y):
        if isinstance(kernel, Polynomial):
            return ((x @ y.T + 1) ** 2).mean()
        squares = (x[:, None] - y[None]).square().sum(dim=2)
        if isinstance(kernel, RBF):
            return (-squares / (2 * kernel.bandwidth**2)).exp().mean()
        apart = squares > 0
        return -torch.where(apart, squares.where(apart, 1.0).sqrt(), 0.0).mean() / 2

    return lambda x, y: mean(x, x) + mean(y, y) - 2 * mean(x, y)


def by_definition(distance, x, y, labels):
    return torch.stack([distance(x[rows], y[rows]) for rows in classes_of(labels)]).mean()


def plain_kl(x, y, labels, pooling, shrinkage, diagonal=False):
    rows = classes_of(labels)
    n = sum(int(each.sum()) for each in rows)

    def gaussians(z):
        own = [factor(z[each]).T @ factor(z[each]) for each in rows]
        within = sum(int(each.sum()) / n * matrix for each, matrix in zip(rows, own, strict=True))
        for each, matrix in zip(rows, own, strict=True):
            share = pooling if int(each.sum()) > 1 else 1.0
            pooled = (1 - share) * matrix + share * within
            pooled = pooled.diag().diag() if diagonal else pooled
            level = shrinkage * pooled.trace() / len(pooled)
            yield MultivariateNormal(z[each].mean(dim=0), (1 - shrinkage) * pooled + level * torch.eye(len(pooled)).double())

    return torch.stack([kl_divergence(*pair) for pair in zip(gaussians(x), gaussians(y), strict=True)]).mean()


def assert_same(loss, definition, x, y):
    found, expected = ((value, *torch.autograd.grad(value, (x, y))) for value in (loss, definition))
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10 * (1e-3 + float(theirs.detach().abs().max())))


LOSSES = {
    "CW2": (lambda x, y, labels: squared_cw2(x, y, labels), plain_w2),
    "Gaussian CW2": (lambda x, y, labels: squared_gaussian_cw2(x, y, by_class(labels, x, y)), plain_gaussian_w2),
    **{
        f"MMD, {kernel.name}": (
            lambda x, y, labels, kernel=kernel: squared_conditional_mmd(x, y, labels, kernel),
            plain_mmd(kernel),
        )
        for kernel in (RBF(1.7), Energy(), Polynomial())
    },
}


@pytest.mark.parametrize("name", LOSSES)
@given(layouts(), st.integers(1, 7), st.integers(0, 99))
def test_a_loss_is_the_mean_over_classes_of_its_definition(name, labels, d, seed):
    loss, distance = LOSSES[name]
    x, y = clouds(len(labels), d, seed)
    assert_same(loss(x, y, labels), by_definition(distance, x, y, labels), x, y)


@given(
    layouts(sizes.filter(lambda each: max(each) > 1)),
    st.integers(1, 9),
    st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    st.sampled_from([0.05, 0.3, 1.0]),
    st.sampled_from(["full", "diagonal"]),
    st.integers(0, 99),
)
def test_a_divergence_of_pooled_gaussians_is_the_mean_of_its_definition(labels, d, pooling, shrinkage, covariance, seed):
    if pooling == 0:
        labels = torch.cat([labels[labels == label].repeat(2) for label in labels.unique()])
    x, y = clouds(len(labels), d, seed)
    loss = conditional_gaussian_kl_loss(x, y, by_class(labels, x, y), pooling, covariance, shrinkage)
    assert_same(loss, plain_kl(x, y, labels, pooling, shrinkage, covariance == "diagonal"), x, y)


@pytest.mark.parametrize("pooling", [0.0, 0.5])
def test_a_divergence_without_shrinkage_needs_points_enough(pooling):
    labels = torch.tensor([0, 1, 2] * 9)
    for d, regular in ((4, True), (9, pooling > 0), (30, False)):
        x, y = clouds(len(labels), d, 1)
        taken = lambda x=x, y=y: conditional_gaussian_kl_loss(x, y, by_class(labels, x, y), pooling)  # noqa: E731
        if regular:
            torch.testing.assert_close(taken(), plain_kl(x, y, labels, pooling, 0.0), rtol=1e-9, atol=0)
        else:
            with pytest.raises(InputError, match=r"the covariance of x \(27 points, d = \d+\) is singular"):
                taken()


def test_a_batch_without_classes_costs_nothing():
    labels = torch.full((4,), IGNORED)
    x, y = clouds(4, 3, 0)
    for name, (loss, _) in LOSSES.items():
        value = loss(x, y, labels)
        assert value == 0, name
        assert not any(each.any() for each in torch.autograd.grad(value, x))
    with pytest.raises(InputError, match="no covariance within classes exists"):
        conditional_gaussian_kl_loss(x, y, by_class(torch.arange(4), x, y))
