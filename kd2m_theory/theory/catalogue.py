"""All theorems, in the order T0 … T10, F1 … F7, and what the KD²M paper states."""

from functools import cache
from importlib import import_module

from kd2m_theory.checks import did_you_mean
from kd2m_theory.errors import InputError
from kd2m_theory.theory.statement import Theorem

MODULES = (
    "t0_label_free",
    "t0_known_teacher",
    "t1_paired",
    "t2_conditional",
    "t3_joint",
    "t4_marginal",
    "t5_convex",
    "t5_curved",
    "t5_two_ends",
    "t6_kernel",
    "t7_divergence",
    "t8_accuracy",
    "t9_predictions",
    "t10_moments",
    "f1_means",
    "f2_anchored",
    "f3_per_sample",
    "f4_mmd",
    "f5_transport",
    "f6_selection",
    "f7_labels",
    "kd2m_lemma",
    "kd2m_theorem",
)


@cache
def theorems() -> tuple[Theorem, ...]:
    """The catalogue.

    Example:
        >>> [theorem.name for theorem in theorems()][:3]
        ['T0', 'T0.known', 'T1']
    """
    return tuple(import_module(f"kd2m_theory.theory.{module}").THEOREM for module in MODULES)


def theorem(name: str) -> Theorem:
    """The theorem of that name, in any case of letters.

    Raises:
        InputError: there is none; the message names the nearest.

    Example:
        >>> theorem("t5").title, theorem("KD2M.theorem").verdict
        ('enclosure from both sides by slopes', 'false as stated')
    """
    known = {candidate.name.lower(): candidate for candidate in theorems()}
    if name.lower() in known:
        return known[name.lower()]
    # "T2.head_aware" is a form, not a theorem, and its owner is what was meant.
    owner = name.lower().rpartition(".")[0]
    guess = f"did you mean {known[owner].name!r}? " if owner in known else did_you_mean(name, [t.name for t in theorems()])
    raise InputError(f"there is no theorem {name!r}; {guess}theorems are {', '.join(t.name for t in theorems())}")
