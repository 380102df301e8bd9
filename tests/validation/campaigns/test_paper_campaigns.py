"""The shipped campaigns of the papers: what they say, and a whole run of each in small on files of the data's own schema."""

from types import SimpleNamespace

import pytest
import torch
from campaign_work import Inline
from hub_files import write
from torch import nn

from kd2m_theory.commands.main import main
from kd2m_theory.validation.campaigns import campaign_run
from kd2m_theory.validation.campaigns.campaign import read_campaign
from kd2m_theory.validation.campaigns.store import Store
from kd2m_theory.validation.objectives.registry import objective
from kd2m_theory.validation.training.configuration import Recipe
from kd2m_theory.validation.training.outputs import Outputs

DISTANCES = {"w2", "cw2", "jw2", "gaussian-w2", "gaussian-cw2", "gaussian-kl"}
SMALL = (
    "device=cpu",
    "sweep.*.seeds=[0]",
    "sweep.*.epochs=[1]",
    *(
        f"sweep.*.{recipe}.{key}"
        for recipe in ("training", "teacher.training")
        for key in ("epochs=1", "steps=2", "batch=16", "milestones=[]", "schedule=cosine")
    ),
)


def small(*others):
    return [word for change in (*SMALL, *others) for word in ("--set", change)]


@pytest.fixture
def here(monkeypatch, tmp_path, capsys):
    """Run `kd2m` in this process, in a folder with small files of all three data sets: exit status and what it printed."""
    for name, train, test in (("svhn", 100, 40), ("cifar10", 100, 40), ("cifar100", 500, 100)):
        write(tmp_path / "data", name, {"train": train, "test": test})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(campaign_run, "LocalProcesses", lambda _workers, scratch: Inline(scratch))

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["kd2m", *arguments])
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = stop.code or 0
        return status, capsys.readouterr()

    return call


def test_kd2m_has_the_set_up_of_the_authors_code():
    runs = read_campaign("kd2m").runs
    assert {run.population["name"] for run in runs} == {"svhn", "cifar10", "cifar100"}
    assert {(run.teacher.network, run.student.network) for run in runs} == {("resnet34", "resnet18")}
    recipe = Recipe(
        epochs=15, batch=128, optimiser="sgd", learning_rate=1e-2, final_learning_rate=1e-4, momentum=0.9, precision="bf16"
    )
    assert {run.teacher.training for run in runs} == {run.student.training for run in runs} == {recipe}
    for name in ("svhn", "cifar10", "cifar100"):
        mine = [run for run in runs if run.population["name"] == name]
        assert {run.seed for run in mine} == {0, 1, 2, 3, 4}
        assert {run.objective["name"] for run in mine} == DISTANCES | {"none", "kd"}
        for distance in DISTANCES:
            weights = {run.objective["weight"] for run in mine if run.objective["name"] == distance}
            # The grid of the paper's sweep; costs of jw2 are shares of their means.
            assert weights == ({1e-2, 1e-1, 1.0, 10.0} if distance == "jw2" else {1e-4, 1e-5, 1e-6, 1e-7})


def test_ttm_has_the_pairs_and_weights_of_the_paper():
    told = {  # arXiv 2402.11148: (γ, β) of TTM, then of WTTM
        ("wrn-40-2", "wrn-16-2"): ((0.1, 101), (0.1, 4)),
        ("resnet56", "resnet20"): ((0.3, 7), (0.3, 1.5)),
        ("resnet110", "resnet32"): ((0.1, 33), (0.1, 1.5)),
        ("resnet32x4", "resnet8x4"): ((0.1, 100), (0.1, 3)),
        ("vgg13", "vgg8"): ((0.1, 45), (0.1, 2.25)),
    }
    runs = read_campaign("ttm").runs
    assert len(runs) == 5 * 4 * 5
    found = {}
    for run in runs:
        pair = run.teacher.network, run.student.network
        found.setdefault(pair, {})[run.objective["name"]] = (run.objective.get("gamma"), run.objective.get("weight"))
        assert run.student.training == run.teacher.training
        assert run.student.training.milestones == (150, 180, 210)
        assert (run.student.training.learning_rate, run.student.training.weight_decay) == (0.05, 5e-4)
    assert {pair: (each["ttm"], each["wttm"]) for pair, each in found.items()} == told


def test_kd2m_runs_end_to_end_in_small(here, tmp_path):
    changes = small(
        "sweep.1.objectives={none = {}, cw2 = {weight = [1e-5]}}",
        *(f"sweep.2.objectives.{name}.weight=[1e-5]" for name in sorted(DISTANCES)),
        "sweep.2.objectives.kd.weight=[0.5]",
        "sweep.3.objectives={jw2 = {weight = [1e-5]}}",
        "sweep.*.teacher.network=cnn-6-8",
        'sweep.*.students=["cnn-4-8"]',
    )
    status, said = here("validate", "kd2m", *changes)
    assert status == 0, said.err
    store = tmp_path / "campaigns" / "kd2m"
    bounds = [row for row in Store(store).table().to_pylist() if row["kind"] == "bound"]
    assert {row["objective"] for row in bounds} == DISTANCES | {"none", "kd"}
    assert {(row["population"], row["n"]) for row in bounds} == {("svhn", 40), ("cifar10", 40), ("cifar100", 100)}
    parts = {path: path.stat().st_mtime_ns for path in (store / "parts").iterdir()}
    assert len(parts) == 11
    status, said = here("validate", "kd2m", *changes, "--resume")
    assert status == 0, said.err
    assert parts == {path: path.stat().st_mtime_ns for path in (store / "parts").iterdir()}


@pytest.mark.long
def test_kd2m_runs_with_its_own_networks(here, tmp_path):
    changes = [f"sweep.{k}.objectives={{none = {{}}}}" for k in (2, 3)]
    changes += [f"sweep.{k}.{change}" for k in (2, 3) for change in ("teacher.network=cnn-6-8", 'students=["cnn-4-8"]')]
    objectives = ", ".join(f"{name} = {{weight = [1e-5]}}" for name in sorted(DISTANCES))
    status, said = here("validate", "kd2m", *small(f"sweep.1.objectives={{{objectives}}}", *changes))
    assert status == 0, said.err
    assert "resnet18" in Store(tmp_path / "campaigns" / "kd2m").table()["student"].to_pylist()


@pytest.mark.parametrize("name", sorted(DISTANCES))
def test_every_distance_of_kd2m_takes_a_batch_of_128_in_512_dimensions(name):
    generator = torch.Generator().manual_seed(0)
    outputs = [
        Outputs(torch.randn(128, 10, generator=generator), torch.randn(128, 512, generator=generator).relu().requires_grad_())
        for _ in range(2)
    ]
    plain = SimpleNamespace(fc=nn.Linear(512, 10), feature_size=512)
    loss = objective(name, plain, plain, weight=1e-4)(*outputs, torch.arange(128) % 10)
    loss.total.backward()
    assert loss.total.isfinite()
    assert outputs[0].features.grad.isfinite().all()
    assert outputs[0].features.grad.abs().sum() > 0


@pytest.mark.long
def test_ttm_runs_end_to_end_in_small(here, tmp_path):
    assert len(read_campaign("ttm", SMALL).runs) == 5 * 4
    # One pair is kept: the networks of the others are small here, and alike, so that each of their points is run once.
    small_pairs = [
        f"sweep.{k}.{change}" for k in (1, 2, 3, 4) for change in ("teacher.network=cnn-6-8", 'students=["cnn-4-8"]')
    ]
    kept = [f"sweep.{k}.objectives={{ttm = {{weight = [1.0]}}}}" for k in (2, 3, 4)] + [
        "sweep.5.objectives={wttm = {weight = [2.25]}}"
    ]
    status, said = here("validate", "ttm", *small("sweep.*.population.validation=0.2", *small_pairs, *kept))
    assert status == 0, said.err
    table = Store(tmp_path / "campaigns" / "ttm").table()
    assert set(table["objective"].to_pylist()) == {"none", "kd", "ttm", "wttm"}
    assert set(table["student"].to_pylist()) == {"vgg8", "cnn-4-8"}


def test_a_split_without_images_is_refused_before_anything_is_trained(here):
    status, said = here("validate", "ttm", *small())  # five images of a class, of which two in a hundred are none
    assert status == 2
    assert "cifar100 has no validation images" in said.err
    assert "tasks" not in said.err


def test_the_mnist_experiment_gives_every_student_one_recipe_and_few_images():
    runs = read_campaign("mnist").runs
    assert {run.objective["name"] for run in runs} >= DISTANCES | {"none", "kd", "ttm", "wttm"}
    (recipe,) = {run.student.training for run in runs}  # the row without a teacher anneals as the others
    assert (recipe.schedule, recipe.final_learning_rate, recipe.images_per_class) == ("cosine", 0.0, 20)
    assert {run.teacher.training.images_per_class for run in runs} == {None}
    alone = [run.seed for run in runs if run.objective["name"] == "none"]
    for objective_name in {run.objective["name"] for run in runs}:
        weights = {run.objective.get("weight") for run in runs if run.objective["name"] == objective_name}
        for weight in weights:
            seeds = [r.seed for r in runs if (r.objective["name"], r.objective.get("weight")) == (objective_name, weight)]
            assert seeds == alone
    assert {run.pairs_at for run in runs if run.seed == 0} == {(20,)}
    assert {run.pairs_at for run in runs if run.seed > 0} == {()}
