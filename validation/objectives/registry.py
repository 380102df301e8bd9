"""Objectives by name."""

import inspect
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

from torch import nn

from kd2m_theory.checks import did_you_mean
from kd2m_theory.deprecation import current
from kd2m_theory.errors import InputError
from kd2m_theory.validation.objectives.conditional_gaussian_kl import ConditionalGaussianKL
from kd2m_theory.validation.objectives.cross_entropy import CrossEntropy
from kd2m_theory.validation.objectives.cw2 import CW2
from kd2m_theory.validation.objectives.dkd import DKD
from kd2m_theory.validation.objectives.gaussian_kl import GaussianKL, SymmetricGaussianKL
from kd2m_theory.validation.objectives.gaussian_w2 import GaussianCW2, GaussianW2
from kd2m_theory.validation.objectives.gromov_w2 import GromovW2
from kd2m_theory.validation.objectives.jw2 import JW2
from kd2m_theory.validation.objectives.kd import KD
from kd2m_theory.validation.objectives.mmd import MMD, ConditionalMMD
from kd2m_theory.validation.objectives.objective import Objective, Sizes
from kd2m_theory.validation.objectives.paired_l2 import PairedL2
from kd2m_theory.validation.objectives.sliced_w2 import SlicedW2
from kd2m_theory.validation.objectives.ttm import TTM
from kd2m_theory.validation.objectives.unikd import UniKD
from kd2m_theory.validation.objectives.w2 import W2
from kd2m_theory.validation.objectives.weighted_sum import WeightedSum
from kd2m_theory.validation.objectives.wttm import WTTM
from kd2m_theory.validation.torch_random import kept_random

SINGLE: dict[str, Callable[..., Objective]] = {
    "none": CrossEntropy,
    "kd": KD,
    "ttm": TTM,
    "wttm": WTTM,
    "w2": W2,
    "cw2": CW2,
    "jw2": JW2,
    "gaussian-w2": GaussianW2,
    "gaussian-cw2": GaussianCW2,
    "gaussian-kl": GaussianKL,
    "conditional-gaussian-kl": ConditionalGaussianKL,
    "symmetric-gaussian-kl": SymmetricGaussianKL,
    "mmd": MMD,
    "conditional-mmd": ConditionalMMD,
    "gromov-w2": GromovW2,
    "sliced-w2": SlicedW2,
    "paired-l2": PairedL2,
    "unikd": UniKD,
    "dkd": DKD,
}
NAMES = (*SINGLE, "sum")


def objective(
    name: str, student: nn.Module, teacher: nn.Module | None, *, init_seed: int | None = None, **options: Any
) -> Objective:
    """The objective of that name for a pair of networks.

    "sum" takes `terms`, a table of labels: a label is the name of an objective, or its table has a `name`; its value is a
    weight or a table of options, for example {"kd": 0.5, "cw2": {"weight": 0.001, "projector": "linear"}}.

    Args:
        name: one of `NAMES`.
        student: with `fc` and `feature_size`, and `stage_channels` where the objective fuses stages.
        teacher: with `fc` and `feature_size`; None where the objective needs none.
        init_seed: of the initial weights of learnable parts; torch's present state if None. That state is left alone.
        **options: of the objective's class; `weight` is λ.

    Raises:
        InputError: an unknown name or option (the message names the nearest), no teacher where one is needed, or what the
            objective refuses.

    Example:
        >>> import torch
        >>> from kd2m_theory.validation.training.networks import network
        >>> from kd2m_theory.validation.training.outputs import Outputs
        >>> teacher, student = (network(name, 3, (1, 2, 2)) for name in ("mlp-8", "mlp-4-8"))
        >>> goal = objective("cw2", student, teacher, weight=0.1)
        >>> features = torch.ones(6, 8)
        >>> loss = goal(Outputs(torch.zeros(6, 3), features), Outputs(torch.zeros(6, 3), 2 * features), torch.arange(6) % 3)
        >>> {name: round(float(part), 4) for name, part in loss.parts.items()}, round(float(loss.total), 4)
        ({'cross_entropy': 1.0986, 'cw2': 8.0}, 1.8986)
    """
    with nullcontext() if init_seed is None else kept_random(init_seed):
        if name != "sum":
            return _single(name, student, teacher, options)
        _check_options("sum", options, {"terms", "cross_entropy"})
        terms = options.pop("terms", {})
        if not isinstance(terms, Mapping):
            raise InputError(f"terms is {terms!r}; name some, for example terms = {{ kd = 0.5, cw2 = 0.001 }}")
        return WeightedSum({label: _term(label, each, student, teacher) for label, each in terms.items()}, **options)


def _term(label: str, each: Any, student: nn.Module, teacher: nn.Module | None) -> Objective:
    options = dict(each) if isinstance(each, Mapping) else {"weight": each}
    name = options.pop("name", label)
    if name in ("sum", "none"):
        raise InputError(f"{name!r} cannot be a term of a sum; name objectives that add a term, such as kd or cw2")
    if "cross_entropy" in options:
        raise InputError(f"terms.{label} sets cross_entropy; a sum counts it once, set it beside terms")
    return _single(name, student, teacher, options | {"cross_entropy": 0.0})


def _single(name: str, student: nn.Module, teacher: nn.Module | None, options: dict[str, Any]) -> Objective:
    options = {current(f"option of {name}", option): value for option, value in options.items()}
    name = current("objective", name)
    kind = SINGLE.get(name)
    if kind is None:
        raise InputError(f"there is no objective {name!r}; {did_you_mean(name, NAMES)}objectives are {', '.join(NAMES)}")
    _check_options(name, options, _accepted(kind))
    if name == "none":
        return kind(**options)
    if teacher is None:
        raise InputError(f"objective {name!r} compares with a teacher, and none is given; name one, or choose objective 'none'")
    sizes = Sizes(
        _size(student, "student", "fc", "out_features"),
        _size(teacher, "teacher", "fc", "out_features"),
        _size(student, "student", "feature_size"),
        _size(teacher, "teacher", "feature_size"),
        tuple(getattr(student, "stage_channels", ())),
        getattr(teacher, "preactivation_channels", 0),
    )
    return kind(sizes, **options)


def _accepted(kind: Callable[..., Objective]) -> set[str]:
    """Options of the class, and those of its bases that it passes on."""
    assert isinstance(kind, type)
    names: set[str] = set()
    for base in kind.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        own = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]
        names.update(own)
        if len(own) == len(parameters):
            break
    return names - {"self", "sizes"}


def _check_options(name: str, options: Mapping[str, Any], accepted: set[str]) -> None:
    for option in options:
        if option not in accepted:
            guess = did_you_mean(option, sorted(accepted))
            raise InputError(f"objective {name!r} has no option {option!r}; {guess}it takes {', '.join(sorted(accepted))}")


def _size(network: nn.Module, whose: str, *path: str) -> int:
    value: Any = network
    for attribute in path:
        value = getattr(value, attribute, None)
    if not isinstance(value, int):
        raise InputError(
            f"the {whose} ({type(network).__name__}) has no {'.'.join(path)}; networks have `fc` and `feature_size`"
        )
    return value
