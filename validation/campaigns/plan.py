"""A campaign as tasks, and the check that every one of them can begin, before the first does."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from kd2m_theory.errors import InputError
from kd2m_theory.extraction import choose_device
from kd2m_theory.validation.campaigns.campaign import Campaign, Coverage
from kd2m_theory.validation.campaigns.task import Task
from kd2m_theory.validation.origin import inputs_of
from kd2m_theory.validation.populations.population import Population
from kd2m_theory.validation.populations.registry import population
from kd2m_theory.validation.populations.stream import SPLITS
from kd2m_theory.validation.training.batches import Batches
from kd2m_theory.validation.training.configuration import Configuration, digest
from kd2m_theory.validation.training.processes import Processes
from kd2m_theory.validation.training.run_parts import run_parts


def tasks(campaign: Campaign, inputs: Mapping[str, Mapping[str, str]] | None = None) -> tuple[Task, ...]:
    """Every task, in the order in which they should begin.

    Args:
        campaign: the campaign.
        inputs: what `check` returned; a worker that is given none of them does not compare its data.
    """
    inputs = inputs or {}
    # Coverage first: its audits wait for one training each, and can then fill every worker.
    listed = [task for study in campaign.coverages for task in _of_coverage(study, campaign.device, inputs)]
    listed += [_pair(run, campaign, inputs) for run in campaign.runs]
    return tuple({task.digest: task for task in listed}.values())


def check(campaign: Campaign, *, here: bool) -> dict[str, dict[str, str]]:
    """Make everything that is made before training, once for every kind of run.

    Args:
        campaign: the campaign.
        here: whether it runs on this machine, so that its device has to be here too.

    Returns:
        Digests of what each kind of run reads beside its configuration, by the kind.

    Raises:
        InputError: unknown names or options, networks that do not fit, a population that has no fresh images for a coverage
            study, or no such device.
        MissingDependencyError: a library that a population or a network needs.
    """
    if here:
        choose_device(campaign.device)
    sources: dict[str, Population] = {}
    inputs: dict[str, dict[str, str]] = {}
    seen = set()
    for run, fresh in [(study.run, True) for study in campaign.coverages] + [(run, False) for run in campaign.runs]:
        what = digest({**run.to_table(), "seed": 0, "fresh": fresh})
        if what in seen:
            continue
        seen.add(what)
        key = digest(dict(run.population))
        if key not in sources:
            sources[key] = population(**dict(run.population))
        _check_run(run, sources[key])
        inputs[_kind(run)] = inputs_of(run.population, sources[key], (run.teacher.network, run.student.network))
        if fresh and sources[key].size("test") is not None:
            raise InputError(
                f"coverage is measured on fresh images, and {run.population['name']} has no more than "
                f"{sources[key].size('test')}; choose gaussian-mixture or glyphs"
            )
    return inputs


def _kind(run: Configuration) -> str:
    """Runs of one kind read the same."""
    return digest({"population": dict(run.population), "networks": [run.teacher.network, run.student.network]})


def _check_run(run: Configuration, source: Population) -> None:
    for split in SPLITS[1:]:  # validation and test
        if source.size(split) == 0:
            raise InputError(f"{source.name} has no {split} images, and every run is judged on some; choose other splits")
    run_parts(run, source)
    for recipe in (run.teacher.training, run.student.training):
        assert recipe is not None
        Batches(source, recipe, 0, torch.device("cpu"), Processes(), lambda: 0)


def _pair(run: Configuration, campaign: Campaign, inputs: Mapping[str, Mapping[str, str]]) -> Task:
    table = {"kind": "pair", "delta": campaign.delta, "device": campaign.device, "run": run.to_table()}
    teacher = _teacher_file(run, campaign.device)
    read = inputs.get(_kind(run), {})
    return Task(digest(table), table, describe(run), shares=(teacher,), device=campaign.device, inputs=read)


def _teacher_file(run: Configuration, device: str) -> str:
    """Where the store keeps the teacher: on another device it is another one."""
    return f"teachers/{run.teacher_digest}{'' if device == 'cpu' else '-' + device.replace(':', '-')}.safetensors"


def _of_coverage(study: Coverage, device: str, inputs: Mapping[str, Mapping[str, str]]) -> Iterator[Task]:
    run = study.run.to_table()
    table = {"kind": "network", "device": device, "run": run, "draws": study.draws, "seed": study.seed}
    name = digest(table)
    made = (f"networks/{name}.safetensors", f"truths/{name}.json")
    teacher, read = _teacher_file(study.run, device), inputs.get(_kind(study.run), {})
    words = f"coverage, {describe(study.run)}"
    yield Task(name, table, words, makes=made, shares=(teacher,), device=device, inputs=read)
    seen: Counter[int] = Counter()
    for audits in study.audits:
        for n, repeats in zip(audits.sizes, audits.repeats, strict=True):
            # No two audits of a study look at one sample: what several of them claim can be counted together.
            first, seen[n] = seen[n], seen[n] + repeats
            for start in range(first, seen[n], audits.block):
                stop = min(start + audits.block, seen[n])
                block: dict[str, Any] = {"kind": "audits", "network": name, "run": run, "seed": study.seed, "n": n}
                block |= {"rows": list(audits.rows or ()), "deltas": list(study.deltas), "start": start, "stop": stop}
                yield Task(digest(block), block, f"{words}, audits {start} to {stop} of n = {n}", needs=made)


def describe(run: Configuration) -> str:
    """A run in a few words."""
    weight = run.objective.get("weight")
    return (
        f"{run.population['name']}, {run.student.network}, {run.objective['name']}"
        f"{'' if weight is None else f' λ = {weight:g}'}, seed {run.seed}"
    )
