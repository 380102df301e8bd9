"""What users of other libraries ran into, and what the paper's own code does: each must not happen here.

Those of Gaussian and kernel distances stand beside those families; memory aborts in `test_bad_input.py`.
"""

import numpy as np
import pytest
import torch

from kd2m_theory.estimators import conditional_wasserstein, gaussian_wasserstein, wasserstein
from kd2m_theory.estimators.losses.transport import squared_cw2, squared_jw2, squared_w2

RNG = np.random.default_rng(0)


def test_non_convergence_is_not_returned_as_a_number():
    """PythonOT/POT's cap, paste#19: a solver that stops early must say so, in the value and not in a warning."""
    x, y = RNG.normal(size=(80, 2)), RNG.normal(size=(70, 2))
    stopped, full = wasserstein(x, y, max_pivots=20), wasserstein(x, y)
    assert stopped.status == "capped"
    assert stopped.lower <= full.lower <= full.upper <= stopped.upper
    assert stopped.relative_gap > 1e-3


def test_a_distance_is_neither_its_square_nor_half_of_it():
    """google-research/ott#10, ott-jax/ott#110, scipy#21006."""
    x, y = np.zeros((5, 1)), np.full((5, 1), 3.0)
    assert wasserstein(x, y, 1).value == pytest.approx(3, rel=1e-12)
    assert wasserstein(x, y, 2).value == pytest.approx(3, rel=1e-12)
    assert gaussian_wasserstein(x, y).value == pytest.approx(3, rel=1e-12)
    assert wasserstein(x, y, ground="sqeuclidean").value == pytest.approx(9, rel=1e-12)
    assert wasserstein(x, y, ground="sqeuclidean").unit == "squared distance"
    assert squared_w2(torch.tensor(x), torch.tensor(y)).item() == pytest.approx(9, rel=1e-12)


def test_float32_features_are_solved_in_float64():
    """ott-jax/ott#496: float32 or TF32 arithmetic that never converges."""
    x, y = (RNG.normal(size=(60, 512)).astype(np.float32) * 30 for _ in range(2))
    distance = wasserstein(x, y, 2)
    assert distance.relative_gap <= 1e-9
    assert distance.value == wasserstein(x.astype(np.float64), y.astype(np.float64), 2).value


def test_identical_points_do_not_crash():
    """geomloss#34."""
    for points in (np.zeros((7, 3)), np.ones((1, 1)), np.repeat([[1.0, 2.0]], 40, axis=0)):
        for p in (1, 2):
            assert wasserstein(points, points, p).upper == 0.0


def test_joint_transport_compares_the_student_with_the_teacher():
    """The paper's code compared the student with itself: moving the teacher by +100 left its loss unchanged."""
    z, q = torch.randn(9, 4), torch.randn(9, 3).softmax(1)
    assert squared_jw2(z, z + 100, q, q) > 100 * squared_jw2(z, z + 1, q, q)


def test_class_conditional_transport_averages_over_classes():
    """The paper's code raised TypeError, and summed without averaging: ten copies of a class must cost what one does."""
    x, y = RNG.normal(size=(6, 2)), RNG.normal(size=(6, 2))
    many_x, many_y = np.tile(x, (10, 1)), np.tile(y, (10, 1))
    labels = np.repeat(np.arange(10), 6)
    one = wasserstein(x, y, 2).value
    assert conditional_wasserstein(many_x, many_y, labels, labels, 2, "uniform").value == pytest.approx(one, rel=1e-9)
    loss = squared_cw2(torch.tensor(many_x), torch.tensor(many_y), torch.tensor(labels))
    assert loss.item() == pytest.approx(one**2, rel=1e-9)
