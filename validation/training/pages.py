"""What a finished run says on the terminal."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kd2m_theory.errors import require
from kd2m_theory.reporting.sections import Line, Paragraph, Section, Table, columns, paragraph

if TYPE_CHECKING:
    from kd2m_theory.validation.training.distillation import Trained


# Libraries of the extra `train` that every training needs.
LIBRARIES = ("lightning", "pyarrow", "tensorboard")


def require_training() -> None:
    """Refuse before anything slow is imported.

    Raises:
        MissingDependencyError: a library of the extra `train` is not installed.
    """
    require("training", *LIBRARIES)


def results(trained: "Trained") -> list[Section]:
    """Both networks on both splits, the pairs, and what their audits found."""
    lines = []
    for (whose, split), found in trained.results.items():
        numbers = (found.accuracy, found.cross_entropy, found.entropy, found.agreement, found.divergence)
        lines.append(Line((f"{whose}, {split}", *("" if value != value else f"{value:.4f}" for value in numbers))))
    heads = columns("after the last epoch", "accuracy", "cross-entropy", "entropy", "agreement", "KL from teacher", numeric=5)
    table = Table(name="after the last epoch", columns=heads, lines=tuple(lines))
    return [Section(title="", parts=(table, *_audits(trained)))]


def _audits(trained: "Trained") -> Iterator[Paragraph]:
    for epoch, path in trained.pairs.items():
        violated = trained.violations.get(epoch)
        if violated is None:
            words = "not audited"
        elif violated:
            words = f"VIOLATED: {', '.join(violated)}"
        else:
            words = "no guaranteed bound is violated"
        yield paragraph(f"pair after epoch {epoch}: {path}: {words}", tone="alarm" if violated else "plain")
