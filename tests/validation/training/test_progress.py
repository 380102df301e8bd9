"""The bar of a training."""

from types import SimpleNamespace

from kd2m_theory.validation.training.progress import NamedProgress


def test_epochs_count_from_one_to_the_last_and_the_network_is_named():
    bar = NamedProgress("student 3 of 14")
    bar._trainer = SimpleNamespace(max_epochs=60)
    assert [bar._get_train_description(epoch) for epoch in (0, 59)] == [
        "student 3 of 14, epoch 1 of 60",
        "student 3 of 14, epoch 60 of 60",
    ]
