"""The same short training plainly and as a group of one process, in which every gather and reduction is a real one.

    torchrun --standalone --nproc-per-node 1 validation/benchmarks/gpu_group.py DEVICE NETWORK RESULT

The group is of nccl on CUDA and of gloo elsewhere. RESULT gets losses and final weights of both as JSON.
"""

import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from gpu_process import write_atomically
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy

from kd2m_theory.validation.objectives.registry import objective
from kd2m_theory.validation.populations.glyphs import GlyphsPopulation
from kd2m_theory.validation.training.batches import Batches
from kd2m_theory.validation.training.configuration import Recipe
from kd2m_theory.validation.training.networks import network
from kd2m_theory.validation.training.processes import started_by_torchrun
from kd2m_theory.validation.training.teacher_outputs import TeacherOutputs
from kd2m_theory.validation.training.training_module import TrainingModule

RECIPE = Recipe(epochs=1, batch=32, learning_rate=1e-2, steps=6, optimiser="sgd")
# A distance of the whole batch, one with a learnable part, and one whose learnable part gets no gradient.
TERMS = {
    "kd": 0.5,
    "cw2": 0.01,
    "sliced-w2": {"weight": 0.01, "projector": "linear"},
    "mmd": {"weight": 0.0, "projector": "linear"},
}


def trained(device: torch.device, name: str, group: bool) -> dict[str, Any]:
    """Mean losses of the epoch, and all weights after it."""
    source = GlyphsPopulation(classes=10)
    student, teacher = (network(name, source.classes, source.image_shape, seed) for seed in (0, 1))
    goal = objective("sum", student, teacher, init_seed=0, terms=TERMS)
    processes = started_by_torchrun()
    backend = "nccl" if device.type == "cuda" else "gloo"
    trainer = Trainer(
        accelerator=device.type,
        devices=[0] if device.type == "cuda" else 1,
        strategy=DDPStrategy(find_unused_parameters=True, process_group_backend=backend) if group else "auto",
        sync_batchnorm=group and device.type == "cuda",
        max_epochs=RECIPE.epochs,
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    batches = Batches(source, RECIPE, 0, device, processes, lambda: trainer.current_epoch)
    beside = TeacherOutputs(teacher.to(device))
    module = TrainingModule(student, goal, beside, RECIPE, len(batches), 0, processes)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning's own use of torch
        trainer.fit(module, batches)
    used = torch.distributed.get_backend() if torch.distributed.is_initialized() else "none"
    state = {name: value.cpu().double().flatten().tolist() for name, value in module.student.state_dict().items()}
    return {"backend": used, "losses": module.means(), "weights": state}


def main() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    torch.backends.cudnn.deterministic = True  # else the plain run would not even equal itself
    device, name, result = torch.device(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    found = {"plain": trained(device, name, group=False), "group": trained(device, name, group=True)}
    write_atomically(result, json.dumps(found).encode())


if __name__ == "__main__":
    main()
