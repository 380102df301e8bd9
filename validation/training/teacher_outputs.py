"""What a teacher says to training batches, computed once and kept on disk for later runs that see the same batches."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from kd2m_theory.errors import InputError
from kd2m_theory.files import opened, write_atomically
from kd2m_theory.validation.training.outputs import Outputs, averaged


class TeacherOutputs:
    """Outputs of a teacher in evaluation mode. Kept are logits, features and the mean over pixels of the pre-activation; no
    objective asks for more of a teacher.

    Args:
        teacher: the network; moved to nothing, trained by nobody.
        folder: where outputs are kept, one file per epoch; None keeps none. Its name has to say teacher, batches and the part
            of them that this process sees.
    """

    def __init__(self, teacher: nn.Module, folder: Path | None = None) -> None:
        self.teacher = teacher.eval().requires_grad_(False)
        self.folder = folder
        self._kept: dict[str, Tensor] | None = None
        self._new: list[dict[str, Tensor]] | None = None
        shallow = getattr(teacher, "preactivation_channels", 0) > 0
        self._names = ("logits", "features", "preactivation") if shallow else ("logits", "features")

    def start_epoch(self, epoch: int) -> None:
        """Open what is kept of the epoch, or begin to keep it."""
        self._kept = self._new = None
        if self.folder is not None:
            self._kept = self._read(self._file(epoch))
            self._new = [] if self._kept is None else None

    def _read(self, path: Path) -> dict[str, Tensor] | None:
        """What is kept in a file; None where there is none, or a damaged one, which is written again."""
        try:
            with opened(path, f"{path} does not hold outputs of a teacher"):  # a library would wait for a FIFO
                kept = load_file(path)
        except (InputError, SafetensorError, OSError):
            return None
        return kept if kept.keys() == {*self._names} else None

    def batch(self, step: int, images: Tensor) -> Outputs:
        """Outputs for the batch of that step of the epoch, without gradient."""
        if self._kept is not None:
            kept = {name: values[step].to(images.device) for name, values in self._kept.items()}
            return Outputs(kept["logits"], kept["features"], preactivation=kept.get("preactivation"))
        with torch.no_grad():
            outputs: Outputs = self.teacher(images)
        if self._new is not None:
            self._new.append({name: values.cpu() for name, values in _kept(outputs).items()})
        return outputs

    def end_epoch(self, epoch: int) -> None:
        """Keep the epoch, if all of it was seen."""
        if self.folder is not None and self._new:
            self.folder.mkdir(parents=True, exist_ok=True)
            tensors = {name: torch.stack([each[name] for each in self._new]) for name in self._names}
            write_atomically(self._file(epoch), save(tensors))
        self._kept = self._new = None

    def _file(self, epoch: int) -> Path:
        assert self.folder is not None
        return self.folder / f"epoch-{epoch + 1:04}.safetensors"


def _kept(outputs: Outputs) -> dict[str, Tensor]:
    kept = {"logits": outputs.logits, "features": outputs.features}
    shallow = outputs.preactivation
    return kept if shallow is None else kept | {"preactivation": averaged(shallow)}
