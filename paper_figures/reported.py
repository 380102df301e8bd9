"""Numbers that a paper reports, as it reports them: nothing here was measured by this project."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ReportedAccuracy:
    """A table of accuracies.

    Attributes:
        source: where it stands.
        data: names of the data sets.
        teacher: accuracy in per cent on each.
        alone: of the student without a teacher.
        students: of the student by method, in the order of the paper.
    """

    source: str
    data: tuple[str, ...]
    teacher: tuple[float, ...]
    alone: tuple[float, ...]
    students: Mapping[str, tuple[float, ...]]


# ResNet-34 to ResNet-18, both pretrained on ImageNet in the author's code; no seeds and no error bars are reported.
KD2M_ACCURACY = ReportedAccuracy(
    source="KD²M (arXiv 2504.01757), slides for GSI 2025, p. 14",
    data=("SVHN", "CIFAR-10", "CIFAR-100"),
    teacher=(94.41, 86.98, 62.21),
    alone=(93.10, 85.11, 56.66),
    students={
        "W₂ (empirical)": (94.00, 86.45, 61.07),
        "CW₂ (empirical)": (94.06, 86.54, 61.47),
        "JW₂ (empirical)": (94.00, 86.60, 61.07),
        "W₂ (Gaussian)": (93.94, 86.63, 60.68),
        "CW₂ (Gaussian)": (93.95, 86.25, 61.43),
        "KL (Gaussian)": (94.05, 86.44, 60.66),
    },
)
