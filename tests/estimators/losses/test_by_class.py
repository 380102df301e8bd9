"""Rows of a batch by class are what masks would select, in the same order."""

import pytest
import torch

from kd2m_theory.estimators.losses.by_class import rows_by_class


@pytest.mark.parametrize("labels", [[0], [2, 2], [3, 1, 3, 0, 1, 3, 7], [5, 4, 3], [-1, 4, -1]])
def test_rows_of_a_class_are_those_of_its_mask(labels):
    tensor = torch.tensor(labels)
    found = rows_by_class(tensor)
    assert list(found) == sorted(set(labels))
    for label, rows in found.items():
        assert rows.tolist() == [row for row, each in enumerate(labels) if each == label]
