"""What is kept after every epoch: a row of the history, the pairs that were asked for, and a checkpoint."""

import dataclasses
import io
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn

from kd2m_theory.archives import check_archive
from kd2m_theory.errors import InputError
from kd2m_theory.files import opened, write_atomically
from kd2m_theory.validation.training.configuration import Recipe
from kd2m_theory.validation.training.evaluation import evaluate, predict
from kd2m_theory.validation.training.optimisers import learning_rate
from kd2m_theory.validation.training.processes import Processes
from kd2m_theory.validation.training.run_folder import RunFolder, write_history
from kd2m_theory.validation.training.training_module import TrainingModule

KeepPair = Callable[[nn.Module, int], None]
# What is measured of a student after each epoch beside the validation images, by the name of its column.
Follow = Callable[[nn.Module], Mapping[str, float]]


class EpochRecorder(Callback):
    """Measures the student on validation images after each epoch and writes everything, the checkpoint last.

    Args:
        folder: where to.
        recipe: for the learning rate.
        images: validation images.
        labels: their classes.
        teacher_logits: for the same images; None without a teacher.
        pairs_at: epochs, from 1, after which `keep_pair` is called.
        keep_pair: with the student and the number of epochs it has seen.
        processes: of which one writes.
        follow: further columns of the history.

    Attributes:
        started: whether training began, after what is kept was restored.
    """

    def __init__(
        self,
        folder: RunFolder,
        recipe: Recipe,
        images: Tensor,
        labels: Tensor,
        teacher_logits: Tensor | None,
        pairs_at: tuple[int, ...],
        keep_pair: KeepPair,
        processes: Processes,
        follow: Follow | None = None,
    ) -> None:
        self.folder, self.recipe, self.follow = folder, recipe, follow
        self.images, self.labels, self.teacher_logits = images, labels, teacher_logits
        self.pairs_at, self.keep_pair, self.processes = pairs_at, keep_pair, processes
        self.rows: list[dict[str, float]] = []
        self._began = 0.0
        self.started = False

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Keep the untrained pair."""
        self.started = True
        if trainer.current_epoch == 0 and 0 in self.pairs_at and self.processes.writes:
            self.keep_pair(pl_module.student, 0)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Tell module, teacher and objective."""
        module: TrainingModule = pl_module
        module.forget()
        module.objective.start_epoch(trainer.current_epoch, self.recipe.epochs)
        if module.teacher is not None:
            module.teacher.start_epoch(trainer.current_epoch)
        self._began = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Measure, write, and only then let the next epoch begin."""
        module: TrainingModule = pl_module
        epoch = trainer.current_epoch
        train = module.means()
        seconds = time.perf_counter() - self._began
        if module.teacher is not None:
            module.teacher.end_epoch(epoch)
        measured = dataclasses.asdict(evaluate(predict(module.student, self.images), self.labels, self.teacher_logits))
        self.rows.append(
            {
                "epoch": epoch + 1,
                "learning_rate": learning_rate(self.recipe, (epoch + 1) * module.steps - 1, module.steps),
                "seconds": seconds,
                **{f"train_{name}": value for name, value in train.items()},
                **{f"validation_{name}": value for name, value in measured.items()},
                **(self.follow(module.student) if self.follow is not None else {}),
            }
        )
        if trainer.logger is not None:
            trainer.logger.log_metrics({key: value for key, value in self.rows[-1].items() if key != "epoch"}, step=epoch + 1)
        if self.processes.writes:
            write_history(self.folder, self.rows)
            if epoch + 1 in self.pairs_at:
                self.keep_pair(module.student, epoch + 1)
        trainer.save_checkpoint(self.folder.checkpoint)

    def state_dict(self) -> dict[str, Any]:
        """The history so far, for the checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue a history.

        Raises:
            TypeError: it is not one.
        """
        rows = state_dict.get("rows")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise TypeError("it has no history")
        self.rows = rows


class AtomicCheckpoints(CheckpointIO):
    """Checkpoints that are written atomically, and hold nothing that has to be unpickled into code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write beside and rename."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(path, buffer.getvalue())

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Read on the CPU.

        Raises:
            InputError: no checkpoint, or a damaged one.
        """
        complaint = f"{path} is not a checkpoint of a run; delete it to start again"
        with opened(path, complaint) as file:
            try:
                with zipfile.ZipFile(file) as archive:
                    check_archive(archive, file)
                    if (damaged := archive.testzip()) is not None:
                        raise ValueError(f"{damaged} is damaged")
                file.seek(0)
                read: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
            except Exception as error:  # torch.load raises many kinds for a damaged file
                raise InputError(f"{complaint} ({type(error).__name__})") from None
        if not isinstance(read, dict):
            raise InputError(f"{complaint} (it is not a table)")
        return read

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete the file."""
        Path(path).unlink(missing_ok=True)
