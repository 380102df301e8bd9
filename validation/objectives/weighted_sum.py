"""Several objectives at once: cross-entropy counted once, then the terms of each with its own weight."""

from collections.abc import Mapping

from torch import Tensor, nn

from kd2m_theory.errors import InputError
from kd2m_theory.validation.objectives.objective import Objective
from kd2m_theory.validation.training.outputs import Outputs


class WeightedSum(Objective):
    """cross_entropy·CE + Σ over objectives of their weighted terms.

    A term keeps its name where the objective's label says the same, else it is called "label.term".

    Args:
        objectives: by label; their own cross-entropy weights do not count.
        cross_entropy: weight of the cross-entropy.

    Raises:
        InputError: no objective, or a weight that is negative or not finite.
    """

    def __init__(self, objectives: Mapping[str, Objective], *, cross_entropy: float = 1.0) -> None:
        super().__init__(cross_entropy)
        if not objectives:
            raise InputError("a sum has no terms; name some, for example terms = { kd = 0.5, cw2 = 0.001 }")
        self.labels = tuple(objectives)
        self.objectives = nn.ModuleList(objectives.values())
        self.needs_teacher = any(objective.needs_teacher for objective in objectives.values())
        self.needs_stages = any(objective.needs_stages for objective in objectives.values())
        self.needs_preactivation = any(objective.needs_preactivation for objective in objectives.values())
        self.takes_shares = all(objective.takes_shares for objective in objectives.values())
        compared = {objective.compares for objective in objectives.values()}
        self.skips_ignored = all(each.compares == "images" or each.skips_ignored for each in objectives.values())
        self.compares = "classes" if "classes" in compared else "batch" if "batch" in compared else "images"

    def weights(self) -> dict[str, float]:
        """The weights of all terms."""
        return {_named(label, part): weight for label, each in self._each() for part, weight in each.weights().items()}

    def terms(self, student: Outputs, teacher: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """All terms."""
        return {
            _named(label, part): term
            for label, each in self._each()
            for part, term in each.terms(student, teacher, labels).items()
        }

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Pass it on."""
        for _, each in self._each():
            each.start_epoch(epoch, epochs)

    def _each(self) -> list[tuple[str, Objective]]:
        # nn.ModuleList forgets the type of what it holds.
        pairs = zip(self.labels, self.objectives, strict=True)
        return [(label, each) for label, each in pairs if isinstance(each, Objective)]


def _named(label: str, part: str) -> str:
    return part if label.replace("-", "_") == part else f"{label}.{part}"
