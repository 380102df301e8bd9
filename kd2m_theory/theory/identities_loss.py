"""Cross-entropy in its logits: gradient, curvature, and what a change of logits or labels does to it."""

from collections.abc import Callable

import sympy as sp

from kd2m_theory.theory.identity import Expr, Identity, Proof, nonnegative, symbolic, vanishes

HALF, QUARTER, ROOT_TWO = sp.Rational(1, 2), sp.Rational(1, 4), sp.sqrt(2)
OWN, REST = sp.Symbol("a", real=True), sp.Symbol("R", positive=True)  # one logit, and Σ e^a over all others


def logits(size: int, name: str = "a") -> list[Expr]:
    """Symbolic logits."""
    return list(sp.symbols(f"{name}:{size}", real=True))


def log_partition(a: list[Expr]) -> Expr:
    """log Σ e^{a_c}."""
    return sp.log(sum(sp.exp(v) for v in a))


def softmax(a: list[Expr]) -> list[Expr]:
    """e^{a_c}/Σ e^{a}."""
    return [sp.exp(v) / sum(sp.exp(u) for u in a) for v in a]


def cross_entropy(a: list[Expr], label: int) -> Expr:
    """−log softmax(a)_label."""
    return -sp.log(softmax(a)[label])


def _unit(size: int, c: int) -> Expr:
    return sp.Matrix([int(i == c) for i in range(size)])


def gradient_hull(temperature: Expr = 1, sign: int = -1) -> Proof:
    """∇ℓ(a, y) = Σ_c p_c (e_c + sign·e_y) with p = softmax(a/temperature): a point of the convex hull of the e_c − e_y."""
    steps = []
    for size in (2, 3, 4):
        a = logits(size)
        p = softmax([v / temperature for v in a])
        differences = []
        for label in range(size):
            gradient = sp.Matrix([sp.diff(cross_entropy(a, label), v) for v in a])
            hull = sum((q * (_unit(size, c) + sign * _unit(size, label)) for c, q in enumerate(p)), sp.zeros(size, 1))
            differences.append(vanishes(gradient - hull))
        steps.append((f"K = {size}, every y: ∇ℓ − Σ p_c (e_c − e_y) = 0", all(differences)))
        steps.append(("p ≥ 0, Σ p = 1", all(nonnegative(q) for q in p) and vanishes(sum(p) - 1)))
    share = sp.exp(OWN / temperature) / (sp.exp(OWN / temperature) + REST)
    steps.append(("any K: ∂/∂a_j log(e^(a_j) + rest) = p_j", vanishes(sp.diff(sp.log(sp.exp(OWN) + REST), OWN) - share)))
    return symbolic("symbolic logits", steps)


def half_hessian(constant: Expr = HALF) -> Proof:
    """vᵀ(diag(p) − ppᵀ)v ≤ constant·‖v‖² on the simplex, with equality at p = (½, ½, 0, …), v = (1, −1, 0, …)."""
    steps = []
    for size in (2, 3):
        a = logits(size)
        p = sp.Matrix(softmax(a))
        hessian = sp.hessian(cross_entropy(a, 0), a)
        steps.append((f"K = {size}: the Hessian of ℓ is diag(p) − ppᵀ", vanishes(hessian - (sp.diag(*p) - p * p.T))))
    other = sp.Symbol("b", real=True)
    total = sp.exp(OWN) + sp.exp(other) + REST
    p_own, p_other = sp.exp(OWN) / total, sp.exp(other) / total
    twice, mixed = sp.diff(sp.log(total), OWN, 2), sp.diff(sp.log(total), OWN, other)
    any_size = vanishes(twice - p_own * (1 - p_own)) and vanishes(mixed + p_own * p_other)
    steps.append(("any K: entry by entry from log(e^a + e^b + rest)", any_size))
    for size in (2, 3, 4):
        p, v = sp.Matrix(sp.symbols(f"p:{size}", nonnegative=True)), sp.Matrix(sp.symbols(f"v:{size}", real=True))
        form = (v.T * (sp.diag(*p) - p * p.T) * v)[0]
        variance = sum(q * u**2 for q, u in zip(p, v, strict=True)) - sum(q * u for q, u in zip(p, v, strict=True)) ** 2
        steps.append((f"K = {size}: vᵀ(diag p − ppᵀ)v = Var_p(v)", vanishes(form - variance)))
    top, bottom, mean, second, v = sp.symbols("M m mean second v", real=True)
    in_v = sp.Poly((top - v) * (v - bottom), v)
    product = sum(in_v.coeff_monomial(v**k) * moment for k, moment in enumerate((1, mean, second)))  # E(M − v)(v − m)
    spread = (top - bottom) ** 2 / 4
    form = sp.hessian(constant * (top**2 + bottom**2) - spread, (top, bottom))
    steps += [
        (
            "m ≤ v ≤ M: E(M − v)(v − m) ≥ 0 is Var ≤ (M − mean)(mean − m)",
            vanishes(product - ((top - mean) * (mean - bottom) - (second - mean**2))),
        ),
        (
            "(M − m)²/4 − (M − mean)(mean − m) = (mean − (M + m)/2)² ≥ 0",
            nonnegative(sp.factor(spread - (top - mean) * (mean - bottom))),
        ),
        ("½(M² + m²) ≥ (M − m)²/4, and M² + m² ≤ ‖v‖² (or v is constant and Var = 0)", bool(form.is_positive_semidefinite)),
    ]
    for size in (2, 3, 5):
        p, v = sp.zeros(size, 1), sp.zeros(size, 1)
        p[0] = p[1] = HALF
        v[0], v[1] = 1, -1
        reached = (v.T * (sp.diag(*p) - p * p.T) * v)[0] / (v.T * v)[0]
        steps.append((f"K = {size}: attained at p = (½, ½, 0, …), v = (1, −1, 0, …)", vanishes(reached - constant)))
    return symbolic("any K", steps)


def quarter(constant: Expr = QUARTER) -> Proof:
    """ℓ(a + Δ) ≤ ℓ(a) + ⟨∇ℓ(a), Δ⟩ + constant·‖Δ‖², from the ½ on the Hessian, and no smaller constant will do."""
    s, h = sp.Symbol("s", nonnegative=True), sp.Symbol("h", positive=True)
    taylor = sp.integrate((1 - s) * HALF, (s, 0, 1))
    a = logits(2)
    change = cross_entropy([h / 2, -h / 2], 0) - cross_entropy([sp.Integer(0)] * 2, 0)
    slope = sum(sp.diff(cross_entropy(a, 0), v).subs(dict.fromkeys(a, 0)) * d for v, d in zip(a, (h / 2, -h / 2), strict=True))
    steps = [
        ("∫₀¹ (1 − s) ½ ds = ¼ (Taylor's remainder)", vanishes(taylor - constant)),
        (
            "the ratio tends to ¼ at p = (½, ½), Δ = (h/2, −h/2), h → 0",
            vanishes(sp.limit((change - slope) / (h**2 / 2), h, 0) - constant),
        ),
    ]
    return symbolic("with half-hessian", steps)


def vertex_norm(constant: Expr = ROOT_TWO, speed: Expr = 1) -> Proof:
    """|ℓ(a + Δ, y) − ℓ(a, y)| ≤ speed·max_c |Δ_c − Δ_y| ≤ constant·‖Δ‖, both sharp."""
    x, y, gap, h = (sp.Symbol(name, real=True) for name in ("x", "y", "gap", "h"))
    form = sp.hessian(constant**2 * (x**2 + y**2) - (x - y) ** 2, (x, y))
    size = 3
    d, p = sp.symbols(f"d:{size}", real=True), sp.symbols(f"p:{size}", nonnegative=True)
    along = sum((q * (_unit(size, c) - _unit(size, 0)) for c, q in enumerate(p)), sp.zeros(size, 1)).dot(sp.Matrix(d))
    change = cross_entropy([sp.Integer(0), gap + h], 0) - cross_entropy([sp.Integer(0), gap], 0)
    steps = [
        (
            "⟨∇ℓ, Δ⟩ = Σ p_c (Δ_c − Δ_y), a mean of the Δ_c − Δ_y",
            vanishes(along - sum(q * (e - d[0]) for q, e in zip(p, d, strict=True))),
        ),
        ("(Δ_c − Δ_y)² ≤ 2(Δ_c² + Δ_y²) ≤ 2‖Δ‖²", bool(form.is_positive_semidefinite)),
        ("√2 is reached at Δ = e_c − e_y", vanishes(sp.Integer(2) - constant * sp.sqrt(2))),
        ("the loss changes by h in the limit a_c − a_y → ∞, Δ = h e_c", vanishes(sp.limit(change, gap, sp.oo) - speed * h)),
    ]
    return symbolic("with gradient-hull along the segment from a to a + Δ", steps)


def log_partition_difference(own: Expr = 1) -> Proof:
    """ℓ(a_S, y) − ℓ(a_T, y) = lse(a_S) − lse(a_T) − own·Δ_y, and ℓ(a, y) − ℓ(a, y') = a_{y'} − a_y."""
    steps = []
    for size in (2, 3, 4):
        s, t = logits(size, "s"), logits(size, "t")
        right = [log_partition(s) - log_partition(t) - own * (u - v) for u, v in zip(s, t, strict=True)]
        paired = [cross_entropy(s, c) - cross_entropy(t, c) - right[c] for c in range(size)]
        swapped = [cross_entropy(s, c) - cross_entropy(s, 0) - own * (s[0] - s[c]) for c in range(size)]
        steps.append((f"K = {size}, every y: the losses differ by lse(a_S) − lse(a_T) − Δ_y", all(map(vanishes, paired))))
        steps.append(("labels y, y' by a_(y') − a_y", all(map(vanishes, swapped))))
    term = -sp.log(sp.exp(OWN) / (sp.exp(OWN) + REST)) - sp.log(sp.exp(OWN) + REST) + own * OWN
    steps.append(("any K: ℓ = log(e^(a_y) + rest) − a_y", vanishes(term)))
    return symbolic("symbolic logits", steps)


def teacher_labels(weight: Callable[[Expr, Expr], Expr] = lambda teacher, _: teacher) -> Proof:
    """E_{Y∼π}[ℓ_S − ℓ_T] = KL(p_T‖p_S) + Σ (π_c − p_T(c)) log(p_T(c)/p_S(c)); π = p_T leaves the divergence, with `weight`."""
    steps = []
    for size in (2, 3, 4):
        s, t = softmax(logits(size, "s")), softmax(logits(size, "t"))
        pi = sp.symbols(f"w:{size}", nonnegative=True)
        kl = sum(weight(v, u) * (sp.log(v) - sp.log(u)) for u, v in zip(s, t, strict=True))
        excess = [-sp.log(u) + sp.log(v) for u, v in zip(s, t, strict=True)]
        drawn = sum(v * e for v, e in zip(t, excess, strict=True))
        other = sum(w * e for w, e in zip(pi, excess, strict=True))
        extra = sum((w - v) * (sp.log(v) - sp.log(u)) for w, u, v in zip(pi, s, t, strict=True))
        steps.append((f"K = {size}: labels from p_T give KL(p_T‖p_S)", vanishes(drawn - kl)))
        steps.append(("labels from π add Σ (π_c − p_T(c)) log(p_T/p_S)", vanishes(other - kl - extra)))
    return symbolic("symbolic logits and label weights, per input", steps)


IDENTITIES = (
    Identity(
        name="gradient-hull",
        plain="The gradient of cross-entropy in the logits is a convex combination of the e_c − e_y, the softmax as weights.",
        latex=r"\nabla\ell(a,y) = \sum_c p_c (e_c - e_y), \quad p = softmax(a)",
        source="standard",
        prove=gradient_hull,
    ),
    Identity(
        name="half-hessian",
        plain="Cross-entropy is ½-smooth in its logits, and ½ is attained.",
        latex=r"diag(p) - pp^T \preceq \tfrac12 I",
        source="standard (Popoviciu; Bhatia and Davis)",
        prove=half_hessian,
    ),
    Identity(
        name="quarter",
        plain="Cross-entropy lies below its tangent plus a quarter of the squared change of the logits, and a quarter "
        "is needed.",
        latex=r"\ell(a+\Delta) \le \ell(a) + \langle\nabla\ell(a),\Delta\rangle + \tfrac14\|\Delta\|^2",
        source="standard",
        prove=quarter,
    ),
    Identity(
        name="vertex-norm",
        plain="A change of logits changes cross-entropy by at most its vertex norm, and that is at most √2 times its length.",
        latex=r"|\ell(a+\Delta,y) - \ell(a,y)| \le \max_c|\Delta_c-\Delta_y| \le \sqrt2\,\|\Delta\|_2",
        source="standard",
        prove=vertex_norm,
    ),
    Identity(
        name="log-partition",
        plain="Two networks' cross-entropies differ by their log-partitions less the change of the label's logit.",
        latex=r"\ell_S(y) - \ell_T(y) = lse(a_S) - lse(a_T) - \Delta_y, \quad \ell(a,y)-\ell(a,y') = a_{y'} - a_y",
        source="standard",
        prove=log_partition_difference,
    ),
    Identity(
        name="teacher-labels",
        plain="If the labels are drawn from the teacher, the student's excess log loss "
        "is the divergence from teacher to student.",
        latex=r"E_{Y\sim p_T}[\ell_S - \ell_T] = KL(p_T\|p_S)",
        source="standard",
        prove=teacher_labels,
    ),
)
