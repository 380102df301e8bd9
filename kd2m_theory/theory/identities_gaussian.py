"""Closed forms for Gaussians: Wasserstein-2 and Kullback–Leibler, on the line and for covariances that commute."""

from collections.abc import Callable

import sympy as sp

from kd2m_theory.theory.identity import Expr, Identity, Proof, nonnegative, symbolic, vanishes

Formula = Callable[[Expr, Expr, Expr, Expr], Expr]
HALF = sp.Rational(1, 2)
M1, M2, POINT = sp.symbols("μ_1 μ_2 t", real=True)
S1, S2 = sp.symbols("σ_1 σ_2", positive=True)


def density(x: Expr, mean: Expr, deviation: Expr) -> Expr:
    """The density of N(mean, deviation²)."""
    return sp.exp(-((x - mean) ** 2) / (2 * deviation**2)) / (deviation * sp.sqrt(2 * sp.pi))


def expectation(of: Expr) -> Expr:
    """∫ of(t) φ(t) dt over the line, φ the standard normal density."""
    return sp.integrate(sp.expand(sp.expand(of) * density(POINT, 0, 1)), (POINT, -sp.oo, sp.oo))


def eigenbasis(dimension: int) -> Expr:
    """An orthogonal matrix: the rotation by 2 arctan u with symbolic u (d = 2), the reflection along (1, 2, 3) (d = 3)."""
    if dimension == 2:
        u = sp.Symbol("u", real=True)
        return sp.Matrix([[1 - u**2, -2 * u], [2 * u, 1 - u**2]]) / (1 + u**2)
    if dimension != 3:
        raise ValueError(f"no eigenbasis is written down for dimension {dimension}: ask for 2 or 3")
    normal = sp.Matrix([1, 2, 3])
    return sp.eye(dimension) - 2 * normal * normal.T / (normal.T * normal)[0]


def _squared_w2(m1: Expr, m2: Expr, s1: Expr, s2: Expr) -> Expr:
    return (m1 - m2) ** 2 + (s1 - s2) ** 2


def wasserstein_line(closed: Formula = _squared_w2) -> Proof:
    """W₂²(N(μ₁, σ₁²), N(μ₂, σ₂²)) = closed(μ₁, μ₂, σ₁, σ₂)."""
    x = sp.Symbol("x", real=True)
    normal_cdf = (1 + sp.erf(POINT / sp.sqrt(2))) / 2
    cdf = (1 + sp.erf((x - M1) / (S1 * sp.sqrt(2)))) / 2
    quantiles = expectation((M1 + S1 * POINT - M2 - S2 * POINT) ** 2)
    cov, short = sp.Symbol("c", real=True), sp.Symbol("s", nonnegative=True)
    coupled = (M1 - M2) ** 2 + S1**2 + S2**2 - 2 * cov  # E(X − Y)² of any coupling with covariance c
    steps = [
        ("F' is the density", vanishes(sp.diff(cdf, x) - density(x, M1, S1))),
        ("F(−∞) = 0", vanishes(sp.limit(normal_cdf, POINT, -sp.oo))),
        ("F(μ + σt) = Φ(t), Φ' = φ, so F⁻¹(u) = μ + σt at u = Φ(t)", vanishes(cdf.subs(x, M1 + S1 * POINT) - normal_cdf)),
        ("Φ' = φ", vanishes(sp.diff(normal_cdf, POINT) - density(POINT, 0, 1))),
        ("∫₀¹(F⁻¹ − G⁻¹)² du = ∫(μ₁ + σ₁t − μ₂ − σ₂t)² φ(t) dt is the formula", vanishes(quantiles - closed(M1, M2, S1, S2))),
        (
            "every coupling costs at least this: its covariance is c = σ₁σ₂ − s, s ≥ 0 (Cauchy–Schwarz), its cost larger by 2s",
            nonnegative((coupled - closed(M1, M2, S1, S2)).subs(cov, S1 * S2 - short)),
        ),
    ]
    return symbolic("symbolic means and deviations", steps)


def wasserstein_commuting(cross: Expr = 2) -> Proof:
    """tr Σ + tr Σ' − cross·tr(Σ^½ Σ' Σ^½)^½ = Σ_i (√λ_i − √λ'_i)² for Σ, Σ' with one eigenbasis."""
    q, a, b = (sp.Symbol(name, commutative=False) for name in "QAB")

    def turned(x: Expr) -> Expr:
        return q * x * q**-1

    steps = [
        ("any d: QAQ⁻¹QBQ⁻¹ = QABQ⁻¹, so products stay in the eigenbasis", vanishes(turned(a) * turned(b) - turned(a * b)))
    ]
    for d in (2, 3):
        basis = eigenbasis(d)
        roots, others = sp.symbols(f"r:{d}", nonnegative=True), sp.symbols(f"s:{d}", nonnegative=True)
        first, second = (basis * sp.diag(*(r**2 for r in each)) * basis.T for each in (roots, others))
        root = basis * sp.diag(*roots) * basis.T
        middle = basis * sp.diag(*(r * s for r, s in zip(roots, others, strict=True))) * basis.T  # eigenvalues rs ≥ 0: psd
        trace = sp.trace(first + second - cross * middle)
        total = sum((r - s) ** 2 for r, s in zip(roots, others, strict=True))
        steps += [
            (f"d = {d}: QᵀQ = I", vanishes(basis.T * basis - sp.eye(d))),
            ("R = Q diag(√λ) Qᵀ is the psd root of Σ (R² = Σ)", vanishes(root * root - first)),
            ("M = Q diag(√(λλ')) Qᵀ is the psd root of RΣ'R", vanishes(middle * middle - root * second * root)),
            ("the trace formula is Σ(√λ − √λ')²", vanishes(trace - total)),
        ]
    return symbolic("symbolic eigenvalues ≥ 0; d = 2: any rotation, d = 3: one reflection", steps)


def _kl(m1: Expr, m2: Expr, s1: Expr, s2: Expr) -> Expr:
    return sp.log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - HALF


def divergence_line(closed: Formula = _kl) -> Proof:
    """KL(N(μ₁, σ₁²)‖N(μ₂, σ₂²)) = closed(μ₁, μ₂, σ₁, σ₂)."""
    at = M1 + S1 * POINT
    ratio = sp.expand(sp.expand_log(sp.log(density(at, M1, S1)) - sp.log(density(at, M2, S2)), force=True))
    steps = [
        ("dx = σ₁ dt turns the density into φ(t)", vanishes(S1 * density(at, M1, S1) - density(POINT, 0, 1))),
        ("log n₁ − log n₂ is a polynomial of degree 2 in t", bool(sp.Poly(ratio, POINT).degree() == 2)),
        ("∫ (log n₁ − log n₂) φ dt is the formula", vanishes(expectation(ratio) - closed(M1, M2, S1, S2))),
        ("it is 0 between equal laws", vanishes(closed(M1, M1, S1, S1))),
    ]
    return symbolic("symbolic means and deviations", steps)


def divergence_commuting(logdet: Expr = HALF) -> Proof:
    """½[tr Σ'⁻¹Σ − d + δᵀΣ'⁻¹δ] + logdet·log(det Σ'/det Σ) is the sum of the KL along the eigenvectors."""
    steps = []
    for d in (2, 3):
        basis = eigenbasis(d)
        roots, others = sp.symbols(f"r:{d}", positive=True), sp.symbols(f"s:{d}", positive=True)
        shift = sp.Matrix(sp.symbols(f"m:{d}", real=True))
        first = basis * sp.diag(*(r**2 for r in roots)) * basis.T
        second = basis * sp.diag(*(s**2 for s in others)) * basis.T
        inverse = basis * sp.diag(*(s**-2 for s in others)) * basis.T
        along = basis.T * shift
        quadratic = (sp.trace(inverse * first) - d + (shift.T * inverse * shift)[0]) / 2
        log_volume = sum(sp.log(s**2) - sp.log(r**2) for r, s in zip(roots, others, strict=True))
        lines = sum(_kl(m, 0, r, s) for m, r, s in zip(along, roots, others, strict=True))
        volumes = [vanishes(m.det() - sp.prod([r**2 for r in each])) for m, each in ((first, roots), (second, others))]
        steps += [
            (f"d = {d}: Σ'⁻¹ is Q diag(1/λ') Qᵀ", vanishes(second * inverse - sp.eye(d))),
            ("log det Σ is Σ log λ", all(volumes)),
            ("the matrix formula is the sum over the eigenvectors", vanishes(quadratic + logdet * log_volume - lines)),
        ]
    return symbolic("symbolic eigenvalues > 0 and mean differences; d = 2: any rotation, d = 3: one reflection", steps)


IDENTITIES = (
    Identity(
        name="gaussian-w2-line",
        plain="On the line the Wasserstein-2 distance of two normal laws is that of the points (μ, σ).",
        latex=r"W_2^2(N(\mu_1,\sigma_1^2), N(\mu_2,\sigma_2^2)) = (\mu_1-\mu_2)^2 + (\sigma_1-\sigma_2)^2",
        source="standard (Dowson and Landau)",
        prove=wasserstein_line,
    ),
    Identity(
        name="gaussian-w2-commuting",
        plain="With a common eigenbasis the trace formula of the Gaussian Wasserstein-2 distance is a sum over eigenvectors.",
        latex=r"tr(\Sigma + \Sigma' - 2(\Sigma^{1/2}\Sigma'\Sigma^{1/2})^{1/2}) = \sum_i (\sqrt{\lambda_i} - "
        r"\sqrt{\lambda'_i})^2",
        source="standard (Dowson and Landau; Gelbrich)",
        prove=wasserstein_commuting,
    ),
    Identity(
        name="gaussian-kl-line",
        plain="The Kullback–Leibler divergence of two normal laws on the line, from the integral.",
        latex=r"KL = \log\frac{\sigma_2}{\sigma_1} + \frac{\sigma_1^2 + (\mu_1-\mu_2)^2}{2\sigma_2^2} - \frac12",
        source="standard",
        prove=divergence_line,
    ),
    Identity(
        name="gaussian-kl-commuting",
        plain="With a common eigenbasis the Gaussian Kullback–Leibler divergence is the sum of those along the eigenvectors.",
        latex=r"\tfrac12[tr(\Sigma'^{-1}\Sigma) - d + \delta^T\Sigma'^{-1}\delta + \log\tfrac{\det\Sigma'}{\det\Sigma}]"
        r" = \sum_i KL(N(\langle q_i,\delta\rangle, \lambda_i) \| N(0, \lambda'_i))",
        source="standard",
        prove=divergence_commuting,
    ),
)
