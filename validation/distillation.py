"""A whole run of distillation: a teacher, a student trained with an objective, pairs, and the audit of each.

The last epoch is the result; no epoch is chosen on images of the test split.
"""

import json
import logging
import signal
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn

from kd2m_theory.errors import InputError
from kd2m_theory.extraction import choose_device
from kd2m_theory.pair import Pair
from kd2m_theory.report import audit
from kd2m_theory.validation.batches import Batches
from kd2m_theory.validation.configuration import Configuration, Recipe, TeacherPlan, digest
from kd2m_theory.validation.epoch_recorder import AtomicCheckpoints, EpochRecorder, KeepPair
from kd2m_theory.validation.evaluation import BATCH, Evaluation, evaluate, held_out, predict
from kd2m_theory.validation.numbers import NUMBERS
from kd2m_theory.validation.objectives.cross_entropy import CrossEntropy
from kd2m_theory.validation.objectives.objective import Objective
from kd2m_theory.validation.origin import Origin, inputs_of, weights_digest
from kd2m_theory.validation.populations.population import Population
from kd2m_theory.validation.populations.registry import population
from kd2m_theory.validation.populations.stream import whole
from kd2m_theory.validation.processes import Processes, started_by_torchrun, wait_for_all
from kd2m_theory.validation.run_folder import RunFolder, read_weights, write_json, write_weights
from kd2m_theory.validation.run_parts import run_parts
from kd2m_theory.validation.teacher_outputs import TeacherOutputs
from kd2m_theory.validation.torch_threads import torch_threads
from kd2m_theory.validation.training_module import TrainingModule


@dataclass(frozen=True)
class Trained:
    """A finished run.

    Attributes:
        folder: with its files.
        teacher: trained, on the CPU.
        student: after the last epoch, on the CPU.
        history: one row an epoch: learning rate, seconds, means of the training loss and its parts, and what
            `Evaluation` says of the validation images.
        results: of "teacher" and "student" on the "validation" and the "test" images, by (network, split).
        pairs: files by epoch.
        violations: names of violated rows by epoch, of every pair that was audited.
        origin: what it was made from beside its configuration.
    """

    folder: Path
    teacher: nn.Module
    student: nn.Module
    history: tuple[Mapping[str, float], ...]
    results: Mapping[tuple[str, str], Evaluation]
    pairs: Mapping[int, Path]
    violations: Mapping[int, tuple[str, ...]]
    origin: Origin


def train(
    configuration: Configuration,
    out: str | Path,
    *,
    resume: bool = False,
    device: str = "auto",
    teachers: str | Path | None = None,
    teacher: str | Path | None = None,
    threads: int = 1,
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
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), torch_threads(whole(threads, "threads", 1)):
        run = _Run(configuration, folder, Path(teachers) if teachers else folder.path / "teacher", source, place, processes)
        if processes.writes:
            folder.open(configuration.to_table(), configuration.digest, run.origin, resume)
        run.train_teacher(None if teacher is None else Path(teacher))
        run.train_student()
        return run.finish()


class _Run:
    """Everything that is made once for a run, in the order in which it can be refused: before anything is trained."""

    def __init__(
        self,
        configuration: Configuration,
        folder: RunFolder,
        teachers: Path,
        source: Population,
        place: torch.device,
        processes: Processes,
    ) -> None:
        self.configuration, self.folder, self.source, self.place, self.processes = (
            configuration,
            folder,
            source,
            place,
            processes,
        )
        plan = configuration.teacher
        threads = torch.get_num_threads() if place.type == "cpu" else 0
        networks = {plan.network: None, configuration.student.network: None}
        self.origin, self.teacher_origin = (
            Origin(place.type, threads, processes.count, inputs_of(configuration.population, source, names, plan.weights))
            for names in (networks, (plan.network,))
        )
        # Another device, other images or other numbers make another teacher.
        made_from = {"teacher": configuration.teacher_digest, "numbers": NUMBERS, **self.teacher_origin.table()}
        self.teacher_folder = RunFolder(teachers / digest(made_from))
        parts = run_parts(configuration, source)
        self.teacher, self.student, self.objective = parts.teacher, parts.student, parts.objective
        if plan.weights is not None:
            read_weights(Path(plan.weights), self.teacher, "teacher")
        self.batches(configuration.student.training, configuration.seed, None)
        if plan.training is not None:
            self.batches(plan.training, plan.seed, None)
        seed, images = configuration.seed, configuration.pairs.images
        self.validation = held_out(source, "validation", images, seed, place)
        self.test = held_out(source, "test", images, seed, place)

    def batches(self, recipe: Recipe, seed: int, trainer: Trainer | None) -> Batches:
        """Of one of the two trainings."""
        return Batches(
            self.source, recipe, seed, self.place, self.processes, lambda: 0 if trainer is None else trainer.current_epoch
        )

    def train_teacher(self, given: Path | None) -> None:
        """Train it or read it, and leave it in evaluation mode on the device."""
        plan, folder = self.configuration.teacher, self.teacher_folder
        if given is not None:
            read_weights(given, self.teacher, "teacher")
        elif plan.training is not None:
            mine = self.configuration.teacher_digest
            if folder.weights("teacher").exists():
                folder.check(mine, self.teacher_origin)
            else:
                if self.processes.writes:
                    folder.open(_teacher_table(plan, self.configuration.population), mine, self.teacher_origin, True)
                wait_for_all(self.processes)
                self._fit(self.teacher, CrossEntropy(), None, None, plan.training, plan.seed, folder, (), _keep_nothing)
                if self.processes.writes:
                    write_weights(folder.weights("teacher"), self.teacher)
                wait_for_all(self.processes)
            read_weights(folder.weights("teacher"), self.teacher, "teacher")
        self.teacher = self.teacher.to(self.place).eval().requires_grad_(False)
        if self.configuration.student.head == "teacher":
            self.student.fc.load_state_dict(self.teacher.fc.state_dict())  # type: ignore[union-attr]

    def train_student(self) -> None:
        """Train it, unless that was done, and leave its last weights in it."""
        path, recipe = self.folder.weights("student"), self.configuration.student.training
        if not path.exists():
            outputs = TeacherOutputs(self.teacher, self._kept_outputs()) if self.objective.needs_teacher else None
            seed, at = self.configuration.seed, self.configuration.pairs_at
            taught = predict(self.teacher, self.validation[0])
            self._fit(self.student, self.objective, outputs, taught, recipe, seed, self.folder, at, self._keep_pair)
            if self.processes.writes:
                write_weights(path, self.student)
            wait_for_all(self.processes)
        read_weights(path, self.student, "student")

    def finish(self) -> Trained:
        """Audit what is not audited yet, measure both networks, and give everything back on the CPU."""
        plan = self.configuration.pairs
        if self.processes.writes and plan.audit:
            for epoch in self.configuration.pairs_at:
                if not self.folder.audit(epoch).exists():
                    self._audit(epoch)
        wait_for_all(self.processes)
        results = {}
        for split, (images, labels) in (("validation", self.validation), ("test", self.test)):
            taught = predict(self.teacher.to(self.place), images)
            results["teacher", split] = evaluate(taught, labels)
            results["student", split] = evaluate(predict(self.student.to(self.place), images), labels, taught)
        if self.processes.writes:
            table = {f"{whose}_{split}": asdict(each) for (whose, split), each in results.items()}
            write_json(self.folder.path / "results.json", _without_nan(table))
        return Trained(
            self.folder.path,
            self.teacher.cpu(),
            self.student.cpu().eval(),
            _read_history(self.folder),
            results,
            {epoch: self.folder.pair(epoch) for epoch in self.configuration.pairs_at},
            {epoch: _violations(self.folder.audit(epoch)) for epoch in self.configuration.pairs_at if plan.audit},
            self.origin,
        )

    def _fit(
        self,
        trained: nn.Module,
        goal: Objective,
        outputs: TeacherOutputs | None,
        taught: Tensor | None,
        recipe: Recipe,
        seed: int,
        folder: RunFolder,
        pairs_at: tuple[int, ...],
        keep_pair: KeepPair,
    ) -> None:
        images, labels = self.validation
        recorder = EpochRecorder(folder, recipe, images, labels, taught, pairs_at, keep_pair, self.processes)
        trainer = _trainer(recipe, self.place, folder, recorder, self.processes)
        batches = self.batches(recipe, seed, trainer)
        module = TrainingModule(trained, goal, outputs, recipe, len(batches), seed, self.processes)
        checkpoint = str(folder.checkpoint) if folder.checkpoint.exists() else None
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning's own use of torch
            _fitted(trainer, module, batches, checkpoint)
        if len(recorder.rows) != recipe.epochs:
            raise InputError(f"{folder.checkpoint} has {len(recorder.rows)} of {recipe.epochs} epochs; delete it to begin anew")
        trained.to(self.place)

    def _keep_pair(self, student: nn.Module, epoch: int) -> None:
        self.folder.pair(epoch).parent.mkdir(exist_ok=True)
        self._extract(student, self.test).save(self.folder.pair(epoch))
        if self.student.feature_size != self.teacher.feature_size:
            self._extract(student, self.validation).save(self.folder.pair(epoch, "validation"))

    def _extract(self, student: nn.Module, data: tuple[Tensor, Tensor]) -> Pair:
        loader = list(zip(*(part.split(BATCH) for part in data), strict=True))
        return Pair.from_models(self.teacher, student, loader, device=str(self.place), progress=False)

    def _audit(self, epoch: int) -> None:
        validation = self.folder.pair(epoch, "validation")
        align = Pair.load(validation) if validation.exists() else None
        report = audit(Pair.load(self.folder.pair(epoch)), self.configuration.pairs.delta, align=align)
        self.folder.audit(epoch).parent.mkdir(exist_ok=True)
        report.to_json(self.folder.audit(epoch))

    def _kept_outputs(self) -> Path | None:
        plan, recipe = self.configuration.teacher, self.configuration.student.training
        if not plan.cache:
            return None
        batches = {"seed": self.configuration.seed, "batch": recipe.batch, "steps": recipe.steps, "precision": recipe.precision}
        made_from = {**self.origin.table(), "rank": self.processes.rank, "weights": weights_digest(self.teacher.state_dict())}
        return self.teacher_folder.path / "outputs" / digest({**batches, **made_from})


def _teacher_table(plan: TeacherPlan, source: Mapping[str, Any]) -> dict[str, Any]:
    return {"population": dict(source), "teacher": {k: v for k, v in asdict(plan).items() if k != "cache"}}


def _place(device: str, processes: Processes) -> torch.device:
    place = choose_device(device)
    return torch.device(place.type, processes.local_rank) if place.type == "cuda" and processes.count > 1 else place


def _trainer(recipe: Recipe, place: torch.device, folder: RunFolder, recorder: EpochRecorder, processes: Processes) -> Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    bar = [RichProgressBar(console_kwargs={"stderr": True})] if sys.stderr.isatty() and processes.writes else []
    logger = TensorBoardLogger(folder.path, name="tensorboard", version="") if processes.writes else False
    shared = processes.count > 1
    return Trainer(
        accelerator=place.type,
        devices=processes.local if shared else ([place.index or 0] if place.type == "cuda" else 1),
        num_nodes=processes.count // processes.local,
        # A term of weight zero leaves its learnable parts without gradient.
        strategy=DDPStrategy(find_unused_parameters=True) if shared else "auto",
        sync_batchnorm=shared and place.type == "cuda",
        precision="bf16-mixed" if recipe.precision == "bf16" and place.type == "cuda" else "32-true",
        max_epochs=recipe.epochs,
        gradient_clip_val=recipe.gradient_clip,
        callbacks=[recorder, *bar],
        plugins=[AtomicCheckpoints()],
        logger=logger,
        enable_progress_bar=bool(bar),
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        use_distributed_sampler=False,
    )


def _fitted(trainer: Trainer, module: TrainingModule, batches: Batches, checkpoint: str | None) -> None:
    # Lightning turns an interrupt into exit status 1, which means something else here, and goes on ignoring the signal.
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, batches, ckpt_path=checkpoint)
    except SystemExit:
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None


def _keep_nothing(_student: nn.Module, _epoch: int) -> None:
    """A teacher has no pairs."""


def _read_history(folder: RunFolder) -> tuple[Mapping[str, float], ...]:
    import pyarrow.parquet

    return tuple(pyarrow.parquet.read_table(folder.history).to_pylist())


def _violations(path: Path) -> tuple[str, ...]:
    return tuple(json.loads(path.read_text())["violations"])


def _without_nan(table: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    return {key: {name: value if value == value else None for name, value in row.items()} for key, row in table.items()}
