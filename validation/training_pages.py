"""What a finished run says on the terminal."""

import importlib.util
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kd2m_theory.errors import MissingDependencyError

if TYPE_CHECKING:
    from kd2m_theory.validation.distillation import Trained

_NEEDED = ("lightning", "pyarrow", "tensorboard")


def require_lightning() -> None:
    """Refuse before anything slow is imported.

    Raises:
        MissingDependencyError: a library of the extra `train` is not installed.
    """
    for name in _NEEDED:
        if importlib.util.find_spec(name) is None:
            raise MissingDependencyError(
                f"training needs {name}, which is not installed; run: pip install 'kd2m-theory[train]'"
            )


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
