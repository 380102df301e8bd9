"""T10: what means and covariances alone say about W₂. Covariances are by 1/n."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kd2m_theory.theory.examples import HEAD, MOVES, far_wrong
from kd2m_theory.theory.hypotheses import lipschitz_loss, same_class_shares, shared_linear_head
from kd2m_theory.theory.instance import (
    Instance,
    distances,
    instance,
    least_cost,
    lipschitz,
    random_instance,
    reordered,
    root,
    sum_of,
)
from kd2m_theory.theory.mixture import Mixtures, mixture_distance, mixtures
from kd2m_theory.theory.statement import Counterexample, Form, Hypothesis, Mutant, Sides, Step, Theorem, Witness, scaled

# A squared distance of the student's cloud of one class and the teacher's.
Part = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Images:
    """One class: a teacher's cloud, and a student's that is its image under z ↦ FᵀF z + s.

    Attributes:
        teacher: n × d features.
        factor: k × d, F.
        shift: d, s.
        weight: K × d head of both; the label is 0.
        other: the student's cloud where it is not that image.
    """

    teacher: Tensor
    factor: Tensor
    shift: Tensor
    weight: Tensor
    other: Tensor | None = None

    def clouds(self) -> Instance:
        """As an instance."""
        student = self.teacher @ self.factor.T @ self.factor + self.shift if self.other is None else self.other
        label = torch.zeros(len(self.teacher), dtype=torch.int64)
        return Instance(student, self.teacher, label, label, self.weight, torch.zeros_like(self.weight[:, 0]))


def procrustes(student: Tensor, teacher: Tensor) -> Tensor:
    """tr(Σ_S + Σ_T − 2(Σ_S^½ Σ_T Σ_S^½)^½) of two clouds, as min_U ‖A − BU‖_F² over orthogonal U, AAᵀ = Σ_S, BBᵀ = Σ_T.

    tr(UᵀBᵀA) is largest, ‖BᵀA‖_* = tr(Σ_S^½ Σ_T Σ_S^½)^½, at the polar factor. No matrix root is taken, and a distance of
    nearly equal clouds keeps its digits. U is held fixed in the backward pass (envelope theorem).
    """
    size = max(len(student), len(teacher))
    a, b = (
        torch.cat(((z - z.mean(0)).T / len(z) ** 0.5, z.new_zeros(z.shape[1], size - len(z))), 1) for z in (student, teacher)
    )
    left, _, right = torch.linalg.svd(b.detach().T @ a.detach())
    squared_distance: Tensor = ((a - b @ (left @ right)) ** 2).sum()
    return squared_distance


def means(student: Tensor, teacher: Tensor) -> Tensor:
    """‖μ_S − μ_T‖²."""
    return ((student.mean(0) - teacher.mean(0)) ** 2).sum()


def variance(cloud: Tensor) -> Tensor:
    """tr Σ."""
    return ((cloud - cloud.mean(0)) ** 2).sum(1).mean()


def gelbrich(student: Tensor, teacher: Tensor) -> Tensor:
    """W₂² of the Gaussians with the clouds' moments."""
    return means(student, teacher) + procrustes(student, teacher)


def independent(student: Tensor, teacher: Tensor) -> Tensor:
    """E‖Z_S − Z_T‖² under the independent coupling."""
    return means(student, teacher) + variance(student) + variance(teacher)


def squared(student: Tensor, teacher: Tensor) -> Tensor:
    """W₂²."""
    return least_cost(distances(student, teacher) ** 2)


def over_classes(x: Instance, part: Part) -> Tensor:
    """(Σ_y π_y of a squared distance)^½."""
    return root(sum_of(share * part(x.student[mine], x.teacher[theirs]) for _, share, mine, theirs in x.by_class()))


def distance(x: Instance) -> Tensor:
    """(Σ_y π_y (W₂^y)²)^½."""
    return over_classes(x, squared)


def _gelbrich(x: Instance) -> Sides:
    return Sides(distance(x), torch.full_like(x.bias[0], torch.inf), over_classes(x, gelbrich))


def _moments(x: Instance) -> Sides:
    return Sides(distance(x), over_classes(x, independent))


def _risk(x: Instance) -> Sides:
    return Sides(x.gap, lipschitz(x.weight) * over_classes(x, independent))


def _gaussian(x: Images) -> Sides:
    clouds = x.clouds()
    return Sides(clouds.gap, lipschitz(clouds.weight) * over_classes(clouds, gelbrich))


def _mixture(x: Mixtures) -> Sides:
    return Sides(mixture_distance(x), x.distance)


def _affine_images() -> Instance:
    points = [[1.0, 0.0], [-1.0, 1.0], [0.0, -2.0]]
    stretched = [[2.0 * a + b + 1.0, a + 3.0 * b] for a, b in points]
    return instance(stretched, points, [0, 0, 0], torch.eye(2))


def _point() -> Instance:
    return instance([[0.0, 0.0]] * 3, [[1.0, 0.0], [-1.0, 1.0], [3.0, -2.0]], [0, 0, 0], torch.eye(2))


def _images(teacher: object, shift: object, other: object = None) -> Images:
    points, moved, head = (torch.tensor(v, dtype=torch.float64) for v in (teacher, shift, HEAD))
    student = None if other is None else torch.tensor(other, dtype=torch.float64)
    return Images(points, torch.ones(1, 1, dtype=torch.float64), moved, head, student)


def _shifted() -> Images:
    return _images([[-7.0], [-6.0]], [-3.0])


def _equal_moments() -> Images:
    return _images([[-1.0], [-1.0], [1.0], [1.0]], [0.0], [[-(2.0**0.5)], [0.0], [0.0], [2.0**0.5]])


def _translated() -> Mixtures:
    return mixtures([0.0, 3.0], [2.0, 5.0], [1.0, 0.5], [1.0, 0.5])


def _one_widens() -> Mixtures:
    return mixtures([0.0], [0.0], [1.0], [3.0])


def _start(generator: torch.Generator) -> Instance:
    """Five points of three classes, the teacher's in another order; a few classes are affine images."""
    x = random_instance(generator, n=5)
    order = torch.randperm(5, generator=generator)
    if torch.rand((), generator=generator) < 0.5:
        factor = torch.randn(2, 2, generator=generator, dtype=torch.float64)
        x = replace(x, student=x.teacher @ factor.T @ factor + x.student.mean(0))
    return reordered(x, order)


def _image_start(generator: torch.Generator) -> Images:
    def normal(*shape: int) -> Tensor:
        scale = 10.0 ** (2.0 * torch.rand((), generator=generator, dtype=torch.float64) - 1.0)
        return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)

    return Images(normal(4, 2), normal(2, 2), normal(2), normal(3, 2))


def _mixture_start(generator: torch.Generator) -> Mixtures:
    def normal(count: int, scale: float) -> Tensor:
        return scale * torch.randn(count, generator=generator, dtype=torch.float64)

    return Mixtures(normal(2, 3.0), normal(2, 0.5), normal(3, 3.0), normal(3, 0.5))


def _larger_lower(x: Instance) -> Sides:
    whole = _gelbrich(x)
    assert whole.lower is not None
    return Sides(whole.gap, whole.upper, whole.lower / 0.9)


def _gelbrich_without_root(x: Instance) -> Sides:
    return Sides(distance(x), torch.full_like(x.bias[0], torch.inf), over_classes(x, gelbrich) ** 2)


def _traces_only(x: Instance) -> Sides:
    """The cross term forgotten: the independent coupling taken for a lower side."""
    return Sides(distance(x), torch.full_like(x.bias[0], torch.inf), over_classes(x, independent))


def _unbiased(x: Instance) -> Sides:
    """Covariances by 1/(n − 1)."""

    def part(student: Tensor, teacher: Tensor) -> Tensor:
        return means(student, teacher) + procrustes(student, teacher) * len(student) / max(len(student) - 1, 1)

    return Sides(distance(x), torch.full_like(x.bias[0], torch.inf), over_classes(x, part))


def _means_only(x: Instance) -> Sides:
    return Sides(distance(x), over_classes(x, means))


def _one_variance(x: Instance) -> Sides:
    return Sides(distance(x), over_classes(x, lambda s, t: means(s, t) + variance(s)))


def _classes_ignored(x: Instance) -> Sides:
    return Sides(x.gap, lipschitz(x.weight) * root(independent(x.student, x.teacher)))


def _operator_norm(x: Instance) -> Sides:
    return Sides(x.gap, torch.linalg.matrix_norm(x.weight, 2) * over_classes(x, independent))


def _means_of_components(x: Mixtures) -> Sides:
    return Sides(mixture_distance(x), x.transported(x.moved))


def _variances_for_spreads(x: Mixtures) -> Sides:
    """(s² − s'²)² for (s − s')²: too small where s + s' < 1."""
    student, teacher = x.spreads
    return Sides(mixture_distance(x), x.transported(x.moved + (student[:, None] ** 2 - teacher**2) ** 2))


def _narrow() -> Mixtures:
    return mixtures([0.0], [0.0], [0.1], [0.3])


def _fourth_class() -> Instance:
    """The teacher is sure of classes 0 to 2, at the corners of a triangle; at its centre, and at the student, class 3 wins.

    The gap is as if each class moved from the centre to the student, a little up at once; as the teacher's distance from the
    centre is at a right angle to that on average, it costs the marginal bound less.
    """
    corners = torch.tensor([[1.0, 0.0, 0.0], [-0.5, 0.75**0.5, 0.0], [-0.5, -(0.75**0.5), 0.0]], dtype=torch.float64)
    fourth = torch.tensor([[0.0, 0.0, 2.0**0.5]], dtype=torch.float64)
    head = torch.cat((corners, fourth))
    return instance(55 * (fourth - corners), 50 * corners, [0, 1, 2], head, [0.0, 0.0, 0.0, 45.0])


THEOREM = Theorem(
    name="T10",
    title="moments",
    plain="Means and covariances alone bound W₂ from below by the distance of the Gaussians that have them, and from above by "
    "the independent coupling. As a bound on risk the upper one needs no assumption; the Gaussian distance does.",
    latex=r"\|\Delta\mu\|^2+\mathrm{tr}\left(\Sigma_S+\Sigma_T-2(\Sigma_S^{1/2}\Sigma_T\Sigma_S^{1/2})^{1/2}\right) "
    r"\le W_2^2 \le \|\Delta\mu\|^2+\mathrm{tr}\,\Sigma_S+\mathrm{tr}\,\Sigma_T",
    hypotheses=(
        shared_linear_head("T10.risk", forms=("T10.risk", "T10.gaussian"), on=Instance),
        same_class_shares("T10.risk", forms=("T10.gelbrich", "T10.moments", "T10.risk", "T10.gaussian"), on=Instance),
        lipschitz_loss("T10.risk", forms=("T10.risk", "T10.gaussian"), on=Instance),
        Hypothesis(
            name="gaussian classes",
            forms=("T10.gaussian",),
            detail="It is enough that one law is the image of the other under an affine map whose matrix is symmetric and "
            "positive semi-definite.",
            check=None,
            counterexample=Counterexample(
                words="two laws with equal mean and covariance: the Gaussian distance is 0",
                form="T10.gaussian",
                make=_equal_moments,
            ),
        ),
    ),
    direction="two-sided",
    source="Gelbrich 1990; independent coupling (standard); MW₂: Delon and Desolneux 2020",
    proof="On any coupling the squared distance depends on the cross-covariance alone, and positive semi-definiteness "
    "bounds its trace.",
    steps=(
        Step(
            "On any coupling, with C the cross-covariance:",
            r"E\|Z_S-Z_T\|^2=\|\Delta\mu\|^2+\mathrm{tr}\,\Sigma_S+\mathrm{tr}\,\Sigma_T-2\,\mathrm{tr}\,C",
        ),
        Step(
            "The joint covariance is positive semi-definite, which bounds C.",
            r"C=\Sigma_S^{1/2}K\,\Sigma_T^{1/2}, \quad \|K\|_{op} \le 1 \quad\Rightarrow\quad \mathrm{tr}\,C \le "
            r"\mathrm{tr}(\Sigma_S^{1/2}\Sigma_T\Sigma_S^{1/2})^{1/2}",
        ),
        Step(
            "This is the lower side. An affine map with symmetric M ≥ 0 attains it, because then C = MΣ.",
            r"(\Sigma^{1/2}M\Sigma M\,\Sigma^{1/2})^{1/2}=\Sigma^{1/2}M\,\Sigma^{1/2}",
        ),
        Step(
            "The independent coupling has C = 0: the upper side. Nothing better follows from moments alone. A fair sign "
            "and a law that is 0 with probability 1 − ε, and else ±ε^(−1/2), both have variance 1.",
            r"\mathrm{tr}\,C \le \sqrt\varepsilon",
        ),
        Step("T10.risk is T2.w2 after that, and so is T10.gaussian, with W₂ equal to the lower side."),
        Step(
            "Transport the components as a plan says, each by its best map: this is a coupling of the mixtures.",
            r"W_2 \le MW_2",
        ),
    ),
    forms=(
        Form(
            name="T10.gelbrich",
            constant="1",
            sides=_gelbrich,
            witness=Witness(words="an affine image by a positive definite matrix", make=_affine_images),
            start=_start,
            free=("student", "teacher"),
        ),
        Form(
            name="T10.moments",
            constant="1",
            sides=_moments,
            witness=Witness(words="the student is one point", make=_point),
            start=_start,
            free=("student", "teacher"),
        ),
        Form(
            name="T10.mixture",
            latex=r"W_2 \le MW_2",
            constant="1",
            sides=_mixture,
            witness=Witness(words="one mixture translated", make=_translated),
            start=_mixture_start,
            free=("student", "teacher", "log_spread_student", "log_spread_teacher"),
        ),
        Form(
            name="T10.risk",
            constant="L = max ‖w_c − w_c'‖",
            sides=_risk,
            witness=Witness(words="every class is one point; they are wrong and the student more so", make=far_wrong),
            start=_start,
            free=MOVES,
        ),
        Form(
            name="T10.gaussian",
            latex=r"|R_S-R_T| \le L\,W_2(N(\mu_S,\Sigma_S),N(\mu_T,\Sigma_T))",
            constant="L = max ‖w_c − w_c'‖",
            sides=_gaussian,
            witness=Witness(words="a translation where softmax has saturated", make=_shifted),
            start=_image_start,
            free=("teacher", "factor", "shift", "weight"),
        ),
    ),
    mutants=(
        Mutant(name="lower bound ÷ 0.9", form="T10.gelbrich", sides=_larger_lower),
        Mutant(name="W₂² for W₂ on the lower side", form="T10.gelbrich", sides=_gelbrich_without_root),
        Mutant(name="cross term forgotten", form="T10.gelbrich", sides=_traces_only),
        Mutant(name="covariances by 1/(n − 1)", form="T10.gelbrich", sides=_unbiased),
        Mutant(name="constant × 0.9", form="T10.moments", sides=scaled(_moments, 0.9)),
        Mutant(name="means only", form="T10.moments", sides=_means_only),
        Mutant(name="one of the two variances", form="T10.moments", sides=_one_variance),
        Mutant(name="constant × 0.9", form="T10.mixture", sides=scaled(_mixture, 0.9)),
        Mutant(name="means of components only", form="T10.mixture", sides=_means_of_components, killer=_one_widens),
        Mutant(name="variances for standard deviations", form="T10.mixture", sides=_variances_for_spreads, killer=_narrow),
        Mutant(name="constant × 0.9", form="T10.risk", sides=scaled(_risk, 0.9)),
        Mutant(name="classes ignored: moments of the marginals", form="T10.risk", sides=_classes_ignored, killer=_fourth_class),
        Mutant(name="‖W‖_op without √2", form="T10.risk", sides=_operator_norm),
        Mutant(name="constant × 0.9", form="T10.gaussian", sides=scaled(_gaussian, 0.9)),
    ),
    # × 0.9 weakens a bound from below, so the forms have their own.
    scale_mutants=False,
)
