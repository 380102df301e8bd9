"""The points of `gpu.py` that are campaigns: the experiments on MNIST and of KD²M, shortened by changes of their files."""

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gpu_process import Failed

Numbers = dict[str, Any]
DISTANCES = ("w2", "cw2", "jw2", "gaussian-w2", "gaussian-cw2", "gaussian-kl")


def point_mnist(device: str, size: str) -> Numbers:
    """The campaign `mnist` with one λ and one seed of every objective; no guaranteed row may be violated."""
    changes, workers = mnist_of(device, size)
    return _run("mnist", changes, workers)


def mnist_of(device: str, size: str) -> tuple[list[str], int]:
    """Changes of the campaign's file, and workers: audits on the CPU overlap training on the GPU."""
    changes = [f"device={device}", "sweep.1.seeds=[0]", *_of_objectives("sweep.1", 1e-2)]
    changes += [f"sweep.1.objectives.{name}.weight=[{weight}]" for name, weight in _LOGITS.items()]
    if size == "full":
        return changes, 8
    # Few objectives, and networks that see few batches.
    short = [f"sweep.1.{recipe}.{key}" for recipe in _RECIPES for key in ("epochs=1", f"steps={4 if size == 'small' else 1}")]
    few = "{none = {}, kd = {weight = [0.6]}, cw2 = {weight = [1e-2]}}" if size == "small" else "{none = {}}"
    return [*changes[:2], f"sweep.1.objectives={few}", "sweep.1.epochs=[1]", *short], 1


def point_kd2m(device: str, size: str) -> Numbers:
    """The campaign `kd2m` on small files of the hub's schema, with its networks and one λ of some distances."""
    with tempfile.TemporaryDirectory() as folder:
        for name in _FILES:
            write(Path(folder), name, *((2000, 500) if size == "full" else (200, 100)))
        changes, workers = kd2m_of(device, size, folder)
        return _run("kd2m", changes, workers)


def kd2m_of(device: str, size: str, root: str) -> tuple[list[str], int]:
    """Changes of the campaign's file, and workers."""
    changes = [f"device={device}", "sweep.*.seeds=[0]", f"sweep.*.population.root={root}"]
    if size == "full":
        for sweep in ("sweep.1", "sweep.2", "sweep.3"):
            changes += [*_of_objectives(sweep, 1e-5), f"{sweep}.objectives.kd.weight=[0.5]"]
        return changes, 8
    changes += ["sweep.*.objectives={none = {}, cw2 = {weight = [1e-5]}}", "sweep.*.epochs=[1]"]
    changes += [f"sweep.*.{recipe}.{key}" for recipe in _RECIPES for key in ("epochs=1", "steps=2", "batch=16")]
    if size == "tiny":
        changes += ["sweep.*.objectives={none = {}}", "sweep.*.teacher.network=cnn-6-8", 'sweep.*.students=["cnn-4-8"]']
    return changes, 1


_RECIPES = ("training", "teacher.training")
_LOGITS = {"kd": 0.6, "dkd": 1.0, "ttm": 4.0, "wttm": 2.0, "unikd": 1.0}


def _of_objectives(sweep: str, weight: float) -> Iterator[str]:
    """One λ for each distance; costs of jw2 are shares of their means."""
    for name in DISTANCES:
        yield f"{sweep}.objectives.{name}.weight=[{1.0 if name == 'jw2' else weight}]"


def _run(name: str, changes: list[str], workers: int) -> Numbers:
    """What a campaign says: rows that were compared with what was measured, and accuracies of its objectives."""
    from kd2m_theory.validation.campaigns.campaign import read_campaign
    from kd2m_theory.validation.campaigns.campaign_run import run_campaign
    from kd2m_theory.validation.campaigns.findings import findings
    from kd2m_theory.validation.campaigns.gains import comparison

    with tempfile.TemporaryDirectory() as folder:
        found = findings(run_campaign(read_campaign(name, changes), Path(folder) / "store", workers=workers))
        judgement, compared = found.judgement, [comparison(setting) for setting in found.settings]
    violations = [f"{each.name} of {each.run}" for each in judgement.violations]
    numbers: Numbers = {"runs": found.runs, "pairs": found.points, "checked": judgement.checked, "violations": violations}
    numbers["core_seconds"] = found.seconds
    numbers["accuracies"] = {
        each.setting.name: {
            "teacher": each.teacher,
            "none": None if each.alone is None else each.alone.mean,
            **{learned.name: learned.accuracy.mean for learned in each.learned},
        }
        for each in compared
    }
    if violations or not judgement.checked:
        words = f"{len(violations)} of {judgement.checked} guaranteed rows are violated: {'; '.join(violations[:3])}"
        raise Failed(words, numbers)
    return numbers


# Configuration on the hub, columns of images and of labels, classes.
_FILES = {
    "svhn": ("cropped_digits", "image", ("label",), 10),
    "cifar10": ("plain_text", "img", ("label",), 10),
    "cifar100": ("cifar100", "img", ("fine_label", "coarse_label"), 100),
}


def write(root: Path, name: str, train: int, test: int) -> None:
    """Parquet files as the hub has them, of noisy 32 × 32 images with a pattern of colours for each class.

    There are at least ten training images of each class, of which a tenth is for validation.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    configuration, image, columns, classes = _FILES[name]
    (root / configuration).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    patterns = rng.uniform(64, 192, (classes, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2)
    for split, count in (("train", max(train, 10 * classes)), ("test", test)):
        labels = rng.permutation(np.arange(count) % classes)
        rows = []
        for label in labels:
            buffer = io.BytesIO()
            noisy = patterns[label] + rng.normal(0, 48, (32, 32, 3))
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
            rows.append({"bytes": buffer.getvalue(), "path": None})
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        table = pa.table({image: pa.array(rows, kind)} | {column: pa.array(labels) for column in columns})
        pq.write_table(table, root / configuration / f"{split}-00000-of-00001.parquet")
