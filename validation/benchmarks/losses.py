"""One training step's loss, forward and backward, against the same loss written plainly with POT and torch.

    python validation/benchmarks/losses.py [--n 128 512 1024] [--d 512] [--save NAME.json]

float32 batches of ten classes on the CPU; median of several calls, ours and theirs in turn in one process.
"""

import statistics
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import ot
import torch
from harness import command_line, environment, save, shown, timed
from torch import Tensor

from kd2m_theory.estimators.kernels import RBF
from kd2m_theory.estimators.losses.gaussian import squared_gaussian_w2
from kd2m_theory.estimators.losses.kernel import squared_mmd
from kd2m_theory.estimators.losses.transport import squared_cw2, squared_w2
from kd2m_theory.validation.benchmark_tables import BenchmarkTable, Column, Record

CLASSES = 10
Loss = Callable[[Tensor], Tensor]
Row = dict[str, Any]
COLUMNS = (
    Column("n", format="d"),
    Column("loss"),
    Column("time", "ms", ".1f"),
    Column("plain time", "ms", ".1f"),
    Column("plain / ours", format=".2f"),
)
BY_CLASS = (Column("n", format="d"), Column("W2 / CW2, ours", format=".2f"))


def plain_w2(x: Tensor, y: Tensor) -> Tensor:
    costs = torch.cdist(x, y).square()
    uniform = [np.full(len(batch), 1.0 / len(batch)) for batch in (x, y)]
    plan = ot.emd(*uniform, costs.detach().cpu().double().numpy(), numItermax=10_000_000)
    return (torch.from_numpy(plan).to(costs) * costs).sum()


def plain_cw2(x: Tensor, y: Tensor, labels: Tensor) -> Tensor:
    return torch.stack([plain_w2(x[labels == c], y[labels == c]) for c in labels.unique()]).mean()


def plain_mmd(x: Tensor, y: Tensor, bandwidth: float) -> Tensor:
    def mean(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-torch.cdist(a, b).square() / (2 * bandwidth**2)).mean()

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


def plain_gaussian(x: Tensor, y: Tensor) -> Tensor:
    # POT's covariances carry a ridge, without which its square roots have no gradient when n < d.
    return ot.gaussian.empirical_bures_wasserstein_distance(x, y, reg=1e-3) ** 2


def losses(n: int, d: int, device: torch.device) -> tuple[dict[str, tuple[Loss, Loss]], Tensor]:
    """Ours and the plain one, by name, and the student's batch that they are of."""
    generator = torch.Generator().manual_seed(n)
    labels = torch.arange(n) % CLASSES
    centres = torch.randn(CLASSES, d, generator=generator)
    teacher = centres[labels] + torch.randn(n, d, generator=generator)
    student = 0.8 * centres[labels] + torch.randn(n, d, generator=generator)
    t, c, sigma = teacher.to(device), labels.to(device), float(d) ** 0.5
    return {
        "W2": (lambda z: squared_w2(z, t), lambda z: plain_w2(z, t)),
        "CW2": (lambda z: squared_cw2(z, t, c), lambda z: plain_cw2(z, t, c)),
        "MMD (RBF)": (lambda z: squared_mmd(z, t, RBF(sigma)), lambda z: plain_mmd(z, t, sigma)),
        "W2 (Gaussian)": (lambda z: squared_gaussian_w2(z, t), lambda z: plain_gaussian(z, t)),
    }, student.to(device)


def rows(sizes: Iterable[int], d: int, repeat: int, device: torch.device) -> Iterator[Row]:
    """For each batch size n and loss its value, and the median milliseconds of ours and of the plain one."""
    for n in sizes:
        both, student = losses(n, d, device)
        for name, (ours, plain) in both.items():
            # In turn, so that both see the machine in the same state; the first of each does not count.
            times = [(_step(ours, student), _step(plain, student)) for _ in range(repeat + 1)][1:]
            mine, theirs = (statistics.median(column) * 1e3 for column in zip(*times, strict=True))
            values = {"ours_value": float(ours(student)), "plain_value": float(plain(student))}
            yield {"n": n, "d": d, "loss": name, "ours": mine, "plain": theirs, **values}


def _step(loss: Loss, student: Tensor) -> float:
    leaf = student.clone().requires_grad_()
    return timed(lambda: loss(leaf).backward(), student.device)


def records(found: Iterable[Row]) -> Iterator[Record]:
    """What is stored of each row."""
    for row in found:
        yield {
            "n": row["n"],
            "loss": row["loss"],
            "time": row["ours"],
            "plain time": row["plain"],
            "plain / ours": row["plain"] / row["ours"],
        }


def by_class(found: Iterable[Record]) -> list[Record]:
    """How many times the time of CW2 the one of W2 is, at each size."""
    times: dict[int, dict[str, float]] = {}
    for record in found:
        times.setdefault(record["n"], {})[record["loss"]] = record["time"]
    return [{"n": n, "W2 / CW2, ours": each["W2"] / each["CW2"]} for n, each in times.items()]


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--n", type=int, nargs="+", default=[128, 512, 1024])
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--repeat", type=int, default=7)
    options = parser.parse_args()
    found = shown(COLUMNS, records(rows(options.n, options.d, options.repeat, torch.device("cpu"))))
    save(
        options.save,
        title="Training losses, forward and backward",
        environment=environment("torch", "POT"),
        setting={"d": options.d, "batches": "float32", "repetitions": options.repeat},
        note="times are medians",
        tables=[
            BenchmarkTable("forward and backward", COLUMNS, found),
            BenchmarkTable("one problem against one per class", BY_CLASS, shown(BY_CLASS, by_class(found))),
        ],
    )


if __name__ == "__main__":
    main()
