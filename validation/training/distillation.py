"""A whole run of distillation: a teacher, a student trained with an objective, pairs, and the audit of each."""

from pathlib import Path

import torch

from kd2m_theory.checks import whole
from kd2m_theory.errors import InputError
from kd2m_theory.extraction import choose_device
from kd2m_theory.files import make_folder
from kd2m_theory.validation import numbers
from kd2m_theory.validation.populations.registry import population
from kd2m_theory.validation.torch_random import kept_random
from kd2m_theory.validation.torch_threads import torch_threads
from kd2m_theory.validation.training.configuration import Configuration
from kd2m_theory.validation.training.processes import Processes, started_by_torchrun
from kd2m_theory.validation.training.run import Run, Trained
from kd2m_theory.validation.training.run_folder import RunFolder

__all__ = ["Trained", "train"]

_TRAINS_ON = ("cpu", "cuda", "mps")  # devices of Lightning's trainer


def train(
    configuration: Configuration,
    out: str | Path,
    *,
    resume: bool = False,
    device: str = "auto",
    teachers: str | Path | None = None,
    teacher: str | Path | None = None,
    threads: int = 1,
    shown_as: str = "student",
    follow: bool = False,
) -> Trained:
    """Train, keep pairs, audit them. On a CPU the same configuration gives the same weights bit for bit, interrupted or not.

    Started by `torchrun`, the processes share every batch, and the objective sees all of it.

    Args:
        configuration: what to do.
        out: folder of the run.
        resume: continue what is in `out`; a finished run is only read.
        device: "auto" (CUDA where there is one), or a torch device name.
        teachers: folder where trained teachers, and their outputs if the configuration keeps them, are shared between runs;
            None: in `out`.
        teacher: file with the weights of this configuration's teacher as another run trained it, where there is one; it is
            not trained again then.
        threads: of torch on a CPU, in each process. Rounding depends on it; one is fastest for the small networks here,
            residual networks want as many as there are cores.
        shown_as: name of the student in the progress bar.
        follow: whether the history also has what the student does on the test images after each epoch, for curves; no epoch is
            chosen on them.

    Raises:
        InputError: unknown names or options, networks or features that do not fit, a folder that holds something else or a run
            that was made from other inputs, on another device or with other threads, or by code that computes other numbers;
            a loss that is not finite (the last good checkpoint stays).
        MissingDependencyError: a library that the population or the network needs.
    """
    processes = started_by_torchrun()
    place = _place(device, processes)
    source = population(**dict(configuration.population))
    folder = RunFolder(Path(out))
    with kept_random(devices=range(torch.cuda.device_count())), torch_threads(whole(threads, "threads", 1)):
        shared = Path(teachers) if teachers else folder.path / "teacher"
        run = Run(configuration, folder, shared, source, place, processes, numbers, follow)
        if teacher is None:
            run.check_kept_teacher()
        if processes.writes:
            if teachers:
                make_folder(teachers)  # before the run takes its own folder
            folder.open(configuration.to_table(), run.origin, resume, numbers)
        run.train_teacher(None if teacher is None else Path(teacher))
        run.train_student(shown_as)
        return run.finish()


def _place(device: str, processes: Processes) -> torch.device:
    place = choose_device(device)
    if place.type not in _TRAINS_ON:
        raise InputError(f"device is {device!r}; training runs on {', '.join(map(repr, _TRAINS_ON))}")
    return torch.device(place.type, processes.local_rank) if place.type == "cuda" and processes.count > 1 else place
