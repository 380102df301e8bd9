"""No public call leaves a setting of the process changed, from one thread or from several at once."""

import decimal
import gc
import locale
import logging
import os
import random
import signal
import socket
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import matplotlib as mpl
import numpy as np
import pytest
import torch
from runs import tiny
from sampled import sampled
from threadpoolctl import threadpool_info, threadpool_limits
from torch import nn

from kd2m_theory import AuditReport, Pair, audit
from kd2m_theory.bounds.constants.layers import network_lipschitz
from kd2m_theory.estimators import gromov_wasserstein, wasserstein
from kd2m_theory.estimators.axioms import check_metric
from kd2m_theory.paper_figures import registry
from kd2m_theory.reporting import style
from kd2m_theory.shared_state import one_blas_thread, one_thread, without_warnings
from kd2m_theory.validation.torch_random import kept_random
from kd2m_theory.validation.torch_threads import torch_threads
from kd2m_theory.validation.training.distillation import train
from kd2m_theory.validation.training.networks import network
from kd2m_theory.validation.trial.hunt import hunt

# Elsewhere than the defaults, so that a call that sets a default is seen.
THREADS = 3


def state():
    """Everything of the process that a library may set and forget, in a form that can be compared."""
    return {
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "warnings": list(warnings.filters),
        "signals": {each: signal.getsignal(each) for each in signal.valid_signals()},
        "locale": locale.setlocale(locale.LC_ALL),
        "streams": (sys.stdout, sys.stderr, sys.excepthook, threading.excepthook),
        "limits": (sys.getrecursionlimit(), sys.get_int_max_str_digits(), socket.getdefaulttimeout(), gc.isenabled()),
        "decimals": (decimal.getcontext().prec, decimal.getcontext().rounding),
        "loggers": {name: logging.getLogger(name).level for name in ("", "lightning.pytorch", "matplotlib", "torch")},
        "random": random.getstate(),
        "numpy random": repr(np.random.get_state()),  # noqa: NPY002 (the global one is looked at, not used)
        "numpy errors": (np.geterr(), np.geterrcall()),
        "numpy printing": repr(np.get_printoptions()),
        "torch random": torch.get_rng_state().tolist(),
        "torch": (
            torch.get_num_threads(),
            torch.get_num_interop_threads(),
            torch.get_default_dtype(),
            torch.get_float32_matmul_precision(),
            torch.are_deterministic_algorithms_enabled(),
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.backends.cudnn.deterministic,
            torch.backends.cudnn.benchmark,
        ),
        "linear algebra": sorted((each["filepath"], each["num_threads"]) for each in threadpool_info()),
        "matplotlib": dict(mpl.rcParams.copy()),
    }


def changed(before, after):
    return {key: (before[key], after[key]) for key in before if before[key] != after[key]}


@pytest.fixture
def unusual():
    """Settings that no default is."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    with threadpool_limits(THREADS), mpl.rc_context({"font.size": 11.5, "lines.linewidth": 7.0}), np.errstate(all="ignore"):
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    x, head = rng.normal(size=(30, 3)), rng.normal(size=(3, 3))
    return Pair(x, x + 0.1 * rng.normal(size=x.shape), np.arange(30) % 3, head_weight=head)


@pytest.fixture(scope="module")
def calls(pair, tmp_path_factory):
    """Calls of the public surface by name; each may be repeated."""
    folder = tmp_path_factory.mktemp("state")
    report = audit(pair)
    figures = {figure.name: figure for figure in registry.figures()}
    data = [(torch.randn(8, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3)]
    runs = iter(range(1000))

    def models():
        return nn.Sequential(nn.Linear(4, 3), nn.Dropout()), nn.Sequential(nn.Linear(4, 3))

    made = models()

    def read_back():
        pair.save(folder / "p.safetensors")
        report.to_json(folder / "r.json")
        return Pair.load(folder / "p.safetensors"), AuditReport.from_json(folder / "r.json")

    x, y = np.random.default_rng(1).normal(size=(2, 12, 2))
    return {
        "audit": lambda: audit(pair),
        "print": lambda: str(report),
        "page": lambda: report.to_html(folder / "r.html"),
        "plot": lambda: report.plot(folder / "r.png"),
        "figure": lambda: registry.write(figures["accuracy"], folder, ("svg",)),
        "files": read_back,
        "models": lambda: Pair.from_models(*made, data, "0", "0", progress=False),
        "network": lambda: network_lipschitz(made[0].eval(), (4,)),
        "transport": lambda: (wasserstein(x, y[:7]), gromov_wasserstein(x, y)),
        "metric": lambda: check_metric(lambda a, b: 1.0, axioms=["symmetry"], examples=3),
        "falsify": lambda: hunt(0.1, 0, "T1.directed"),
        "train": lambda: train(tiny(), folder / f"run{next(runs)}"),
    }


NAMES = ("audit", "print", "page", "plot", "figure", "files", "models", "network", "transport", "metric", "falsify", "train")


@pytest.mark.parametrize("name", sampled(NAMES, later=["plot", "train", "figure", "falsify"]))
def test_a_call_leaves_the_process_as_it_was(name, calls, unusual):
    calls[name]()  # what libraries set when they are imported is theirs
    before = state()
    calls[name]()
    assert changed(before, state()) == {}


def test_a_change_would_be_noticed(unusual):
    before = state()
    with mpl.rc_context({"font.size": 3.0}), threadpool_limits(2), warnings.catch_warnings(), np.errstate(over="raise"):
        warnings.simplefilter("always", ResourceWarning)
        with torch_threads(2), torch.random.fork_rng(devices=[]):
            torch.rand(())
            seen = changed(before, state())
    assert {"matplotlib", "linear algebra", "warnings", "numpy errors", "torch", "torch random"} <= seen.keys()
    assert changed(before, state()) == {}


CONTEXTS = {
    "linear algebra": lambda: one_blas_thread,
    "all but torch": one_thread,
    "warnings": lambda: without_warnings,
    "torch": lambda: torch_threads(1),
}


@pytest.mark.parametrize("name", CONTEXTS)
def test_of_two_threads_that_overlap_neither_leaves_its_setting(name, unusual):
    """The first enters, the second enters, the first leaves, the second leaves: stored values would be stored back wrongly."""
    before = state()
    turns = [threading.Event() for _ in range(3)]
    seen = {}

    def first():
        with CONTEXTS[name]():
            turns[0].set()
            turns[1].wait(20)
        seen["first"] = torch.get_num_threads()
        turns[2].set()

    def second():
        turns[0].wait(20)
        with CONTEXTS[name]():
            turns[1].set()
            turns[2].wait(20)
        seen["second"] = torch.get_num_threads()

    threads = [threading.Thread(target=each) for each in (first, second)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert seen == {"first": THREADS, "second": THREADS}
    assert changed(before, state()) == {}
    later = threading.Thread(target=lambda: seen.update(later=torch.get_num_threads()))
    later.start()
    later.join(30)
    assert seen["later"] == THREADS


def test_eight_threads_of_network_lipschitz(unusual):
    made = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 36, 4))
    alone = network_lipschitz(made, (2, 6, 6)).upper
    before = state()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: network_lipschitz(made, (2, 6, 6)).upper, range(24)))
    assert found == [alone] * 24
    assert changed(before, state()) == {}


@pytest.mark.long
def test_six_threads_draw_what_one_draws(pair, unusual, tmp_path):
    reports = [audit(pair, 0.01 * k, only=["T0", "T1.directed"]) for k in range(1, 7)]
    for k, report in enumerate(reports):
        report.plot(tmp_path / f"alone{k}.png")
    before = state()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda k: reports[k].plot(tmp_path / f"together{k}.png"), range(6)))
    for k in range(6):
        assert (tmp_path / f"together{k}.png").read_bytes() == (tmp_path / f"alone{k}.png").read_bytes()
    assert changed(before, state()) == {}


def test_threads_that_need_the_random_state_of_torch_take_turns(unusual):
    def weights(seed):
        return [value.tolist() for value in network("mlp-8-4", 3, (1, 2, 2), seed).state_dict().values()]

    alone = [weights(seed) for seed in range(4)]
    before = state()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(weights, list(range(4)) * 10)) == alone * 10
    assert changed(before, state()) == {}
    turns = []
    with kept_random(1):
        other = threading.Thread(target=lambda: turns.append(weights(0)))
        other.start()
        other.join(0.2)
        assert turns == []
    other.join(30)
    assert turns == [alone[0]]


def test_drawing_threads_take_turns_and_settings_are_those_of_the_user_afterwards(unusual):
    drawn = []

    def draw():
        with style.look():
            drawn.append(mpl.rcParams["font.size"])

    with style.look():
        other = threading.Thread(target=draw)
        other.start()
        other.join(0.2)
        assert drawn == []
    other.join(30)
    assert drawn == [style.RC["font.size"]]
    assert mpl.rcParams["font.size"] == 11.5
