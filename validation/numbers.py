"""The version of the numbers that this package computes, and a panel of them by which a change is noticed.

`NUMBERS` is increased whenever a number moves that another run, store or table may hold. Nobody has to remember that: the
tests recompute the panel and compare it with the committed one, and a store or a run that is continued compares its own panel
with the one that the present code computes, so that an edited constant is refused even where nobody has increased anything.

`python -m kd2m_theory.validation.numbers FILE` compares a committed panel with the code; `--write` replaces the file, and
refuses to as long as numbers have moved and `NUMBERS` has not.
"""

import argparse
import json
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from kd2m_theory import __version__
from kd2m_theory.errors import InputError
from kd2m_theory.files import write_atomically

NUMBERS = 1

# How far a number may differ between two machines, by group. On one machine with the same libraries nothing may. Kernels of
# another instruction set moved them by 8e-16 and 4e-6 at most, and widths by 3 %.
_RELATIVE = {"double": 1e-11, "single": 1e-4}
_ABSOLUTE = {"double": 1e-12, "single": 1e-5}
# Allowances for rounding and widths of enclosures: their size matters, not their digits.
_WIDTH_FACTOR = 2.0
_LEAST_WIDTH = 1e-15

Panel = Mapping[str, Mapping[str, float]]


def record() -> bytes:
    """The version and the panel of the present code, as a file for `check`."""
    numbers = panel()  # loads what the environment is about
    held = {
        "numbers": NUMBERS,
        "version": __version__,
        "environment": environment_of_numbers(),
        "panel": to_json(numbers),
    }
    return (json.dumps(held, indent=1, ensure_ascii=False) + "\n").encode()


def check(held: bytes, what: str) -> None:
    """Refuse to continue where numbers of two versions would mix.

    Args:
        held: what `record` made when the numbers that are there were computed.
        what: holds it, for the message, such as the path of a folder.

    Raises:
        InputError: it is of another version, or the present code computes other numbers than that code did, or it is not a
            record.
    """
    numbers, version, differences = _compared(held, what)
    if numbers != NUMBERS:
        raise InputError(
            f"{what} has numbers of version {numbers}, by kd2m-theory {version}; this is {__version__}, which computes "
            f"version {NUMBERS}: numbers of two versions do not mix; name another folder, or install that release"
        )
    if differences:
        raise InputError(
            f"{what} has numbers that this code does not compute: {differences[0]}, and {len(differences) - 1} more moved, "
            f"though both are version {NUMBERS}; numbers of two versions do not mix: name another folder, or undo the change"
        )


def panel() -> Panel:
    """A few hundred numbers, by group and name, computed by one thread: the same at every call in one environment.

    "double" has rows of audits, distances and intervals; "width" has their allowances for rounding;
    "single" has networks with their Lipschitz constants, batches, objectives and optimisers.
    """
    return _panel()


def moved(held: Panel, here: Panel, *, same_environment: bool) -> list[str]:
    """What a held panel says otherwise than this one, a few words each; nothing if numbers of both may mix.

    A name that only `here` has is a new number and no difference; one that only `held` has is.

    Args:
        held: of a store, a run or a file.
        here: of the present code.
        same_environment: whether both were computed with the same libraries on the same kind of processor, so that they
            have to be equal to the last bit.
    """
    found = []
    for group, numbers in held.items():
        now = here.get(group, {})
        for name, value in numbers.items():
            if name not in now:
                found.append(f"{name} is no longer computed")
            elif not (_same(value, now[name]) or (not same_environment and _close(group, value, now[name]))):
                found.append(f"{name} was {value:.17g} and is {now[name]:.17g}")
    return found


def environment_of_numbers() -> str:
    """What decides the last digits beside the code: libraries, and the kind of processor that they see."""
    import ot
    import scipy

    # Libraries without linear algebra come and go with what else is loaded.
    kernels = sorted({f"{each['internal_api']} {each['architecture']}" for each in threadpool_info() if "architecture" in each})
    versions = f"torch {torch.__version__}, numpy {np.__version__}, scipy {scipy.__version__}, POT {ot.__version__}"
    return f"{versions}, {torch.backends.cpu.get_cpu_capability()}, {', '.join(kernels)}"


def to_json(numbers: Panel) -> dict[str, dict[str, float | str]]:
    """As plain data that JSON holds exactly: what is not finite is written as text."""
    return {
        group: {name: value if math.isfinite(value) else repr(value) for name, value in each.items()}
        for group, each in numbers.items()
    }


def from_json(table: Any) -> Panel:
    """What `to_json` made.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(table, Mapping) or not all(isinstance(each, Mapping) for each in table.values()):
        raise ValueError("a panel is a table of tables of numbers")
    return {group: {name: float(value) for name, value in each.items()} for group, each in table.items()}


@cache
def _panel() -> Panel:
    from kd2m_theory.validation.torch_threads import torch_threads

    groups: dict[str, dict[str, float]] = {"double": {}, "width": {}, "single": {}}
    with torch.random.fork_rng(devices=[]), torch_threads(1), threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for part in (_rows, _distances, _intervals, _constants, _training, _populations):
            for group, name, value in part():
                assert name not in groups[group], name
                groups[group][name] = float(value)  # NumPy's numbers too
    return groups


def _same(first: float, second: float) -> bool:
    return first == second or (math.isnan(first) and math.isnan(second))


def _close(group: str, first: float, second: float) -> bool:
    if not (math.isfinite(first) and math.isfinite(second)):
        return False
    if group == "width":
        low, high = sorted((max(abs(first), _LEAST_WIDTH), max(abs(second), _LEAST_WIDTH)))
        return high <= _WIDTH_FACTOR * low
    return math.isclose(first, second, rel_tol=_RELATIVE[group], abs_tol=_ABSOLUTE[group])


def _log2(value: float) -> float:
    return math.log2(value) if value > 0 else -math.inf


_Numbers = Iterator[tuple[str, str, float]]


def _enclosed(name: str, value: Any) -> _Numbers:
    """An `Enclosure` or a `Confidence`."""
    yield "double", f"{name}, lower", value.lower
    yield "double", f"{name}, upper", value.upper
    if hasattr(value, "gap"):
        yield "width", f"{name}, width", value.gap


def _pairs() -> Iterator[tuple[str, Any, Any]]:
    from kd2m_theory.bounds.settings import Settings
    from kd2m_theory.pair import Pair

    rng = np.random.default_rng(0)
    n, d, classes = 30, 3, 4
    labels = np.arange(n) % classes
    teacher = rng.normal(size=(n, d)) + rng.normal(size=(classes, d))[labels]
    student = 0.8 * teacher + 0.3 * rng.normal(size=(n, d)) + 5.0
    weight, bias = 2 * rng.normal(size=(classes, d)), rng.normal(size=classes)
    own = student @ weight.T + bias + 0.5 * rng.normal(size=(n, classes))
    vouched = frozenset({"gaussian classes", "teacher labels"})
    whole: dict[str, Any] = {"features_teacher": teacher, "features_student": student, "labels": labels, "logits_student": own}
    yield (
        "with features",
        Pair(**whole, head_weight=weight, head_bias=bias),
        Settings(temperature=2.0, vouched=vouched, whole_cloud=True),
    )
    logits: dict[str, Any] = {"logits_teacher": teacher @ weight.T, "logits_student": own}
    yield "without labels", Pair(**logits), Settings(loss_bound=1.5)
    yield "nonlinear head", Pair(**whole, logits_teacher=logits["logits_teacher"]), Settings(head_lipschitz=3.0)


def _rows() -> _Numbers:
    from kd2m_theory.bounds import Ladder
    from kd2m_theory.validation.campaigns import measured_distances

    for words, pair, settings in _pairs():
        ladder = Ladder(pair, 0.05, settings=settings)
        for name, value in ladder.measure().items():
            yield from _enclosed(f"{words}: {name}", value)
        for row in ladder.evaluate():
            if not row.applicable:
                continue
            yield "double", f"{words}: {row.name}, lower", row.lower
            yield "double", f"{words}: {row.name}, upper", row.upper
            yield "width", f"{words}: {row.name}, rounding", row.rounding
            for name, enclosure in row.distances.items():
                yield "width", f"{words}: {row.name}, width of {name}", enclosure.gap
        for name, distance in measured_distances.distances(pair).items():
            yield "double", f"{words}: {name}", distance


def _distances() -> _Numbers:
    from kd2m_theory import estimators as e

    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(12, 2)), 1.3 * rng.normal(size=(9, 2)) + 0.5
    a, b = np.arange(12) % 3, np.arange(9) % 3
    p, q = (rng.dirichlet(np.ones(3), size=n) for n in (12, 9))
    spreads = np.stack([np.diag([1.0, k]) for k in (0.0, 0.5, 2.0)])
    ground = e.VertexNorm(rng.normal(size=(4, 2)), label=1)
    found: dict[str, Callable[[], Any]] = {
        "wasserstein, p = 1": lambda: e.wasserstein(x, y, p=1),
        "wasserstein, p = 2": lambda: e.wasserstein(x, y, p=2),
        "wasserstein, far from the origin": lambda: e.wasserstein(x + 1e6, y + 1e6, p=2),
        "wasserstein, vertex norm": lambda: e.wasserstein(x, y, p=1, ground=ground),
        "wasserstein on the line": lambda: e.wasserstein(x[:, :1], y[:, :1], p=1),
        "conditional_wasserstein": lambda: e.conditional_wasserstein(x, y, a, b, p=2, weighting="uniform"),
        "joint_wasserstein": lambda: e.joint_wasserstein(x, y, p, q),
        "sliced_wasserstein": lambda: e.sliced_wasserstein(x, y).interval,
        "max_sliced_wasserstein": lambda: e.max_sliced_wasserstein(x, y),
        "gromov_wasserstein": lambda: e.gromov_wasserstein(x, y),
        "mixture_wasserstein": lambda: e.mixture_wasserstein(p[0], x[:3], spreads, q[0], y[:3], 2 * spreads),
        "gaussian_wasserstein": lambda: e.gaussian_wasserstein(x, y).enclosure(),
        "conditional_gaussian_wasserstein": lambda: e.conditional_gaussian_wasserstein(x, y, a, b, "uniform").enclosure(),
    }
    for name, call in found.items():
        yield from _enclosed(name, call())
    # Where squares and products underflow: logarithms, since a tolerance would hide the numbers themselves.
    for scale in (1e-150, 1e-160, 1e-320):
        for words, tiny in {
            "p = 2": e.wasserstein(scale * x, scale * y, p=2),
            "vertex norm": e.wasserstein(scale * x, scale * y, p=1, ground=ground),
        }.items():
            for end in ("lower", "upper", "gap"):
                yield "double", f"wasserstein at {scale:g}, {words}, log2 of {end}", _log2(getattr(tiny, end))
    yield "double", "mmd", e.mmd(x, y, permutations=50).value
    yield "double", "conditional_mmd", e.conditional_mmd(x, y, a, b).value
    interval = e.mmd(x, y, bandwidth=2.0, delta=0.05).interval
    assert interval is not None
    yield from _enclosed("mmd, interval", interval)
    yield "double", "energy_distance", e.energy_distance(x, y)
    yield "double", "gaussian_kl", e.gaussian_kl(x, y).value
    yield "double", "gaussian_kl, shrinkage", e.gaussian_kl(x, y, shrinkage=0.1).value
    yield "double", "gaussian_symmetric_kl", e.gaussian_symmetric_kl(x, y).value


def _intervals() -> _Numbers:
    from kd2m_theory import estimators as e

    values = np.random.default_rng(2).beta(2, 5, size=40)
    for name, value in {
        "hoeffding": e.hoeffding(values, 0.0, 1.0, 0.05),
        "empirical_bernstein": e.empirical_bernstein(values, 0.0, 1.0, 0.05),
        "betting": e.betting(values, 0.0, 1.0, 0.05),
        "clopper_pearson": e.clopper_pearson(7, 40, 0.05),
        "paired_difference": e.paired_difference(7, 3, 40, 0.05),
        "student_t": e.student_t(values, 0.05),
        "percentile_bootstrap": e.percentile_bootstrap(values, 0.05),
    }.items():
        yield from _enclosed(name, value)


def _constants() -> _Numbers:
    from kd2m_theory.bounds.layers import network_lipschitz

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        made = torch.nn.Sequential(
            torch.nn.Conv2d(2, 3, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
            torch.nn.Flatten(),
            torch.nn.Linear(12, 4),
        )
    yield "single", "network_lipschitz", network_lipschitz(made, (2, 4, 4)).upper
    for activation in (torch.nn.GELU(), torch.nn.GELU("tanh"), torch.nn.SiLU(), torch.nn.Mish(), torch.nn.LeakyReLU(2.0)):
        yield "double", f"network_lipschitz of {activation}", network_lipschitz(torch.nn.Sequential(activation), (3,)).upper


# A shape that every network takes, and stages for the objective that fuses them.
_TEACHER, _STUDENT, _CLASSES, _SHAPE = "cnn-4-6", "cnn-3-6", 3, (1, 8, 8)
_NETWORKS = ("mlp-7-5", "cnn-4-6", "resnet8", "resnet8x4", "wrn-10-1", "digits-teacher", "digits-student")


def _training() -> _Numbers:
    from kd2m_theory.validation.configuration import Recipe
    from kd2m_theory.validation.networks import network
    from kd2m_theory.validation.objectives.registry import SINGLE, objective
    from kd2m_theory.validation.optimisers import learning_rate, optimiser

    generator = torch.Generator().manual_seed(0)
    images, labels = torch.randn(12, *_SHAPE, generator=generator), torch.arange(12) % _CLASSES
    for name in _NETWORKS:
        logits = network(name, _CLASSES, _SHAPE, 0).eval()(images).logits
        yield "single", f"network {name}", float(logits.double().norm())
    recipes = {
        "cosine": Recipe(epochs=3, batch=12, learning_rate=0.1, schedule="cosine"),
        "step": Recipe(epochs=3, batch=12, learning_rate=0.1, schedule="step", milestones=(1,), optimiser="sgd"),
    }
    for name, recipe in recipes.items():
        for step in (1, 7):
            yield "double", f"learning rate, {name}, step {step}", learning_rate(recipe, step, 4)
    teacher = network(_TEACHER, _CLASSES, _SHAPE, 1).eval().requires_grad_(False)
    for k, name in enumerate(SINGLE):
        student = network(_STUDENT, _CLASSES, _SHAPE, 2)
        goal = objective(name, student, None if name == "none" else teacher, init_seed=3)
        trained = optimiser(list(recipes.values())[k % 2], [*student.parameters(), *goal.parameters()])
        goal.start_epoch(1, 3)
        for step in range(2):
            torch.default_generator.manual_seed(step)
            trained.zero_grad()
            loss = goal(student(images), None if name == "none" else teacher(images), labels)
            yield "single", f"objective {name}, step {step}", loss.total.item()
            loss.total.backward()
            trained.step()


def _populations() -> _Numbers:
    from kd2m_theory.validation.populations.registry import population

    for source in (population("gaussian-mixture"), population("digits"), population("glyphs", classes=10)):
        images, labels = source.batch("train", 1, 16, 5)
        weights = torch.linspace(-1, 1, images[0].numel(), dtype=torch.float64)
        yield "single", f"population {source.name}, images", float((images.double().flatten(1) @ weights).norm())
        yield "single", f"population {source.name}, labels", float((labels * torch.arange(16)).sum())


def main(arguments: list[str] | None = None) -> int:
    """Compare or write; the exit status is 0 if the file and the code agree, 1 if not, 2 if there is nothing to compare."""
    parser = argparse.ArgumentParser(prog="numbers", description="A committed panel of numbers against what the code computes.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--write", action="store_true", help="replace the file")
    chosen = parser.parse_args(arguments)
    file: Path = chosen.file
    try:
        numbers, _, differences = (
            (NUMBERS - 1, "", []) if chosen.write and not file.exists() else _compared(file.read_bytes(), str(file))
        )
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    unsaid = bool(differences) and numbers == NUMBERS
    if chosen.write and not unsaid:
        write_atomically(file, record())
        return 0
    if unsaid:
        print(f"{len(differences)} numbers have moved since NUMBERS = {numbers}:", *differences[:20], sep="\n", file=sys.stderr)
        print("if they should have, increase NUMBERS, say so in CHANGELOG.md, and run this with --write", file=sys.stderr)
    elif numbers != NUMBERS:
        print(f"{file} is of NUMBERS = {numbers}, the code of {NUMBERS}: run this with --write", file=sys.stderr)
    return int(unsaid or numbers != NUMBERS)


def _compared(held: bytes, what: str) -> tuple[int, str, list[str]]:
    """Versions of a record, and what the present code computes otherwise.

    Raises:
        InputError: it is not a record.
    """
    try:
        table = json.loads(held)
        numbers, version, environment = int(table["numbers"]), str(table["version"]), table["environment"]
        panel_held = from_json(table["panel"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{what} has no readable record of its numbers ({type(error).__name__}: {error})") from None
    differences = []
    if numbers == NUMBERS:
        here = panel()
        differences = moved(panel_held, here, same_environment=environment == environment_of_numbers())
    return numbers, version, differences


if __name__ == "__main__":
    raise SystemExit(main())
