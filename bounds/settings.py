"""What an audit is told besides the pair."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kd2m_theory.assumptions import hypothesis
from kd2m_theory.bounds.known import QUANTITIES, Quantity, told
from kd2m_theory.checks import real_number
from kd2m_theory.errors import InputError
from kd2m_theory.estimators.transport import MAX_PIVOTS
from kd2m_theory.pair import Pair

# Hypotheses that no sample can show and no file can say: the user may vouch for them by key. A row that needs one has no number
# until then, and spends no δ.
VOUCHABLE = ("gaussian classes", "teacher labels")
# Problems on the whole cloud (T3, T4) are solved without being asked for up to this many samples.
WHOLE_CLOUD = 2_000


@dataclass(frozen=True, slots=True)
class Settings:
    """Choices that must be made before looking at the sample.

    Attributes:
        loss_bound: B > 0 nats; rows that need a bounded loss are about min(cross-entropy, B). Twice the risk of uniform
            guessing, 2 ln K, if None.
        head_lipschitz: Lipschitz constant of the head (features to logits, Euclidean norms) when it is not linear and both
            networks use it; `bounds.constants.layers.network_lipschitz` computes one. One that the pair refutes is refused.
        temperature: T ≥ 1 of the power-transformed teacher softmax(logits/T) in T9.ttm.
        vouched: keys of assumptions that the user vouches for, of `VOUCHABLE`.
        whole_cloud: whether to solve the transport problems on all samples at once; up to 2,000 samples if None.
        max_pivots: cap of the network simplex.
        teacher_risk: what is known of the teacher's mean cross-entropy in nats: a `known.Known`, or what it takes, then about
            these inputs; or a labelled pair, an evaluation of the teacher that says something about the population.
        teacher_error: the same of its error rate.

    Raises:
        InputError: a number out of range, or an unknown assumption.

    Example:
        >>> Settings(vouched="teacher labels").vouched
        frozenset({'teacher labels'})
    """

    loss_bound: float | None = None
    head_lipschitz: float | None = None
    temperature: float | None = None
    vouched: frozenset[str] = frozenset()
    whole_cloud: bool | None = None
    max_pivots: int = MAX_PIVOTS
    teacher_risk: Any = None
    teacher_error: Any = None

    def __post_init__(self) -> None:
        for name, unit in (("loss_bound", "nats"), ("head_lipschitz", "logits per unit of feature distance")):
            value = getattr(self, name)
            if value is not None:
                if not 0 < real_number(value) < math.inf:
                    raise InputError(f"{name} is {value!r}; give a positive number of {unit}")
                object.__setattr__(self, name, float(value))
        if self.temperature is not None:
            if not 1 <= real_number(self.temperature) < math.inf:
                raise InputError(f"temperature is {self.temperature!r}; give a number ≥ 1")
            object.__setattr__(self, "temperature", float(self.temperature))
        if self.whole_cloud is not None:
            if self.whole_cloud not in (True, False):
                raise InputError(f"whole_cloud is {self.whole_cloud!r}; give True, False, or None")
            object.__setattr__(self, "whole_cloud", bool(self.whole_cloud))
        object.__setattr__(self, "vouched", _vouched(self.vouched))
        for quantity in QUANTITIES:
            object.__setattr__(self, quantity, told(getattr(self, quantity), quantity))

    @property
    def evaluated(self) -> frozenset[Quantity]:
        """Quantities of the teacher of which an evaluation was given, whose limits share δ."""
        return frozenset(quantity for quantity in QUANTITIES if isinstance(getattr(self, quantity), Pair))


def _vouched(names: Iterable[str] | str) -> frozenset[str]:
    chosen = frozenset([names] if isinstance(names, str) else names)
    unknown = sorted(chosen - set(VOUCHABLE))
    if unknown:
        listed = "; ".join(f"{name!r} ({hypothesis(name)})" for name in VOUCHABLE)
        raise InputError(f"{unknown[0]!r} is not an assumption that one can vouch for; there are {listed}")
    return chosen
