"""Several teachers as one."""

from collections.abc import Sequence
from typing import Literal, NoReturn, get_args

import torch
from torch import Tensor, nn

from kd2m_theory.checks import above_zero, one_of
from kd2m_theory.errors import InputError
from kd2m_theory.validation.training.outputs import Outputs

Mean = Literal["probabilities", "logits"]


class Teachers(nn.Module):
    """A network that answers as several teachers do on average; objectives take it for a teacher.

    Soft targets of an ensemble are the arithmetic or the geometric mean of its members' predictive distributions (Hinton,
    Vinyals, Dean, arXiv 1503.02531, Section 1). Multi-teacher distillation averages softened probabilities (You, Xu, Xu, Tao,
    "Learning from multiple teacher networks", KDD 2017), which is the default here.

    - "probabilities": the logits are T ln Σ w_i softmax(a_i/T), so that their softmax at temperature T is the arithmetic mean
      of the teachers' at T. Where an objective has a temperature, pass the same one: at another, their softmax is none of the
      means.
    - "logits": the logits are Σ w_i a_i. Their softmax at every temperature is the geometric mean of the teachers'.

    Features of different teachers share no axes, so they are not averaged. They stand side by side, √w_i z_i with w_i summing
    to 1: a squared distance of features is then the weighted mean of the teachers' own. There are no stages.

    Args:
        teachers: at least two networks that return `Outputs`, with `fc` and `feature_size`, of the same number of classes.
        weights: w_i > 0, one for each teacher, divided by their sum; equal if None.
        mean: "probabilities" or "logits".
        temperature: T > 0, at which probabilities are averaged; of no effect on "logits".

    Attributes:
        weights: w_i, a vector of length I, summing to 1.
        feature_size: sum of the teachers'.

    Raises:
        InputError: fewer than two teachers, a network without `fc` or `feature_size`, different numbers of classes, a weight
            or a temperature that is not positive and finite, as many weights as there are no teachers.

    Example:
        >>> from kd2m_theory.validation.objectives.registry import objective
        >>> from kd2m_theory.validation.training.networks import network
        >>> two = [network(name, 3, (1, 2, 2), seed=0) for name in ("mlp-8", "mlp-16")]
        >>> both = Teachers(two, weights=[3, 1], temperature=4)
        >>> student = network("mlp-4", 3, (1, 2, 2), seed=1)
        >>> goal = objective("kd", student, both.eval(), temperature=4)
        >>> images = torch.ones(2, 1, 2, 2)
        >>> sorted(goal(student(images), both(images), torch.tensor([0, 2])).parts), both.feature_size
        (['cross_entropy', 'kd'], 24)
    """

    weights: Tensor

    def __init__(
        self,
        teachers: Sequence[nn.Module],
        weights: Sequence[float] | None = None,
        *,
        mean: Mean = "probabilities",
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        if len(teachers) < 2:
            raise InputError(f"there is {len(teachers)} teacher in teachers; pass at least two, or a single one as it is")
        sizes, classes = [], []
        for k, teacher in enumerate(teachers):
            size, head = getattr(teacher, "feature_size", None), getattr(getattr(teacher, "fc", None), "out_features", None)
            if not isinstance(size, int) or not isinstance(head, int):
                raise InputError(
                    f"teacher {k} ({type(teacher).__name__}) has no `feature_size` or no `fc.out_features`; a teacher here has "
                    "them and returns Outputs(logits, features) of a batch. To audit teachers of any kind, pass the mean "
                    "of their probabilities to Pair.from_predictions"
                )
            sizes.append(size)
            classes.append(head)
        if len({*classes}) > 1:
            raise InputError(f"the teachers predict {', '.join(map(str, classes))} classes; a mean needs one set of classes")
        given = [1.0] * len(teachers) if weights is None else list(weights)
        if len(given) != len(teachers):
            raise InputError(f"there are {len(given)} weights for {len(teachers)} teachers; give one for each")
        shares = torch.tensor([above_zero(weight, f"weights[{k}]") for k, weight in enumerate(given)], dtype=torch.float64)
        self.teachers = nn.ModuleList(teachers)
        self.register_buffer("weights", shares / shares.sum())
        self.mean = one_of(mean, get_args(Mean), "mean")
        self.temperature = above_zero(temperature, "temperature")
        self.feature_size = sum(sizes)
        self.fc = _NoHead(classes[0])

    def forward(self, images: Tensor) -> Outputs:
        """Logits n × K and features n × Σ d_i of n images."""
        found = [teacher(images) for teacher in self.teachers]
        features = [weight.sqrt().to(each.features.dtype) * each.features for weight, each in self._weighted(found)]
        return Outputs(self._logits(found), torch.cat(features, dim=1))

    def _weighted(self, found: Sequence[Outputs]) -> list[tuple[Tensor, Outputs]]:
        return list(zip(self.weights, found, strict=True))

    def _logits(self, found: Sequence[Outputs]) -> Tensor:
        if self.mean == "logits":
            return torch.stack([weight.to(each.logits.dtype) * each.logits for weight, each in self._weighted(found)]).sum(0)
        softened = [
            weight.log().to(each.logits.dtype) + torch.log_softmax(each.logits / self.temperature, dim=1)
            for weight, each in self._weighted(found)
        ]
        return self.temperature * torch.logsumexp(torch.stack(softened), dim=0)


class _NoHead(nn.Module):
    """Where a network has its linear head: the mean of several has none on their features."""

    def __init__(self, out_features: int) -> None:
        super().__init__()
        self.out_features = out_features

    def forward(self, features: Tensor) -> NoReturn:
        raise InputError("several teachers have no linear head in common; take their logits, or distil from one of them")
