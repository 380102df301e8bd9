"""One step of training, for Lightning: student and objective are optimised together, the teacher stands beside."""

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from kd2m_theory.errors import InputError
from kd2m_theory.validation.objectives.objective import Loss, Objective
from kd2m_theory.validation.training.configuration import Recipe
from kd2m_theory.validation.training.optimisers import optimiser, schedule
from kd2m_theory.validation.training.outputs import Outputs
from kd2m_theory.validation.training.processes import Processes, whole_batch, whole_labels
from kd2m_theory.validation.training.teacher_outputs import TeacherOutputs

_LOOK_EVERY = 50  # steps on a device where a look at a number makes the host wait


class TrainingModule(LightningModule):
    """A student and its objective.

    Randomness of a step (dropout, say) is a function of seed, step and process, so that nothing of it has to be restored.

    Args:
        student: the network that is trained.
        objective: with its learnable parts.
        teacher: None where the objective needs none.
        recipe: optimiser and schedule.
        steps: of an epoch.
        seed: of the run.
        processes: that share a batch.
    """

    def __init__(
        self,
        student: nn.Module,
        objective: Objective,
        teacher: TeacherOutputs | None,
        recipe: Recipe,
        steps: int,
        seed: int,
        processes: Processes,
    ) -> None:
        super().__init__()
        self.student, self.objective = student, objective
        # Not sub-modules: a teacher is neither optimised nor in the checkpoints.
        self._beside = (teacher, recipe, processes)
        self.steps, self.seed = steps, seed
        self.forget()

    @property
    def teacher(self) -> TeacherOutputs | None:
        """The teacher's outputs, computed or kept."""
        return self._beside[0]

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """The loss of a batch.

        Raises:
            InputError: a loss that is NaN or infinite, or what the objective refuses; the message names the step.
        """
        teacher, _, processes = self._beside
        images, labels = batch
        step = self.current_epoch * self.steps + index
        sow(self.seed, step, processes.rank + 1)
        student: Outputs = whole_batch(self.student(images), processes)
        taught = None if teacher is None else whole_batch(teacher.batch(index, images), processes)
        sow(self.seed, step, 0)
        try:
            loss: Loss = self.objective(student, taught, whole_labels(labels, processes))
        except InputError as error:
            raise InputError(f"step {step + 1}: {error}") from error
        self._record(loss, step)
        return loss.total

    def configure_optimizers(self) -> Any:
        """The recipe's, over everything that takes a gradient."""
        _, recipe, _ = self._beside
        trained = optimiser(recipe, [weight for weight in self.parameters() if weight.requires_grad])
        return {
            "optimizer": trained,
            "lr_scheduler": {"scheduler": schedule(recipe, trained, self.steps), "interval": "step"},
        }

    def forget(self) -> None:
        """Begin the sums of an epoch."""
        self._names: tuple[str, ...] = ()
        self._sums: Tensor | None = None
        self._unseen: list[tuple[int, Tensor]] = []

    def means(self) -> dict[str, float]:
        """Means over the epoch's steps of the total and of each part, without their weights.

        Raises:
            InputError: a loss of the epoch was NaN or infinite.
        """
        self._look()
        assert self._sums is not None
        return dict(zip(self._names, (self._sums / self.steps).tolist(), strict=True))

    def _record(self, loss: Loss, step: int) -> None:
        self._names = ("total", *loss.parts)
        values = torch.stack([loss.total.detach(), *loss.parts.values()])
        self._unseen.append((step, values))
        if values.device.type == "cpu" or step % _LOOK_EVERY == 0:
            self._look()

    def _look(self) -> None:
        """Add up what was recorded: on the CPU, since not every device has float64."""
        if not self._unseen:
            return
        steps, values = zip(*self._unseen, strict=True)
        self._unseen = []
        for step, row in zip(steps, torch.stack(values).cpu().double(), strict=True):
            if not row.isfinite().all():
                bad = [name for name, finite in zip(self._names, row.isfinite(), strict=True) if not finite]
                parts = [name for name in bad if name != "total"] or bad
                raise InputError(
                    f"the loss is not finite at step {step + 1}: {', '.join(parts)}; the last good checkpoint is kept, lower "
                    "the learning rate or the weight of that part"
                )
            self._sums = row if self._sums is None else self._sums + row


def sow(seed: int, step: int, lane: int) -> None:
    """Seed torch for a step: `lane` is 0 for what all processes share, and 1 + rank for what each has of its own."""
    # torch's CPU generator keeps 32 bits of a seed: mix all three numbers into every bit (splitmix64's finisher).
    mixed = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + lane * 0x94D049BB133111EB) % 2**64
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) % 2**64
    mixed = (mixed ^ (mixed >> 31)) % 2**63
    # torch.manual_seed would, without CUDA, queue a call and format a stack trace for it at every step.
    torch.default_generator.manual_seed(mixed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(mixed)
