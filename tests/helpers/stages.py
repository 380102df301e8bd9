"""What a reader of a page has at hand before it begins, and what must be true once its code has run."""

import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import foreign_libraries
import numpy as np
import torch
from torch import nn

from kd2m_theory import Pair
from kd2m_theory.bounds import ladder
from kd2m_theory.estimators.axioms import check_metric
from kd2m_theory.validation.objectives import registry
from kd2m_theory.validation.training.outputs import Outputs
from kd2m_theory.validation.trial import agreement
from kd2m_theory.validation.trial.check import check_theorem

GALLERY = Path(__file__).parents[2] / "docs/gallery.md"


class Network(nn.Module):
    feature_size = 6

    def __init__(self, features):
        super().__init__()
        self.encoder, self.fc = nn.Linear(5, features), nn.Linear(features, 3)

    def forward(self, inputs):
        return self.fc(torch.relu(self.encoder(inputs)))


def small_pair():
    rng = np.random.default_rng(0)
    teacher, head = rng.normal(size=(60, 6)), rng.normal(size=(3, 6))
    labels = (teacher @ head.T).argmax(axis=1)
    return Pair(teacher, teacher + 0.1 * rng.normal(size=(60, 6)), labels=labels, head_weight=head)


def few_examples(patch):
    """Clouds that `check_metric` tries where a page leaves their number alone: enough for what the pages claim."""
    patch.setitem(check_metric.__kwdefaults__, "examples", 10)


def readme(_patch):
    """Networks and their data, and a pair in a file."""
    torch.manual_seed(0)
    small_pair().save("pair.safetensors")
    loader = [(torch.randn(30, 5), torch.randint(3, (30,))) for _ in range(2)]
    return {"teacher": Network(6), "student": Network(6), "loader": loader}


def clouds(patch):
    """Two labelled clouds, the head that sees them, and a distance."""
    few_examples(patch)
    rng = np.random.default_rng(0)
    return {
        "x": rng.normal(size=(40, 4)),
        "y": rng.normal(size=(40, 4)),
        "labels_x": np.arange(40) % 4,
        "labels_y": np.arange(40) % 4,
        "head_weight": rng.normal(size=(4, 4)),
        "my_distance": lambda x, y: abs(x.mean() - y.mean()),
    }


def demonstration(_patch):
    """`make demo` has run."""
    Path("kd2m-demo").mkdir()
    small_pair().save("kd2m-demo/pair.safetensors")
    return {}


def a_checkout(_patch):
    """The root of a checkout: its stored pairs lie where the page says."""
    Path("tests/data").mkdir(parents=True)
    for name in ("alone", "cw2"):
        shutil.copy(Path(__file__).parents[1] / "data" / f"demo-{name}.npz", "tests/data")
    return {}


def slurm(patch):
    """A stand-in for dask-jobqueue, whose cluster needs the programs of Slurm; and nobody waits for a signal."""

    class SLURMCluster:
        scheduler_address = "tcp://login:8786"

        def __init__(
            self, *, queue, cores, processes, memory, walltime, job_extra_directives, worker_extra_args, scheduler_options
        ):
            assert (cores, processes) == (1, 1)

        def adapt(self, *, minimum, maximum):
            assert minimum < maximum

    patch.setitem(sys.modules, "dask_jobqueue", SimpleNamespace(SLURMCluster=SLURMCluster))
    patch.setattr(signal, "pause", lambda: None)
    return {}


def additions(names, patch):
    """The examples of CONTRIBUTING do what it says once they stand where it says."""
    check_metric(names["mean_distance"], examples=20).assert_ok()

    rows = (*ladder.ROWS, *names["ROWS"])
    for module in (ladder, agreement):
        patch.setattr(module, "ROWS", rows)
    faults = check_theorem(names["THEOREM"]).faults
    assert not faults, faults

    patch.setitem(registry.SINGLE, "mean-distance", names["MeanDistance"])
    made = registry.objective("sum", Network(6), Network(6), terms={"mean-distance": 0.5})
    here, there = (Outputs(torch.zeros(4, 3), torch.full((4, 6), value)) for value in (1.0, 3.0))
    loss = made(here, there, torch.arange(4) % 3)
    assert torch.isclose(loss.total, np.log(3) + 0.5 * torch.tensor(24.0))

    assert names["FIGURE"].rendered(names["table"](), ["svg"])["svg"].startswith(b"<?xml")


def pictures(_names, _patch):
    """Every picture that the gallery shows was made."""
    from PIL import Image

    shown = [
        line.split(": ")[1] for line in GALLERY.read_text(encoding="utf-8").splitlines() if line.startswith("<!-- picture: ")
    ]
    assert len(shown) >= 8
    for name in shown:
        with Image.open(name) as picture:
            assert len(set(picture.convert("L").resize((64, 64)).tobytes())) > 8, f"{name} is blank"


BEFORE = {
    "README.md": readme,
    "docs/compare.md": a_checkout,
    "docs/distances.md": clouds,
    "docs/labels.md": a_checkout,
    "docs/quick-start.md": demonstration,
    "docs/networks.md": lambda patch: foreign_libraries.install(patch) or {},
    "docs/scaling.md": slurm,
    "docs/own-metric.md": lambda patch: few_examples(patch) or {},
}
AFTER = {"CONTRIBUTING.md": additions, "docs/gallery.md": pictures}
