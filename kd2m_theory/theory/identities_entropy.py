"""Temperature, power sums, and what Kullback–Leibler says of two coins."""

from collections.abc import Callable, Sequence

import sympy as sp
from mpmath import iv

from kd2m_theory.theory.identity import (
    Expr,
    Identity,
    Interval,
    Proof,
    certify_positive,
    interval,
    nonnegative,
    symbolic,
    vanishes,
)

T = sp.Symbol("T", positive=True)


def divergence(p: Sequence[Expr], q: Sequence[Expr]) -> Expr:
    """KL(p‖q) = Σ p_c (log p_c − log q_c), from its definition."""
    return sum(a * (sp.log(a) - sp.log(b)) for a, b in zip(p, q, strict=True))


def shannon_entropy(p: Sequence[Expr]) -> Expr:
    """H(p) = −Σ p_c log p_c."""
    return -sum(a * sp.log(a) for a in p)


def renyi_entropy(q: Sequence[Expr], order: Expr) -> Expr:
    """H_α(q) = log(Σ q_c^α)/(1 − α), the powers of products multiplied out."""
    return sp.log(sp.factor_terms(sp.expand_power_base(sum(a**order for a in q)))) / (1 - order)


def _student_and_teacher(size: int) -> tuple[list[Expr], list[Expr], list[Expr]]:
    """Distributions q, q_T ∝ q^{1/T} and p̂ over `size` classes; a logit s enters as x = e^{s/T} > 0, so e^s = x^T."""
    x, y = sp.symbols(f"x:{size}", positive=True), sp.symbols(f"y:{size}", positive=True)
    return [a**T / sum(b**T for b in x) for a in x], [a / sum(x) for a in x], [a / sum(y) for a in y]


def ttm_renyi(tempered: Expr = T, renyi: Expr = T - 1, shannon: Expr = T - 1, order: Expr = 1 / T) -> Proof:
    """KL(p̂‖q) = tempered·KL(p̂‖q_T) − renyi·H_order(q) + shannon·H(p̂)."""
    steps = []
    for size in (2, 3, 4):
        q, q_t, p = _student_and_teacher(size)
        power = [b**order / sum(c**order for c in q) for b in q]
        right = tempered * divergence(p, q_t) - renyi * renyi_entropy(q, order) + shannon * shannon_entropy(p)
        steps.append((f"K = {size}: q^(1/T) normalised is q_T", all(vanishes(a - b) for a, b in zip(power, q_t, strict=True))))
        steps.append((f"K = {size}: left − right = 0", vanishes(divergence(p, q) - right)))
    s, log_z, log_zt = sp.symbols("s logZ logZ_T", real=True)
    w = sp.Symbol("w", positive=True)
    term = sp.exp(s - log_z) ** order - sp.exp(s / T) * sp.exp(-order * log_z)
    steps.append(("any K: each q_c^(1/T) is e^(s_c/T)/Z^(1/T), so Σ q_c^(1/T) = Z_T/Z^(1/T)", vanishes(term)))
    h = (log_zt - order * log_z) / (1 - order)
    right = tempered * w * (sp.log(w) - s / T + log_zt) - renyi * w * h - shannon * w * sp.log(w)
    difference = w * (sp.log(w) - s + log_z) - right
    steps.append(("any K: it holds term by term, H_(1/T)(q) spread with weights p̂_c that sum to 1", vanishes(difference)))
    return symbolic("symbolic T > 0 and logits (at T = 1 the factor T − 1 removes H_1)", steps)


def ttm_objective(beta: Callable[[Expr], Expr] = lambda lam: lam * T / (1 - lam), squares: int = 2) -> Proof:
    """L_TTM = (L_KD − λT(T−1)H_{1/T}(q))/(1−λ) + λT(T−1)H(p̂)/(1−λ), with L_KD = (1−λ)CE + λT^squares KL(p̂‖q_T)."""
    lam, steps = sp.Symbol("λ", positive=True), []
    for size in (2, 3):
        q, q_t, p = _student_and_teacher(size)
        cross_entropy = -sp.log(q[0])
        kd = (1 - lam) * cross_entropy + lam * T**squares * divergence(p, q_t)
        ttm = cross_entropy + beta(lam) * divergence(p, q)
        rest = ttm - (kd - lam * T * (T - 1) * renyi_entropy(q, 1 / T)) / (1 - lam)
        expected = lam * T * (T - 1) * shannon_entropy(p) / (1 - lam)
        steps.append((f"K = {size}: the rest is λT(T−1)H(p̂)/(1−λ)", vanishes(rest - expected)))
        steps.append((f"K = {size}: no logit of the student occurs in it", not expected.free_symbols & q[0].free_symbols - {T}))
    c, k, k_t, r, h = sp.symbols("CE KL KL_T H_R H_S", real=True)
    by_hand = (1 - lam) * (c + beta(lam) * k) - ((1 - lam) * c + lam * T**squares * k_t - lam * T * (T - 1) * (r - h))
    by_hand = by_hand.subs(k, T * k_t - (T - 1) * r + (T - 1) * h)
    steps.append(("any K: it follows from ttm-renyi by arithmetic", vanishes(by_hand)))
    return symbolic("symbolic T and λ", steps)


def power_sum(upper: Callable[[Expr], Expr] = lambda g: 1 - g, lower: int = 1) -> Proof:
    """lower ≤ Σ p_c^γ ≤ K^{upper(γ)} for 0 < γ ≤ 1."""
    u, t = sp.symbols("u t", nonnegative=True)
    p, k = sp.Symbol("p", positive=True), sp.Symbol("K", positive=True, integer=True)
    g = 1 / (1 + u)  # every γ in (0, 1]
    tangent = (1 / k) ** g + g * (1 / k) ** (g - 1) * (p - 1 / k)
    gap = tangent - p**g
    total = k * (1 / k) ** g + g * (1 / k) ** (g - 1) * (1 - k / k)  # the tangents summed, Σ p_c = 1
    steps = [
        ("log(p^γ/p) = (1 − γ)t ≥ 0 at p = e^(−t), t ≥ 0 (and 0^γ = 0), so Σ p^γ ≥ Σ p = 1", nonnegative((1 - g) * t)),
        ("that is log(p^γ/p)", vanishes(sp.expand_log(sp.log((p**g) / p), force=True).subs(sp.log(p), -t) - (1 - g) * t)),
        ("at a vertex the sum is 1", vanishes(1**g + (k - 1) * sp.Integer(0) ** g - lower)),
        ("p^γ touches its tangent at 1/K", vanishes(gap.subs(p, 1 / k)) and vanishes(sp.diff(gap, p).subs(p, 1 / k))),
        ("(tangent − p^γ)'' ≥ 0 for p > 0", nonnegative(sp.diff(gap, p, 2))),
        ("tangent ≥ 0 = 0^γ at p = 0", nonnegative(tangent.subs(p, 0))),
        ("the K tangents add to K^(1−γ), the sum at p = (1/K, …, 1/K)", vanishes(total - k ** upper(g))),
    ]
    return symbolic("any K ≥ 1 and γ = 1/(1+u), u ≥ 0", steps)


def pinsker(c: Expr = 2) -> Proof:
    """c(p − q)² ≤ KL(p‖q) for two coins, and no larger c will do."""
    p, q, u, h = (sp.Symbol(name, positive=True) for name in "pquh")
    gap = divergence((p, 1 - p), (q, 1 - q)) - c * (p - q) ** 2
    factor = 1 / (q * (1 - q)) - c * 2
    steps = [
        ("the gap is 0 at q = p", vanishes(gap.subs(q, p))),
        ("d gap/dq = (q − p)(1/(q(1−q)) − 4)", vanishes(sp.diff(gap, q) - (q - p) * factor)),
        ("1/(q(1−q)) ≥ 4 at q = 1/(1+u), u > 0", nonnegative(factor.subs(q, 1 / (1 + u)))),
    ]
    for side, edge in ((0, -sp.log(1 - q) - c * q**2), (1, -sp.log(q) - c * (1 - q) ** 2)):
        same = vanishes(sp.diff(edge, q) - (q - side) * factor) and vanishes(edge.subs(q, side))
        steps.append((f"the same derivative at p = {side}, with 0 log 0 = 0", same))
    near = divergence((sp.Rational(1, 2),) * 2, (sp.Rational(1, 2) + h, sp.Rational(1, 2) - h)) / h**2
    steps.append(("KL/(p−q)² → 2 at p = ½, q → ½", vanishes(sp.limit(near, h, 0) - c)))
    return symbolic("0 ≤ p ≤ 1, 0 < q < 1 (elsewhere KL = ∞ or p = q); the gap falls towards q = p and rises after it", steps)


def bretagnolle_huber(exponent: Expr = 1, square: int = 2) -> Proof:
    """|p − q|^square ≤ 1 − exp(−exponent·KL(p‖q)) for two coins, through the Bhattacharyya coefficient."""
    p, q, m, x, r, t = (sp.Symbol(name, positive=True) for name in "pqmxrt")
    half, log_r, log_t = sp.Rational(1, 2), sp.log(q / p) / 2, sp.log((1 - q) / (1 - p)) / 2
    logs = p * log_r + (1 - p) * log_t  # E log √(q/p), to be below log E √(q/p) = log BC
    kl = p * sp.log(p / q) + (1 - p) * sp.log((1 - p) / (1 - q))
    tangent = sp.log(m) + (x - m) / m - sp.log(x)
    mean = p * r + (1 - p) * t
    a, b = sp.sqrt(p * (1 - p)), sp.sqrt(q * (1 - q))
    coefficient = p * q + (1 - p) * (1 - q) + 2 * a * b  # BC² = (√(pq) + √((1−p)(1−q)))², as √(pq(1−p)(1−q)) = ab
    steps = [
        ("−KL/2 = E_p log √(q/p)", vanishes(sp.expand_log(logs + exponent * kl * half, force=True))),
        ("log x ≤ log m + (x − m)/m: equal at m", vanishes(tangent.subs(x, m)) and vanishes(sp.diff(tangent, x).subs(x, m))),
        ("and the difference is convex in x", nonnegative(sp.diff(tangent, x, 2))),
        ("the tangent's slope averages to 0 at m = BC, so e^(−KL) ≤ BC²", vanishes(p * (r - mean) + (1 - p) * (t - mean))),
        ("1 − (p−q)² − BC² = (√(p(1−p)) − √(q(1−q)))² ≥ 0", vanishes(1 - (p - q) ** square - coefficient - (a - b) ** 2)),
        ("p = 0: KL = −log(1−q) and 1 − q² − (1−q) = q(1−q)", vanishes(1 - q**square - (1 - q) - q * (1 - q))),
    ]
    return symbolic("0 < p, q < 1, and p = 0 or 1 by hand (q = 0 or 1: KL = ∞ or p = q)", steps)


REGION = (2.0**-10, 1 - 2.0**-10)
APART = 2.0**-5
REGION_TEXT = "on 2⁻¹⁰ ≤ p, q ≤ 1 − 2⁻¹⁰ with |p − q| ≥ 2⁻⁵ (q > p, the rest by p ↔ 1 − p, q ↔ 1 − q); not beyond it"


def _coins(p: Interval, q: Interval) -> tuple[Interval, Interval, Interval]:
    """KL(p‖q) and its two partial derivatives."""
    kl = p * iv.log(p / q) + (1 - p) * iv.log((1 - p) / (1 - q))
    return kl, iv.log(p * (1 - q) / ((1 - p) * q)), (q - p) / (q * (1 - q))


def _too_close(p: Interval, q: Interval) -> bool:
    return (q - p < APART) is True


def pinsker_cover(c: float = 2.0, budget: int = 20_000) -> Proof:
    """KL(p‖q) − c(p − q)² > 0, by intervals."""

    def excess(x: Interval) -> Interval:
        return 4 / (1 - (1 - 2 * x) ** 2) - 2 * c  # 1/(x(1−x)) − 2c with x written once

    def gradient(p: Interval, q: Interval) -> tuple[Interval, Interval]:
        between = iv.mpf([min(p.a, q.a), max(p.b, q.b)])  # logit p − logit q = (p − q)/(ξ(1−ξ)), ξ between them
        return (p - q) * excess(between), (q - p) * excess(q)

    cover = certify_positive(
        lambda p, q: _coins(p, q)[0] - c * (p - q) ** 2, [REGION] * 2, gradient=gradient, outside=_too_close, budget=budget
    )
    return interval(f"KL − {c:g}(p − q)² > 0 {REGION_TEXT}", [cover])


def bretagnolle_huber_cover(exponent: float = 1.0, budget: int = 20_000) -> Proof:
    """1 − exp(−exponent·KL(p‖q)) − (p − q)² > 0, by intervals."""

    def gradient(p: Interval, q: Interval) -> tuple[Interval, Interval]:
        kl, in_p, in_q = _coins(p, q)
        scale = exponent * iv.exp(-exponent * kl)
        return scale * in_p - 2 * (p - q), scale * in_q + 2 * (p - q)

    def gap(p: Interval, q: Interval) -> Interval:
        return 1 - iv.exp(-exponent * _coins(p, q)[0]) - (p - q) ** 2

    cover = certify_positive(gap, [REGION] * 2, gradient=gradient, outside=_too_close, budget=budget)
    return interval(f"1 − e^(−{exponent:g}·KL) − (p − q)² > 0 {REGION_TEXT}", [cover])


def crossing(root: float = 1.5936, width: float = 2.0**-10, budget: int = 20_000) -> Proof:
    """KL/2 < 1 − e^{−KL} below the root and > above it, by intervals."""

    def gap(x: Interval) -> Interval:
        return 1 - iv.exp(-x) - x / 2

    def slope(x: Interval) -> tuple[Interval]:
        return (iv.exp(-x) - iv.mpf(0.5),)

    below = certify_positive(gap, [(2.0**-10, root - width)], gradient=slope, budget=budget)
    above = certify_positive(lambda x: -gap(x), [(root + width, 64.0)], budget=budget)
    return interval(
        f"1 − e^(−x) − x/2 is > 0 on [2⁻¹⁰, {root} − 2⁻¹⁰] and < 0 on [{root} + 2⁻¹⁰, 64]; not beyond", [below, above]
    )


IDENTITIES = (
    Identity(
        name="ttm-renyi",
        plain="Tempering teacher and student is tempering the teacher alone, up to a Rényi entropy of the student.",
        latex=r"KL(\hat p_T\|q) = T\,KL(\hat p_T\|q_T) - (T-1) H_{1/T}(q) + (T-1) H(\hat p_T), \quad q_T \propto q^{1/T}",
        source="arXiv 2402.11148",
        prove=ttm_renyi,
    ),
    Identity(
        name="ttm-objective",
        plain="The TTM loss is the distillation loss with a Rényi-entropy regulariser, up to a term without the student.",
        latex=r"L_{TTM} = \frac{L_{KD} - \lambda T(T-1) H_{1/T}(q)}{1-\lambda} + \frac{\lambda T(T-1) H(\hat p_T)}{1-\lambda},"
        r"\quad \beta = \frac{\lambda T}{1-\lambda}",
        source="arXiv 2402.11148",
        prove=ttm_objective,
    ),
    Identity(
        name="wttm-power-sum",
        plain="The sample weight of WTTM lies between 1 (a vertex) and K^(1−γ) (the uniform distribution), both attained.",
        latex=r"1 \le U_\gamma(p) = \sum_c p_c^\gamma \le K^{1-\gamma}, \quad \gamma \in (0, 1]",
        source="arXiv 2402.11148; standard",
        prove=power_sum,
    ),
    Identity(
        name="pinsker-bernoulli",
        plain="Twice the squared difference of two coins is at most their Kullback–Leibler divergence, and 2 is the "
        "best constant.",
        latex=r"2(p-q)^2 \le KL(p\|q)",
        source="standard (Pinsker)",
        prove=pinsker,
    ),
    Identity(
        name="pinsker-bernoulli-cover",
        plain="Pinsker's inequality for coins again, strictly, on a region covered by intervals.",
        latex=r"2(p-q)^2 < KL(p\|q), \quad |p-q| \ge 2^{-5}, \; 2^{-10} \le p, q \le 1 - 2^{-10}",
        source="standard (Pinsker)",
        prove=pinsker_cover,
    ),
    Identity(
        name="bretagnolle-huber-bernoulli",
        plain="The difference of two coins is bounded below 1 whatever their Kullback–Leibler divergence.",
        latex=r"|p-q| \le \sqrt{1 - e^{-KL(p\|q)}}",
        source="standard (Bretagnolle and Huber)",
        prove=bretagnolle_huber,
    ),
    Identity(
        name="bretagnolle-huber-bernoulli-cover",
        plain="The Bretagnolle–Huber inequality for coins again, strictly, on a region covered by intervals.",
        latex=r"|p-q| < \sqrt{1 - e^{-KL(p\|q)}}, \quad |p-q| \ge 2^{-5}, \; 2^{-10} \le p, q \le 1 - 2^{-10}",
        source="standard (Bretagnolle and Huber)",
        prove=bretagnolle_huber_cover,
    ),
    Identity(
        name="pinsker-or-bretagnolle-huber",
        plain="Pinsker's bound on total variation is the smaller of the two below a divergence of about 1.5936, "
        "the larger above it.",
        latex=r"x/2 < 1 - e^{-x} \; (2^{-10} \le x \le 1.5926), \quad x/2 > 1 - e^{-x} \; (1.5946 \le x \le 64)",
        source="standard",
        prove=crossing,
    ),
)
