"""Several processes on one batch: each has its part, and the objective sees all of it.

A distance between distributions is not a mean over images: the mean of the distances of two halves is not the distance of the
whole. So outputs are gathered with their gradient before the objective is evaluated, equally in every process.
"""

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kd2m_theory.errors import InputError
from kd2m_theory.validation.training.outputs import Outputs, averaged


@dataclass(frozen=True)
class Processes:
    """Who takes part.

    Attributes:
        count: processes in all.
        local: processes on this machine.
        rank: of this one.
        local_rank: of this one on this machine.
    """

    count: int = 1
    local: int = 1
    rank: int = 0
    local_rank: int = 0

    @property
    def writes(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0


def started_by_torchrun() -> Processes:
    """What `torchrun` says in the environment; one process without it.

    Raises:
        InputError: the environment says only part of it.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return Processes()
    names = ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "RANK", "LOCAL_RANK")
    try:
        return Processes(*(int(os.environ[name]) for name in names))
    except (KeyError, ValueError):
        raise InputError(f"torchrun has to set {', '.join(names)} to whole numbers") from None


def whole_batch(outputs: Outputs, processes: Processes) -> Outputs:
    """Outputs for the images of all processes, in the order of the batch.

    The gradient of a loss that every process computes of them flows back to each part from every process: times the number of
    processes, which DistributedDataParallel divides by.
    """
    if _alone(processes):
        return outputs
    shallow = outputs.preactivation
    return Outputs(
        _gathered(outputs.logits),
        _gathered(outputs.features),
        tuple(_gathered(stage) for stage in outputs.stages),
        None if shallow is None else _gathered(averaged(shallow)),
    )


def whole_labels(labels: Tensor, processes: Processes) -> Tensor:
    """Labels of all processes' images."""
    if _alone(processes):
        return labels
    return _parts(labels.contiguous())


def wait_for_all(processes: Processes) -> None:
    """Return when every process is here."""
    if processes.count > 1 and torch.distributed.is_initialized():
        torch.distributed.barrier()


def _alone(processes: Processes) -> bool:
    # A group of one process gathers like any other: with it, one process can try what several do.
    return processes.count == 1 and not (torch.distributed.is_initialized() and torch.distributed.get_world_size() == 1)


def _gathered(values: Tensor) -> Tensor:
    gathered: Tensor = _Gather.apply(values.contiguous())  # type: ignore[no-untyped-call]
    return gathered


class _Gather(torch.autograd.Function):
    """The parts of all processes, one after the other; what the losses of all of them say of a part is its gradient.

    torch.distributed.nn has the same, but is deprecated from torch 2.13 on.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        ctx.mine = len(values)
        return _parts(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        whole = gradient.contiguous().clone()
        torch.distributed.all_reduce(whole)
        mine: Tensor = whole.split(ctx.mine)[torch.distributed.get_rank()]
        return mine


def _parts(values: Tensor) -> Tensor:
    parts = [torch.empty_like(values) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, values)
    return torch.cat(parts)
