"""Distances between feature distributions, bounds for a distilled student, and the tests that try to catch both lying.

The names below load what they need when they are first used: importing the package imports neither NumPy nor torch.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from kd2m_theory.deprecation import going
from kd2m_theory.version import __version__ as __version__

if TYPE_CHECKING:
    from kd2m_theory.bounds.labelling.partly import partly_labelled
    from kd2m_theory.bounds.labelling.plan import LabelPlan, label_plan
    from kd2m_theory.bounds.stream import PairStream
    from kd2m_theory.errors import InputError, MissingDependencyError, PairFileError
    from kd2m_theory.pair import Pair
    from kd2m_theory.reporting.comparison import StudentComparison, compare
    from kd2m_theory.reporting.report import AuditReport, audit

# In a checkout the rooms lie beside this folder, not in it: there the sources are imported as they lie.
if not (Path(__file__).parent / "estimators").exists():
    __path__.append(str(Path(__file__).parent.parent))

__all__ = [
    "AuditReport",
    "InputError",
    "LabelPlan",
    "MissingDependencyError",
    "Pair",
    "PairFileError",
    "PairStream",
    "StudentComparison",
    "audit",
    "compare",
    "label_plan",
    "partly_labelled",
]

_HOME = {
    "AuditReport": "kd2m_theory.reporting.report",
    "InputError": "kd2m_theory.errors",
    "LabelPlan": "kd2m_theory.bounds.labelling.plan",
    "MissingDependencyError": "kd2m_theory.errors",
    "Pair": "kd2m_theory.pair",
    "PairFileError": "kd2m_theory.errors",
    "PairStream": "kd2m_theory.bounds.stream",
    "StudentComparison": "kd2m_theory.reporting.comparison",
    "audit": "kd2m_theory.reporting.report",
    "compare": "kd2m_theory.reporting.comparison",
    "label_plan": "kd2m_theory.bounds.labelling.plan",
    "partly_labelled": "kd2m_theory.bounds.labelling.partly",
}


if not TYPE_CHECKING:  # to type checkers, every name would be there

    def __getattr__(name):
        if name not in _HOME:
            return going(__name__, name)
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
