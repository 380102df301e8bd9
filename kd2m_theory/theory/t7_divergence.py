"""T7: total variation, and KL through it."""

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from kd2m_theory.theory.divergences import divergence, pinsker, smaller
from kd2m_theory.theory.examples import HEAD, MOVES, shares_differ
from kd2m_theory.theory.hypotheses import only_on
from kd2m_theory.theory.instance import Instance, instance, random_instance, reordered, root, sampled_error, sum_of, zero_one
from kd2m_theory.theory.laws import Atoms, Margins, atoms, margins, two_points
from kd2m_theory.theory.statement import Counterexample, Form, Hypothesis, Mutant, Sides, Step, Theorem, Witness


def prediction_variation(student: Tensor, teacher: Tensor) -> Tensor:
    """TV between the laws of the predicted class, for n × K and m × K logits."""
    classes = student.shape[1]
    laws = (torch.bincount(a.argmax(1), minlength=classes).to(a) / len(a) for a in (student, teacher))
    first, second = laws
    return 0.5 * (first - second).abs().sum()


def _variation(x: Atoms) -> Sides:
    return Sides(x.gap, x.bound * (x.shares * x.variations).sum())


def _divergence(x: Atoms) -> Sides:
    both = torch.minimum(x.divergences, divergence(x.teacher, x.student))
    return Sides(x.gap, x.bound * (x.shares * smaller(both)).sum())


def per_class(x: Instance, parts: Iterable[Tensor]) -> Tensor:
    """Σ_y π_y times one number per class."""
    return sum_of(share * part for (_, share, _, _), part in zip(x.by_class(), parts, strict=True))


def _prediction(x: Instance) -> Sides:
    logits = x.logits_student, x.logits_teacher
    parts = (prediction_variation(logits[0][mine], logits[1][theirs]) for _, _, mine, theirs in x.by_class())
    return Sides(x.gap, per_class(x, parts))


def _gaussian(x: Margins) -> Sides:
    return Sides(x.gap, (x.shares * smaller(torch.minimum(*x.divergences))).sum())


def affinity_bound(x: Margins) -> Tensor:
    """√(1 − BC²), C."""
    return root(-torch.expm1(2 * x.log_affinity))


def _affinity(x: Margins) -> Sides:
    return Sides(x.gap, (x.shares * torch.minimum(pinsker(torch.minimum(*x.divergences)), affinity_bound(x))).sum())


def _all_loss_moves() -> Atoms:
    return atoms([[1.0, 3.0], [3.0, 1.0]], [[3.0, 1.0], [3.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]], [0.75, 0.25])


def _nearly_fair() -> Atoms:
    return atoms([[0.48, 0.52]], [[0.5, 0.5]], [[0.0, 1.0]], [1.0])


def _turned_wrong() -> Instance:
    return instance([[-1.0], [2.0], [-1.0]], [[1.0], [2.0], [-1.0]], [0, 0, 1], HEAD, loss=zero_one)


def _far_apart() -> Margins:
    return margins([-3.0], [3.0], [1.0])


def _loss_too_large() -> Atoms:
    return replace(_all_loss_moves(), losses=2 * _all_loss_moves().losses)


def _less_sure() -> Instance:
    return instance([[0.1]], [[2.0]], [0], HEAD, loss=sampled_error)


def _two_point_law() -> Margins:
    return margins([0.5], [0.5], [1.0], law=two_points)


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    scale = 10.0 ** (2.0 * torch.rand((), generator=generator, dtype=torch.float64) - 1.5)
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


def _atom_start(generator: torch.Generator) -> Atoms:
    teacher = _normal(generator, 2, 4)
    losses = torch.rand(2, 4, generator=generator, dtype=torch.float64)
    if torch.rand((), generator=generator) < 0.5:  # the gap is linear in the losses, so largest at their extremes
        losses = losses.round()
    shares = torch.softmax(_normal(generator, 2), 0)
    return Atoms(teacher + _normal(generator, 2, 4), teacher, losses, shares, shares)


def _prediction_start(generator: torch.Generator) -> Instance:
    x = random_instance(generator, n=6, loss=zero_one, own_head=True)
    return reordered(x, torch.randperm(6, generator=generator))


def _margin_start(generator: torch.Generator) -> Margins:
    teacher, spread, shares = _normal(generator, 2), _normal(generator, 2), torch.softmax(_normal(generator, 2), 0)
    return Margins(
        teacher + _normal(generator, 2), teacher, spread + _normal(generator, 2).clamp(-4, 4), spread, shares, shares
    )


def _bounded(x: Atoms) -> bool:
    return bool(((x.losses >= 0) & (x.losses <= x.bound)).all())


def _same_shares(x: Atoms | Instance | Margins) -> bool:
    return x.same_shares if isinstance(x, Instance) else torch.equal(x.shares, x.shares_teacher)


def _half_variation(x: Atoms) -> Sides:
    return Sides(x.gap, 0.5 * x.bound * (x.shares * x.variations).sum())


def _marginal_variation(x: Atoms) -> Sides:
    laws = (x.shares @ torch.softmax(law, 1) for law in (x.student, x.teacher))
    first, second = laws
    return Sides(x.gap, x.bound * 0.5 * (first - second).abs().sum())


def _root_outside(x: Atoms) -> Sides:
    return Sides(x.gap, x.bound * (x.shares * root(x.divergences) / 2).sum())


def _no_root(x: Atoms) -> Sides:
    return Sides(x.gap, x.bound * (x.shares * -torch.expm1(-x.divergences)).sum())


def _marginal_predictions(x: Instance) -> Sides:
    return Sides(x.gap, prediction_variation(x.logits_student, x.logits_teacher))


def _largest_change(x: Instance) -> Sides:
    """max for sum: half the largest change of a probability, for half the sum."""
    parts = []
    for _, share, mine, theirs in x.by_class():
        laws = [
            torch.bincount(a.argmax(1), minlength=len(x.bias)).to(a) / len(a)
            for a in (x.logits_student[mine], x.logits_teacher[theirs])
        ]
        parts.append(share * 0.5 * (laws[0] - laws[1]).abs().amax())
    return Sides(x.gap, sum_of(parts))


def _means_only(x: Margins) -> Sides:
    return Sides(x.gap, _gaussian(replace(x, log_spread_student=x.log_spread_teacher)).upper)


def _affinity_not_squared(x: Margins) -> Sides:
    return Sides(x.gap, (x.shares * root(-torch.expm1(x.log_affinity))).sum())


def _exponent_halved(x: Margins) -> Sides:
    return Sides(x.gap, (x.shares * root(-torch.expm1(-torch.minimum(*x.divergences) / 2))).sum())


def _wide_and_wrong() -> Margins:
    return replace(margins([-7.6], [2.4], [1.0]), log_spread_student=torch.tensor([1.6], dtype=torch.float64))


def _spread_changes() -> Margins:
    x = margins([1.0], [1.0], [1.0])
    return replace(x, log_spread_student=torch.tensor([2.0], dtype=torch.float64))


THEOREM = Theorem(
    name="T7",
    title="total variation and KL",
    plain="A loss in [0, B] changes its mean by at most B times the total variation between the laws of each class. The 0–1 "
    "loss sees the prediction only, so for it the laws may be those of the predicted class. Through KL, total variation is "
    "bounded by Pinsker and by Bretagnolle and Huber, in either direction.",
    latex=r"|R_S-R_T| \le B\sum_y\pi_y\,\mathrm{TV}(P_S^y,P_T^y),\quad "
    r"\mathrm{TV}\le\min\left(\sqrt{\mathrm{KL}/2},\sqrt{1-e^{-\mathrm{KL}}}\right)",
    hypotheses=(
        Hypothesis(
            name="bounded loss",
            forms=("T7.tv", "T7.kl"),
            detail="0 ≤ ℓ ≤ B on all points, where B is not read off the sample; only the length of the interval matters.",
            check=_bounded,
            counterexample=Counterexample(words="losses up to 2B", form="T7.tv", make=_loss_too_large),
        ),
        Hypothesis(
            name="same class shares",
            check=_same_shares,
            counterexample=Counterexample(
                words="equal class-conditionals, but the student has more of the hard class",
                form="T7.prediction",
                make=lambda: shares_differ(zero_one),
            ),
        ),
        Hypothesis(
            name="0–1 loss",
            forms=("T7.prediction", "T7.affinity", "T7.gaussian"),
            detail="Any function of predicted and true class with values in [0, 1] will do.",
            check=only_on(Instance, lambda x: x.loss is zero_one),
            counterexample=Counterexample(
                words="1 − p_y: equal predictions, the student's less sure", form="T7.prediction", make=_less_sure
            ),
        ),
        Hypothesis(
            name="gaussian classes",
            forms=("T7.affinity", "T7.gaussian"),
            detail="The points are the logits (here their margin), and the law is that of the population.",
            check=None,
            counterexample=Counterexample(
                words="mean ± standard deviation, and the Gaussian with these moments: KL of the moments is 0",
                form="T7.gaussian",
                make=_two_point_law,
            ),
        ),
    ),
    direction="two-sided",
    source="Pinsker; Bretagnolle and Huber 1979; data processing; √(1 − BC²) standard (Cauchy–Schwarz)",
    proof="A bounded loss changes its mean by at most its range times the total variation; Cauchy–Schwarz and Jensen bound "
    "that by divergences.",
    steps=(
        Step(
            "Centre the loss in its range, class by class with shared weights π_y.",
            r"\Bigl|\sum(P-Q)\ell\Bigr|=\Bigl|\sum(P-Q)(\ell-\tfrac B2)\Bigr| \le \tfrac B2\sum|P-Q|=B\,\mathrm{TV}",
        ),
        Step(
            "The 0–1 loss of class y is a function of the predicted class, and total variation falls under maps: T7.prediction."
        ),
        Step(
            "Cauchy–Schwarz bounds it by the Bhattacharyya coefficient BC = Σ√(PQ).",
            r"\mathrm{TV}=\tfrac12\sum|\sqrt P-\sqrt Q|(\sqrt P+\sqrt Q) \le \tfrac12\sqrt{(2-2BC)(2+2BC)}=\sqrt{1-BC^2}",
        ),
        Step(
            "Jensen gives Bretagnolle–Huber, in both directions since TV and BC are symmetric. So √(1 − BC²), in closed "
            "form for Gaussians, is never above either of them.",
            r"\ln BC=\ln E_P\sqrt{Q/P} \ge -\tfrac12\mathrm{KL}(P\|Q)",
        ),
        Step(
            "Pinsker's bound can be below √(1 − BC²) (variances 1 and 4.6, equal means), so T7.affinity takes the smaller. "
            "Pinsker's is above 1 from KL = 2 on; the others never are.",
            r"\mathrm{TV} \le \min\Bigl(\sqrt{1-BC^2},\ \sqrt{\mathrm{KL}/2}\Bigr)",
        ),
        Step("For K = 2 the margin is a linear image of the logits, so its KL is no larger than theirs."),
    ),
    forms=(
        Form(
            name="T7.tv",
            latex=r"B\sum_y\pi_y\mathrm{TV}(P_S^y,P_T^y)",
            constant="B",
            sides=_variation,
            witness=Witness(
                words="the loss is B where the student has more mass and 0 where it has less", make=_all_loss_moves
            ),
            start=_atom_start,
            free=("student", "teacher", "losses"),
        ),
        Form(
            name="T7.kl",
            latex=r"B\sum_y\pi_y\min(\sqrt{\mathrm{KL}_y/2},\sqrt{1-e^{-\mathrm{KL}_y}})",
            constant="B; KL the smaller of the two directions",
            sides=_divergence,
            witness=Witness(
                words="a coin that is nearly fair, and a fair one: Pinsker is sharp to first order", make=_nearly_fair
            ),
            start=_atom_start,
            free=("student", "teacher", "losses"),
        ),
        Form(
            name="T7.prediction",
            constant="1",
            sides=_prediction,
            witness=Witness(words="what changes turns wrong", make=_turned_wrong),
            start=_prediction_start,
            free=MOVES,
        ),
        Form(
            name="T7.affinity",
            latex=r"|\mathrm{err}_S-\mathrm{err}_T| \le \sum_y\pi_y\min(\sqrt{\mathrm{KL}_y/2},\sqrt{1-BC_y^2})",
            constant="1; BC in closed form",
            sides=_affinity,
            witness=Witness(words="everything right becomes everything wrong", make=_far_apart),
            about="population",
            start=_margin_start,
            free=("student", "teacher", "log_spread_student", "log_spread_teacher"),
        ),
        Form(
            name="T7.gaussian",
            constant="1; KL the smaller of the two directions",
            sides=_gaussian,
            witness=Witness(words="everything right becomes everything wrong", make=_far_apart),
            about="population",
            start=_margin_start,
            free=("student", "teacher", "log_spread_student", "log_spread_teacher"),
        ),
    ),
    mutants=(
        Mutant(name="½ twice", form="T7.tv", sides=_half_variation),
        Mutant(name="classes ignored: TV of the marginals", form="T7.tv", sides=_marginal_variation),
        Mutant(name="√KL/2 for √(KL/2)", form="T7.kl", sides=_root_outside),
        Mutant(name="1 − e^{−KL} without the root", form="T7.kl", sides=_no_root),
        Mutant(
            name="how often each class is predicted, not given the true one", form="T7.prediction", sides=_marginal_predictions
        ),
        Mutant(name="largest change of a probability for their sum", form="T7.prediction", sides=_largest_change),
        Mutant(name="spreads taken as equal", form="T7.gaussian", sides=_means_only, killer=_spread_changes),
        Mutant(name="KL/2 in the exponent", form="T7.gaussian", sides=_exponent_halved, killer=_wide_and_wrong),
        Mutant(name="BC for BC²", form="T7.affinity", sides=_affinity_not_squared),
    ),
)
