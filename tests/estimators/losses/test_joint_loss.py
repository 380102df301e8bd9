"""The joint loss with scaled costs: values of the certified distance, gradients of the values, laws of the scales."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kd2m_theory import InputError
from kd2m_theory.estimators.joint import joint_wasserstein
from kd2m_theory.estimators.losses.transport import squared_jw2, squared_w2

PAIRS = [(1.0, 1.0), (2.5, "mean"), ("mean", "mean"), ("mean", 0.3), ("max", 1.0), ("max", "max")]
BOTH = [{"feature_scale": s, "label_scale": t} for s, t in PAIRS]
OF_BATCH = [{"feature_scale": s, "label_scale": s} for s in ("mean", "max")]
MEANS = OF_BATCH[0]


def draw(n=6, m=6, d=3, classes=4, seed=0):
    """Features and logits of student and teacher, in the order of the loss's arguments."""
    rng = np.random.default_rng(seed)
    return [torch.tensor(rng.normal(size=shape)) for shape in ((n, d), (m, d), (n, classes), (m, classes))]


def with_gradients(tensors):
    return [tensor.clone().requires_grad_() for tensor in tensors]


@pytest.mark.parametrize("options", BOTH, ids=str)
@pytest.mark.parametrize(("n", "m"), [(4, 4), (4, 3)])
def test_it_is_the_square_of_the_certified_distance_and_differentiable(options, n, m):
    batch = draw(n, m, seed=n)
    expected = joint_wasserstein(*batch, p=2, beta=0.7, **options)
    assert expected.lower**2 * (1 - 1e-9) <= squared_jw2(*batch, 0.7, **options).item() <= expected.upper**2 * (1 + 1e-9)
    assert expected.status == "optimal"
    # Both sides: through the scales the teacher's numbers act on the student's gradient, and in the loss itself.
    assert torch.autograd.gradcheck(lambda *each: squared_jw2(*each, 0.7, **options), with_gradients(batch))


@pytest.mark.parametrize("options", BOTH, ids=str)
def test_without_labels_it_is_w2_in_the_unit_of_the_features(options):
    z, teacher, q, p = with_gradients(draw(seed=3))
    squares = torch.cdist(z.detach(), teacher.detach()).square()
    unit = {"mean": squares.mean(), "max": squares.max()}.get(options["feature_scale"], options["feature_scale"])
    loss = squared_jw2(z, teacher, q, p, 0.0, **options)
    torch.testing.assert_close(loss, squared_w2(z, teacher) / unit)
    loss.backward()
    assert not q.grad.any()


@pytest.mark.parametrize("options", OF_BATCH, ids=str)
def test_features_and_logits_have_gradient_that_no_common_factor_can_follow(options):
    """The author's code scaled the feature cost without gradient: features had none at all.

    By Euler's identity the gradient of a function that a common factor of all features leaves unchanged is orthogonal to them.
    A constant in the scale's place would make this product twice the feature part.
    """
    batch = with_gradients(draw(seed=4))
    squared_jw2(*batch, 1.0, **options).backward()
    for student, teacher in (batch[:2], batch[2:]):
        assert student.grad.abs().max() > 1e-3
        along = (student * student.grad).sum() + (teacher * teacher.grad).sum()
        assert abs(along.item()) < 1e-12


def test_moving_the_teacher_moves_the_loss():
    """There, the student was compared with itself."""
    z, teacher, q, p = draw(seed=5)
    for scale, least in ((1.0, 29_000.0), ("mean", 0.95), ("max", 0.9)):
        options = {"feature_scale": scale}
        moved = squared_jw2(z, teacher + 100, q, p, 0.0, **options).item()
        assert moved > least
        assert moved > 2 * squared_jw2(z, teacher, q, p, 0.0, **options).item()


@pytest.mark.parametrize("options", OF_BATCH, ids=str)
@pytest.mark.parametrize("factor", [1e-150, 1e-9, 3.0, 1e150])
def test_no_factor_of_features_or_logits_changes_it(options, factor):
    z, teacher, q, p = draw(seed=6)
    loss = squared_jw2(z, teacher, q, p, 0.5, **options)
    torch.testing.assert_close(squared_jw2(factor * z, factor * teacher, q, p, 0.5, **options), loss)
    torch.testing.assert_close(squared_jw2(z, teacher, factor * q, factor * p, 0.5, **options), loss)
    torch.testing.assert_close(squared_jw2(z + 7, teacher + 7, q - 7, p - 7, 0.5, **options), loss)


@pytest.mark.parametrize("options", OF_BATCH, ids=str)
@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_squares_that_float32_does_not_hold_are_not_computed(options, factor):
    batch = [tensor.float() for tensor in draw(seed=7)]
    loss = squared_jw2(*batch, 0.5, **options)
    large = with_gradients([factor * tensor for tensor in batch])
    found = squared_jw2(*large, 0.5, **options)
    torch.testing.assert_close(found, loss)
    found.backward()
    assert all((factor * tensor.grad).isfinite().all() and tensor.grad.any() for tensor in large)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 6), m=st.integers(1, 6), beta=st.sampled_from([0.0, 0.3, 1.0, 8.0]))
@settings(max_examples=40)
def test_it_costs_at_most_what_the_independent_coupling_costs(seed, n, m, beta):
    rng = np.random.default_rng(seed)
    batch = [torch.tensor(rng.integers(-1, 2, size).astype(float)) for size in ((n, 2), (m, 2), (n, 2), (m, 2))]
    for options in OF_BATCH:
        assert -1e-12 <= squared_jw2(*batch, beta, **options) <= 1 + beta + 1e-9


@pytest.mark.parametrize("options", BOTH, ids=str)
def test_equal_clouds_are_at_distance_zero_in_any_order(options):
    z, _, q, _ = with_gradients(draw(seed=8))
    order = torch.randperm(len(z), generator=torch.Generator().manual_seed(0))
    loss = squared_jw2(z, z.detach()[order], q, q.detach()[order], 1.0, **options)
    loss.backward()
    assert abs(loss.item()) < 1e-20
    assert all((end.grad.abs() < 1e-9).all() for end in (z, q))


@pytest.mark.parametrize("options", OF_BATCH, ids=str)
@pytest.mark.parametrize("equal", ["features", "labels", "both", "neither"])
@pytest.mark.parametrize("n", [1, 4])
def test_a_cost_that_is_zero_everywhere_stays_zero(options, equal, n):
    """Its scale is zero, and is not divided by. One image has no spread: its share is 1 whatever it is, without gradient."""
    z, teacher, q, p = draw(n, n, seed=9)
    if equal in ("features", "both"):
        z, teacher = (torch.full_like(each, 3.3) for each in (z, teacher))
    if equal in ("labels", "both"):
        q, p = (torch.full_like(each, 0.1) for each in (q, p))
    batch = with_gradients((z, teacher, q, p))
    loss = squared_jw2(*batch, 0.5, **options)
    loss.backward()
    shares = [squared_jw2(z, teacher, z, z, 0.0, **options).item(), squared_jw2(q, p, q, q, 0.0, **options).item()]
    assert shares[0] == 0.0 or equal not in ("features", "both")
    assert shares[1] == 0.0 or equal not in ("labels", "both")
    assert loss.item() >= shares[0] + 0.5 * shares[1] - 1e-12
    assert all(end.grad.isfinite().all() for end in batch)
    if n == 1:
        counted = (equal not in ("features", "both")) + 0.5 * (equal not in ("labels", "both"))
        assert loss.item() == pytest.approx(counted)
        assert all((end.grad.abs() < 1e-12).all() for end in batch)


def test_the_largest_cost_rewards_an_outlier_and_the_mean_does_not():
    """One of n student points far away: 1/n of the largest cost is transported, and all of the mean cost."""
    z, teacher, q, p = draw(8, 8, seed=10)
    z[0] = 1e7
    losses = {scale: squared_jw2(z, teacher, q, p, 0.0, feature_scale=scale).item() for scale in ("max", "mean")}
    assert losses["max"] == pytest.approx(1 / 8, rel=1e-5)
    assert losses["mean"] == pytest.approx(1.0, rel=1e-5)


def test_with_the_mean_it_is_one_less_the_concordance_of_the_coupling():
    """Lin 1989, on the line, where the optimal coupling is that of the sorted points."""
    z, teacher, q, p = draw(9, 9, d=1, seed=11)
    x, y = (np.sort(each[:, 0].numpy()) for each in (z, teacher))
    covariance = np.cov(x, y, bias=True)
    concordance = 2 * covariance[0, 1] / (np.trace(covariance) + (x.mean() - y.mean()) ** 2)
    assert squared_jw2(z, teacher, q, p, 0.0, **MEANS).item() == pytest.approx(1 - concordance, rel=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feature_scale": 0.0}, r"feature_scale is 0\.0; choose a finite number > 0"),
        ({"feature_scale": -1}, "feature_scale is -1"),
        ({"label_scale": float("nan")}, "label_scale is nan"),
        ({"label_scale": "median"}, "label_scale is 'median'; choose 'mean', 'max', or a number > 0"),
        ({"feature_scale": None}, "feature_scale is None"),
        ({"beta": -1.0}, r"beta is -1\.0"),
        ({"beta": float("inf")}, "beta is inf"),
    ],
)
def test_scales_and_weights_that_mean_nothing_are_refused(options, message):
    batch = draw()
    for call in (squared_jw2, joint_wasserstein):
        with pytest.raises(InputError, match=message):
            call(*batch, **options)


@pytest.mark.parametrize("options", [*OF_BATCH, {"feature_scale": 2.0}], ids=str)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("which", range(4))
def test_batches_that_diverged_are_refused(options, bad, which):
    batch = draw()
    batch[which][2, 1] = bad
    with pytest.raises(InputError, match="the training has diverged"):
        squared_jw2(*batch, 0.5, **options)
