"""Instances that several theorems share: where a bound is sharp, and what happens without a hypothesis.

Points lie on the line and logits are (z, −z) unless it is said otherwise, so class 0 is right where z > 0.
"""

from dataclasses import replace

import torch
from torch import Tensor

from kd2m_theory.theory.instance import Instance, Loss, cross_entropy, instance, random_instance
from kd2m_theory.theory.kernel_instance import KernelInstance, kernel_instance

HEAD = ((1.0,), (-1.0,))

# What the falsifier moves.
MOVES = ("student", "teacher", "weight", "bias")
KERNEL_MOVES = ("student", "teacher", "centres", "coefficients")

SATURATED = "every point is wrong and the student more so: where softmax has saturated the loss is linear"
BOTH_CHANGE = "one point per side, its feature and its label change, and both raise the loss"
LABELS_PERMUTED = "equal features, labels permuted: the label part is exact, and nothing has to be moved"


def half_temperature(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy at temperature ½."""
    return cross_entropy(2.0 * logits, labels)


def tenth_temperature(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy at temperature 1/10."""
    return cross_entropy(10.0 * logits, labels)


def far_wrong() -> Instance:
    """Two classes of two equal points each, all wrong, the student's more so."""
    return instance([[-9.0], [-9.0], [9.0], [9.0]], [[-6.0], [-6.0], [6.0], [6.0]], [0, 0, 1, 1], HEAD)


def steep_loss() -> Instance:
    """A point that is wrong, and more so, under a loss twice as steep as cross-entropy."""
    return instance([[-9.0]], [[-6.0]], [0], HEAD, loss=half_temperature)


def two_changes() -> Instance:
    """A point whose feature and label change, and both raise the loss."""
    return instance([[-9.0]], [[-6.0]], [0], HEAD, labels_teacher=[1])


def permuted_labels(slope: float = 1.0) -> Instance:
    """Equal features whose labels are exchanged; logits are (slope · z, −slope · z)."""
    features = [[3.0], [-3.0]]
    return instance(features, features, [0, 1], [[slope], [-slope]], labels_teacher=[1, 0])


def own_head(loss: Loss = cross_entropy, slope: float = 1.0) -> Instance:
    """Equal features, all right by the teacher's head and all wrong by the student's."""
    features = [[3.0], [-3.0]]
    return instance(features, features, [0, 1], [[slope], [-slope]], own=([[-slope], [slope]], [0.0, 0.0]), loss=loss)


def shares_differ(loss: Loss = cross_entropy) -> Instance:
    """Equal class-conditionals, but the student has more of the hard class."""
    features = [[3.0]] * 4
    return instance(features, features, [1, 1, 0, 0], HEAD, labels_teacher=[1, 0, 0, 0], loss=loss)


def unmatched_start(generator: torch.Generator) -> Instance:
    """Labels, their shares and even the number of points differ between the sides."""
    x = random_instance(generator)
    return replace(x, teacher=x.teacher[:3], labels_teacher=torch.randint(0, 3, (3,), generator=generator))


def feature_difference() -> KernelInstance:
    """The loss is the difference of the two points' feature maps; they are closer than the kernel's width."""
    return kernel_instance([[0.0]], [[0.1]], [[0.0], [0.1]], [[1.0, -1.0]], sigma=0.5)


def norm_not_raised() -> KernelInstance:
    """Ten times the loss of `feature_difference`, of which a norm of 1 is claimed."""
    x = feature_difference()
    return replace(x, coefficients=10 * x.coefficients, claimed_norm=1.0)


def width_left_out() -> KernelInstance:
    """A kernel of width 0.1, whose feature map is claimed to be 1-Lipschitz."""
    return kernel_instance([[0.0]], [[0.1]], [[0.0]], [[1.0]], sigma=0.1, claimed_lipschitz=1.0)


def two_losses() -> KernelInstance:
    """Equal laws, and each of two labels has a loss of its own; the labels are exchanged."""
    points = [[0.0], [3.0]]
    return kernel_instance(points, points, points, [[1.0, 0.0], [0.0, 1.0]], [0, 1], [1, 0])
