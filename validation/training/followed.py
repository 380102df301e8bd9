"""What a student does on the test images after each epoch: columns of the history, for curves."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

GAMMA = 0.25  # power of the teacher's prediction p̂ in KL(p̂‖q): T = 4


def followed(images: "Tensor", labels: "Tensor", taught: "Tensor") -> Callable[["nn.Module"], Mapping[str, float]]:
    """A function from a student to its columns.

    Args:
        images: n test images.
        labels: their classes.
        taught: the teacher's logits n × K.

    Returns:
        The function. Its columns are "test_" and a field of `Evaluation`, and "test_transformed": the mean of KL(p̂‖q) in nats,
        p̂ the teacher's prediction to the power `GAMMA`, normalised; q the student's prediction.
    """
    # Here, since torch is optional and a figure reads γ of this module.
    from kd2m_theory.validation.objectives.ttm import divergence_by_image
    from kd2m_theory.validation.training.evaluation import evaluate, predict

    kept = taught.cpu()

    def measured(student: "nn.Module") -> Mapping[str, float]:
        logits = predict(student, images).cpu()
        found = {f"test_{name}": value for name, value in asdict(evaluate(logits, labels, kept)).items()}
        return found | {"test_transformed": float(divergence_by_image(logits.double(), kept.double(), GAMMA).mean())}

    return measured
