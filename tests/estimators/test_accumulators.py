"""Batch by batch, merged in any order, and across processes: the same answer as in one go."""

import multiprocessing

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from two_processes import METRICS, work

from kd2m_theory import InputError
from kd2m_theory.estimators.accumulators import GaussianAccumulator, PairedDistance, RandomFeatureMMD
from kd2m_theory.estimators.gaussian import gaussian_wasserstein

MAKERS = {
    "Gaussian, full": lambda: GaussianAccumulator("full"),
    "Gaussian, diagonal": lambda: GaussianAccumulator("diagonal"),
    "random features": lambda: RandomFeatureMMD(4, 1.5, 64),
    "paired": PairedDistance,
}


def streams(seed, n=60, rank=4, offset=0.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, rank)) @ rng.normal(size=(rank, 4)) + offset
    return x, x + 0.3 * rng.normal(size=(n, 4)) + 0.5


@pytest.mark.parametrize("name", MAKERS)
@given(
    seed=st.integers(0, 2**32 - 1),
    cuts=st.sets(st.integers(1, 59), max_size=6),
    rank=st.sampled_from([1, 4]),
    offset=st.sampled_from([0.0, 1e6]),
)
@settings(max_examples=40)
def test_batches_and_merges_give_the_answer_of_one_go(name, seed, cuts, rank, offset):
    make = MAKERS[name]
    x, y = streams(seed, rank=rank, offset=offset)
    whole = make()
    whole.update(x, y)
    in_turn, parts = make(), []
    for first, second in zip(np.split(x, sorted(cuts)), np.split(y, sorted(cuts)), strict=True):
        in_turn.update(first, second)
        parts.append(make())
        parts[-1].update(first, second)
    merged = make()
    for k in np.random.default_rng(seed).permutation(len(parts)):
        merged.merge(parts[k])
    floor = {"rel": 1e-12, "abs": 4e-15 * offset}  # means are right to a few roundings of the offset
    assert in_turn.compute().value == pytest.approx(whole.compute().value, **floor)
    assert merged.compute().value == pytest.approx(whole.compute().value, **floor)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_gaussian_is_the_distance_of_the_clouds(covariance):
    x, y = streams(0)
    accumulator = GaussianAccumulator(covariance)
    for part in (slice(0, 7), slice(7, 60)):
        accumulator.update(x[part], y[part])
    assert accumulator.compute().value == pytest.approx(gaussian_wasserstein(x, y, covariance).value, rel=1e-12)


def test_random_features_approach_the_kernel():
    x, y = streams(1, n=200)
    accumulator = RandomFeatureMMD(4, 2.0, 20_000)
    accumulator.update(x, y)

    def mean(first, second):
        return np.exp(-((first[:, None] - second[None]) ** 2).sum(-1) / 8.0).mean()

    exact = mean(x, x) + mean(y, y) - 2 * mean(x, y)
    assert accumulator.compute().value ** 2 == pytest.approx(exact, abs=4 / np.sqrt(20_000))


def test_paired_distance_by_hand():
    accumulator = PairedDistance()
    accumulator.update([[0.0, 0.0]], [[3.0, 4.0]])
    accumulator.update([[1.0, 1.0]], [[1.0, 1.0]])
    assert accumulator.compute(1).value == 2.5
    assert accumulator.compute(2).value == pytest.approx(np.sqrt(12.5))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GaussianAccumulator("round"), "covariance is 'round'"),
        (lambda: GaussianAccumulator().compute(), "nothing was added"),
        (lambda: GaussianAccumulator("full").merge(GaussianAccumulator("diagonal")), "cannot merge covariance='diagonal'"),
        (lambda: RandomFeatureMMD(2, 0.0), "bandwidth is 0.0"),
        (lambda: RandomFeatureMMD(2, 1.0).update(np.ones((2, 3)), np.ones((2, 3))), "x has dimension 3, the features were made for 2"),
        (lambda: RandomFeatureMMD(2, 1.0).merge(RandomFeatureMMD(2, 2.0)), "cannot merge features"),
        (lambda: RandomFeatureMMD(2, 1.0).compute(), "nothing was added"),
        (lambda: PairedDistance().update(np.ones((2, 3)), np.ones((3, 3))), "x has 2 rows and y 3"),
        (lambda: PairedDistance().compute(3), "p is 3"),
        (lambda: PairedDistance().compute(), "nothing was added"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_a_stream_keeps_its_dimension():
    accumulator = GaussianAccumulator()
    accumulator.update(np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(InputError, match="dimension"):
        accumulator.update(np.ones((3, 4)), np.ones((3, 4)))
    other = GaussianAccumulator()
    other.update(np.ones((3, 5)), np.ones((3, 5)))
    with pytest.raises(InputError, match="dimension"):
        accumulator.merge(other)


@pytest.mark.parametrize("name", METRICS)
def test_metrics_are_the_accumulators(name):
    x, y = streams(2)
    metric, accumulator = METRICS[name](), MAKERS[name]()
    for part in (slice(0, 3), slice(3, 20), slice(20, 60)):
        metric.update(torch.tensor(x[part]), torch.tensor(y[part]))
        accumulator.update(x[part], y[part])
    assert metric.compute().item() == pytest.approx(accumulator.compute().value, rel=1e-12)
    metric.reset()
    metric.update(torch.tensor(x[:5]), torch.tensor(y[:5]))
    short = MAKERS[name]()
    short.update(x[:5], y[:5])
    assert metric.compute().item() == pytest.approx(short.compute().value, rel=1e-12)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("precision", ["32-true", "bf16-true"])
def test_metrics_log_in_a_lightning_run(tmp_path, precision):
    import lightning

    dtype = torch.bfloat16 if precision == "bf16-true" else torch.float32
    x, y = (torch.tensor(stream, dtype=dtype) for stream in streams(4))

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.metrics = torch.nn.ModuleList(make() for make in METRICS.values())

        def validation_step(self, batch, _index):
            for k, metric in enumerate(self.metrics):
                metric.update(*batch)
                self.log(f"distance_{k}", metric)

    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=16)
    trainer = lightning.Trainer(
        accelerator="cpu",
        precision=precision,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        default_root_dir=tmp_path,
    )
    logged = trainer.validate(Module(), loader, verbose=False)[0]
    for k, make in enumerate(MAKERS.values()):
        whole = make()
        whole.update(x.double(), y.double())
        assert logged[f"distance_{k}"] == pytest.approx(whole.compute().value, rel=1e-6)  # Lightning logs float32


CASTS = {
    "set_dtype": lambda metric: metric.set_dtype(torch.bfloat16),
    "set_dtype, half": lambda metric: metric.set_dtype(torch.float16),
    "to": lambda metric: metric.to(torch.bfloat16),
    "to, with a device": lambda metric: metric.to("cpu", torch.float16),
    "half": lambda metric: metric.half(),
    "bfloat16": lambda metric: metric.bfloat16(),
    "type": lambda metric: metric.type(torch.bfloat16),
    "of a module": lambda metric: torch.nn.ModuleList([metric]).to(torch.bfloat16)[0],
    "half, of a module": lambda metric: torch.nn.ModuleList([metric]).half()[0],
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("cast", CASTS)
@pytest.mark.parametrize("name", METRICS)
def test_metrics_stay_in_float64_when_a_model_is_cast(name, cast, dtype):
    """The oracle is the accumulator, fed with the same numbers as float64."""
    x, y = (torch.tensor(stream).to(dtype) for stream in streams(5))
    metric, accumulator = METRICS[name](), MAKERS[name]()
    for part in (slice(0, 20), slice(20, 60)):
        metric = CASTS[cast](metric)
        metric.update(x[part], y[part])
        accumulator.update(x[part].double(), y[part].double())
    metric = CASTS[cast](metric)
    assert metric.compute().dtype == torch.float64
    assert metric.compute().item() == pytest.approx(accumulator.compute().value, rel=1e-12)
    CASTS[cast](metric).reset()
    metric.update(x, y)
    assert metric.compute().item() == pytest.approx(accumulator.compute().value, rel=1e-12)


@pytest.mark.long
def test_two_processes_give_the_answer_of_one(tmp_path):
    x, y = streams(3)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=work, args=(rank, tmp_path / "store", x, y, queue)) for rank in range(2)]
    for worker in workers:
        worker.start()
    results = [queue.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    for values in results:
        for value, make in zip(values, MAKERS.values(), strict=True):
            whole = make()
            whole.update(x, y)
            assert value == pytest.approx(whole.compute().value, rel=1e-12)
