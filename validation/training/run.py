"""Everything that a run is made of, and its steps: the teacher, the student, pairs, audits, results.

The last epoch is the result; no epoch is chosen on images of the test split.
"""

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
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn

from kd2m_theory.errors import InputError
from kd2m_theory.pair import Pair
from kd2m_theory.reporting.report import AuditReport, audit
from kd2m_theory.validation.objectives.cross_entropy import CrossEntropy
from kd2m_theory.validation.objectives.objective import Objective
from kd2m_theory.validation.origin import Origin, inputs_of, weights_digest
from kd2m_theory.validation.populations.population import Population
from kd2m_theory.validation.training.batches import Batches
from kd2m_theory.validation.training.configuration import Configuration, Recipe, digest
from kd2m_theory.validation.training.epoch_recorder import AtomicCheckpoints, EpochRecorder, Follow, KeepPair
from kd2m_theory.validation.training.evaluation import BATCH, Evaluation, evaluate, held_out, predict
from kd2m_theory.validation.training.followed import followed
from kd2m_theory.validation.training.processes import Processes, wait_for_all
from kd2m_theory.validation.training.progress import NamedProgress
from kd2m_theory.validation.training.run_folder import Numbers, RunFolder, read_weights, write_json, write_weights
from kd2m_theory.validation.training.run_parts import run_parts
from kd2m_theory.validation.training.teacher_outputs import TeacherOutputs
from kd2m_theory.validation.training.training_module import TrainingModule


@dataclass(frozen=True)
class Trained:
    """A finished run.

    Attributes:
        folder: with its files.
        teacher: trained, on the CPU.
        student: after the last epoch, on the CPU.
        history: one row per epoch: learning rate, seconds, means of the training loss and its parts, and what
            `Evaluation` says of the validation images; of the test images too if the run was followed.
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


class Run:
    """Everything that is made once for a run, in the order in which it can be refused: before anything is trained."""

    def __init__(
        self,
        configuration: Configuration,
        folder: RunFolder,
        teachers: Path,
        source: Population,
        place: torch.device,
        processes: Processes,
        numbers: Numbers | None = None,
        follow: bool = False,
    ) -> None:
        self.numbers, self.follow = numbers, follow
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
        made_from = {"teacher": configuration.teacher_digest, **self.teacher_origin.table()}
        made_from |= {} if numbers is None else {"numbers": numbers.NUMBERS}
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
        """The training batches of one of the two networks."""
        return Batches(
            self.source, recipe, seed, self.place, self.processes, lambda: 0 if trainer is None else trainer.current_epoch
        )

    def check_kept_teacher(self) -> None:
        """Refuse a teacher in a shared folder that other code or another run made, before a folder is begun.

        Raises:
            InputError: as `RunFolder.check`, or its outputs are to be kept where nothing can be written.
        """
        if self.numbers is not None and self.teacher_folder.sealed("teacher") is not None:
            self.teacher_folder.check(self._teacher_table(), self.teacher_origin, self.numbers)
            outputs = self.teacher_folder.path / "outputs"
            if self.configuration.teacher.cache and self.objective.needs_teacher and self.processes.writes:
                try:
                    outputs.mkdir(exist_ok=True)
                except OSError as error:
                    raise InputError(
                        f"the teacher's outputs cannot be kept in {outputs} ({error.strerror}); set teacher.cache=false, or "
                        "name another folder of teachers"
                    ) from None

    def _teacher_table(self) -> dict[str, Any]:
        plan = {key: value for key, value in self.configuration.to_table()["teacher"].items() if key != "cache"}
        return {"population": dict(self.configuration.population), "teacher": plan}

    def train_teacher(self, given: Path | None) -> None:
        """Train it or read it, and leave it in evaluation mode on the device."""
        plan, folder = self.configuration.teacher, self.teacher_folder
        if given is not None:
            read_weights(given, self.teacher, "teacher")
        elif plan.training is not None:
            if folder.sealed("teacher") is None or not folder.weights("teacher").exists():
                if self.processes.writes and self.numbers is not None:
                    folder.open(self._teacher_table(), self.teacher_origin, True, self.numbers)
                wait_for_all(self.processes)
                self._fit(
                    self.teacher, CrossEntropy(), None, None, plan.training, plan.seed, folder, (), _keep_nothing, "teacher"
                )
                if self.processes.writes:
                    write_weights(folder.weights("teacher"), self.teacher)
                    folder.seal("teacher", self.teacher.state_dict())
                wait_for_all(self.processes)
            read_weights(folder.weights("teacher"), self.teacher, "teacher")
            folder.check_seal("teacher", self.teacher.state_dict())
        self.folder.check_seal("teacher", self.teacher.state_dict())
        if self.processes.writes and self.folder.sealed("teacher") is None:
            self.folder.seal("teacher", self.teacher.state_dict())
        self.teacher = self.teacher.to(self.place).eval().requires_grad_(False)
        if self.configuration.student.head == "teacher":
            self.student.fc.load_state_dict(self.teacher.fc.state_dict())  # type: ignore[union-attr]

    def train_student(self, shown_as: str) -> None:
        """Train it, unless that was done, and leave its last weights in it; the progress bar calls it `shown_as`."""
        path, recipe = self.folder.weights("student"), self.configuration.student.training
        if self.folder.sealed("student") is None or not path.exists():
            outputs = TeacherOutputs(self.teacher, self._kept_outputs()) if self.objective.needs_teacher else None
            seed, at = self.configuration.seed, self.configuration.pairs_at
            taught = predict(self.teacher, self.validation[0])
            follow = followed(*self.test, predict(self.teacher, self.test[0])) if self.follow else None
            self._fit(
                self.student,
                self.objective,
                outputs,
                taught,
                recipe,
                seed,
                self.folder,
                at,
                self._keep_pair,
                shown_as,
                follow,
            )
            if self.processes.writes:
                write_weights(path, self.student)
                self.folder.seal("student", self.student.state_dict())
            wait_for_all(self.processes)
        read_weights(path, self.student, "student")
        self.folder.check_seal("student", self.student.state_dict())

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
            folder=self.folder.path,
            teacher=self.teacher.cpu(),
            student=self.student.cpu().eval(),
            history=_read_history(self.folder),
            results=results,
            pairs={epoch: self.folder.pair(epoch) for epoch in self.configuration.pairs_at},
            violations={epoch: _violations(self.folder.audit(epoch)) for epoch in self.configuration.pairs_at if plan.audit},
            origin=self.origin,
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
        network: str,
        follow: Follow | None = None,
    ) -> None:
        images, labels = self.validation
        recorder = EpochRecorder(folder, recipe, images, labels, taught, pairs_at, keep_pair, self.processes, follow)
        trainer = _trainer(recipe, self.place, folder, recorder, self.processes, network)
        batches = self.batches(recipe, seed, trainer)
        module = TrainingModule(trained, goal, outputs, recipe, len(batches), seed, self.processes)
        checkpoint = str(folder.checkpoint) if folder.checkpoint.exists() else None
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning's own use of torch
            try:
                _fitted(trainer, module, batches, checkpoint)
            except Exception as error:  # Lightning raises many kinds where a checkpoint is not what it expects
                if checkpoint is None or recorder.started or isinstance(error, InputError | OSError | MemoryError):
                    raise
                raise InputError(
                    f"{checkpoint} does not fit this run ({type(error).__name__}: {' '.join(str(error).split())[:200]}); "
                    "delete it to start again"
                ) from error
        if len(recorder.rows) != recipe.epochs:
            raise InputError(
                f"{folder.checkpoint} has {len(recorder.rows)} of {recipe.epochs} epochs; delete it to start again"
            )
        trained.to(self.place)

    def _keep_pair(self, student: nn.Module, epoch: int) -> None:
        self.folder.pair(epoch).parent.mkdir(exist_ok=True)
        self._extract(student, self.test).save(self.folder.pair(epoch))
        if self.student.feature_size != self.teacher.feature_size:
            self._extract(student, self.validation).save(self.folder.pair(epoch, "validation"))

    def _extract(self, student: nn.Module, data: tuple[Tensor, Tensor]) -> Pair:
        loader = list(zip(*(part.split(BATCH) for part in data), strict=True))
        return Pair.from_models(self.teacher, student, loader, "fc", "fc", device=str(self.place), progress=False)

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
        names = ("batch", "steps", "precision", "images_per_class")
        batches = {"seed": self.configuration.seed, **{name: getattr(recipe, name) for name in names}}
        made_from = {**self.origin.table(), "rank": self.processes.rank, "weights": weights_digest(self.teacher.state_dict())}
        return self.teacher_folder.path / "outputs" / digest({**batches, **made_from})


def _trainer(
    recipe: Recipe, place: torch.device, folder: RunFolder, recorder: EpochRecorder, processes: Processes, network: str
) -> Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    bar = [NamedProgress(network)] if sys.stderr.isatty() and processes.writes else []
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
    from kd2m_theory.parquet_files import read_parquet

    rows = read_parquet(folder.history, f"{folder.history} is not the history of a run; name another folder").to_pylist()
    # A number, or nothing where an epoch lacks it.
    if not all(value is None or type(value) in (float, int) for row in rows for value in row.values()):
        raise InputError(
            f"{folder.history} is not the history of a run; name another folder (it holds other things than numbers)"
        )
    return tuple(rows)


def _violations(path: Path) -> tuple[str, ...]:
    try:
        return tuple(row.name for row in AuditReport.from_json(path).violations)
    except InputError as error:
        raise InputError(f"{error}; delete it, and --resume writes it again") from None


def _without_nan(table: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    return {key: {name: value if value == value else None for name, value in row.items()} for key, row in table.items()}
