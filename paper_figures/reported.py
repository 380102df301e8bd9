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


@dataclass(frozen=True)
class ReportedPairs:
    """Accuracies of methods on pairs of networks.

    Attributes:
        source: where they stand.
        data: name of the data set.
        pairs: teacher and student of each pair.
        accuracies: in per cent, by method, one per pair.
        deviations: standard deviation over the runs, by method; methods without any are left out.
    """

    source: str
    data: str
    pairs: tuple[str, ...]
    accuracies: Mapping[str, tuple[float, ...]]
    deviations: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class ReportedSweep:
    """What a paper reports of students trained with several weights.

    Attributes:
        source: where it stands.
        data: name of the data set.
        accuracy: in per cent, by weight λ.
    """

    source: str
    data: str
    accuracy: Mapping[float, float]


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

# Final values of the curves with CW₂ (empirical), read off the slide.
KD2M_SWEEP = ReportedSweep(
    source="KD²M (arXiv 2504.01757), slides for GSI 2025, p. 15, digitised",
    data="SVHN",
    accuracy={0.0: 93.11, 1e-7: 94.06, 1e-6: 93.86, 1e-5: 93.78, 1e-4: 92.55},
)

# Top-1 accuracies; mean and standard deviation of five runs, of KD the mean alone.
TTM_ACCURACY = ReportedPairs(
    source="TTM and WTTM (arXiv 2402.11148)",
    data="CIFAR-100",
    pairs=(
        "wrn-40-2 → wrn-16-2",
        "wrn-40-2 → wrn-40-1",
        "resnet56 → resnet20",
        "resnet110 → resnet20",
        "resnet110 → resnet32",
        "resnet32x4 → resnet8x4",
        "vgg13 → vgg8",
    ),
    accuracies={
        "KD": (74.92, 73.54, 70.66, 70.67, 73.08, 73.33, 72.98),
        "TTM": (76.23, 74.32, 71.83, 71.46, 73.97, 76.17, 74.33),
        "WTTM": (76.37, 74.58, 71.92, 71.67, 74.13, 76.06, 74.44),
    },
    deviations={
        "TTM": (0.15, 0.31, 0.16, 0.16, 0.23, 0.28, 0.07),
        "WTTM": (0.10, 0.26, 0.40, 0.28, 0.37, 0.27, 0.19),
    },
)
