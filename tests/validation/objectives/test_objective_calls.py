"""Objectives by class ask for as many operations as the batch has, not for some for each class."""

import pytest
import torch
from calls import Calls
from objective_problems import CLASSES_PRESENT, CONDITIONAL, Net, batch_of_classes

from kd2m_theory.validation.objectives.registry import objective
from kd2m_theory.validation.training.outputs import Outputs


def calls(name, classes):
    """Operations of the term alone, forward and backward, without views."""
    labels, (student, teacher) = batch_of_classes(classes)
    made = objective(name, Net(128, 62), Net(128, 62), init_seed=0)
    features = student.features.requires_grad_()
    with Calls() as found:
        made.distance(Outputs(student.logits, features), teacher, labels).backward()
    assert torch.isfinite(features.grad).all()
    return found.by_name


@pytest.mark.parametrize("name", CONDITIONAL)
def test_operations_do_not_grow_with_the_classes(name):
    few, *more = (calls(name, classes) for classes in CLASSES_PRESENT)
    assert all(each == few for each in more)
    assert sum(few.values()) <= 150


def test_operations_are_counted_and_views_are_not():
    x = torch.ones(3, 2)
    with Calls() as found:
        (x.T[0] + 1).sum()
    assert found.by_name == {"aten::add.Tensor": 1, "aten::sum": 1}
    assert sum(found.views.values()) == 2
