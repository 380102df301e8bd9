"""What a finished run says on the terminal."""

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kd2m_theory.errors import require

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


def results(trained: "Trained") -> RenderableType:
    """Both networks on both splits, the pairs, and what their audits found."""
    table = Table(box=None, pad_edge=False)
    table.add_column("after the last epoch", no_wrap=True)
    for heading in ("accuracy", "cross-entropy", "entropy", "agreement", "KL from teacher"):
        table.add_column(heading, justify="right")
    for (whose, split), found in trained.results.items():
        numbers = (found.accuracy, found.cross_entropy, found.entropy, found.agreement, found.divergence)
        table.add_row(f"{whose}, {split}", *("" if value != value else f"{value:.4f}" for value in numbers))
    lines: list[RenderableType] = [table]
    for epoch, path in trained.pairs.items():
        violated = trained.violations.get(epoch)
        if violated is None:
            words = "not audited"
        elif violated:
            words = f"VIOLATED: {', '.join(violated)}"
        else:
            words = "no guaranteed bound is violated"
        lines.append(Text(f"pair after epoch {epoch}: {path}: {words}", style="bold red" if violated else ""))
    return Group(*lines)
