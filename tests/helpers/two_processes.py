"""One of two processes that feed metrics their part of a stream; importable by a spawned process."""

import torch

from kd2m_theory.estimators.metrics import GaussianW2Metric, PairedDistanceMetric, RandomFeatureMMDMetric

METRICS = {
    "Gaussian, full": lambda: GaussianW2Metric(4),
    "Gaussian, diagonal": lambda: GaussianW2Metric(4, "diagonal"),
    "random features": lambda: RandomFeatureMMDMetric(4, 1.5, 64),
    "paired": PairedDistanceMetric,
}


def work(rank, store, x, y, queue):
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    part = slice(0, 25) if rank == 0 else slice(25, 60)
    values = []
    for make in METRICS.values():
        metric = make()
        metric.update(torch.tensor(x[part]), torch.tensor(y[part]))
        values.append(metric.compute().item())
    queue.put(values)
    torch.distributed.destroy_process_group()
