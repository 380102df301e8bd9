"""Kernels: the linear one, the Gaussian one, and the polynomial one that holds the squared loss."""

from collections.abc import Callable, Sequence

import sympy as sp

from kd2m_theory.theory.identity import Expr, Identity, Proof, nonnegative, symbolic, vanishes

Kernel = Callable[[Expr, Expr], Expr]


def inner(x: Expr, y: Expr) -> Expr:
    """The inner product of two columns."""
    return (x.T * y)[0]


def column(name: str, size: int) -> Expr:
    """A column of real symbols."""
    return sp.Matrix(sp.symbols(f"{name}:{size}", real=True))


def squared_mmd(kernel: Kernel, x: Sequence[Expr], y: Sequence[Expr], a: Sequence[Expr], b: Sequence[Expr]) -> Expr:
    """Σ a a' k(x, x') − 2 Σ a b k(x, y) + Σ b b' k(y, y') for points x, y with weights a, b."""
    points, signed = [*x, *y], [*a, *(-w for w in b)]
    return sum(u * v * kernel(p, q) for p, u in zip(points, signed, strict=True) for q, v in zip(points, signed, strict=True))


def weights(name: str, size: int) -> list[Expr]:
    """Symbolic weights that sum to one."""
    free = sp.symbols(f"{name}:{size - 1}", real=True)
    return [*free, 1 - sum(free)]


def linear_mmd(power: Expr = 1) -> Proof:
    """MMD² of two weighted samples under the kernel ⟨x, y⟩^power is the squared distance of their means."""
    steps = []
    for n, m, d in ((2, 2, 1), (3, 2, 2), (3, 4, 3)):
        x, y = ([column(f"{name}{i}_", d) for i in range(size)] for name, size in (("x", n), ("y", m)))
        a, b = weights("a", n), weights("b", m)
        means = [sum((w * p for w, p in zip(ws, ps, strict=True)), sp.zeros(d, 1)) for ws, ps in ((a, x), (b, y))]
        squared = squared_mmd(lambda p, q: inner(p, q) ** power, x, y, a, b)
        gap = means[0] - means[1]
        steps.append((f"n = {n}, m = {m}, d = {d}: MMD² − ‖mean x − mean y‖² = 0", vanishes(squared - inner(gap, gap))))
    return symbolic("symbolic points, and weights that sum to 1", steps)


def rbf_lipschitz(constant: Callable[[Expr], Expr] = lambda sigma: 1 / sigma, halves: Expr = 2) -> Proof:
    """‖φ(z) − φ(z')‖ = √(2 − 2exp(−r²/(halves·σ²))) ≤ constant(σ)·r for r = ‖z − z'‖, with equality as r → 0."""
    r, x, sigma = (sp.Symbol(name, positive=True) for name in ("r", "x", "σ"))
    kernel = sp.exp(-(r**2) / (halves * sigma**2))
    squared = kernel.subs(r, 0) - 2 * kernel + kernel.subs(r, 0)  # k(z,z) − 2k(z,z') + k(z',z')
    slack = x - 1 + sp.exp(-x)
    slope = sp.diff(slack, x)
    at = r**2 / (halves * sigma**2)
    steps = [
        ("x − 1 + e^(−x) and its slope are 0 at 0", vanishes(slack.subs(x, 0)) and vanishes(slope.subs(x, 0))),
        ("its second derivative is > 0, so 1 − e^(−x) ≤ x for x ≥ 0", nonnegative(sp.diff(slope, x))),
        ("‖φ(z) − φ(z')‖² = 2(1 − e^(−x)) at x = r²/(2σ²)", vanishes(squared - 2 * (x - slack).subs(x, at))),
        ("2x ≤ (r/σ)²", nonnegative((constant(sigma) * r) ** 2 - 2 * at)),
        ("‖φ(z) − φ(z')‖²/r² → (1/σ)² as r → 0", vanishes(sp.limit(squared / r**2, r, 0) - constant(sigma) ** 2)),
    ]
    return symbolic("symbolic r and σ", steps)


def polynomial_features(z: Expr, c: Expr) -> list[Expr]:
    """The features of (⟨z, z'⟩ + c)²: z_i², √2 z_i z_j for i < j, √(2c) z_i, and the constant c last."""
    d = len(z)
    squares = [z[i] ** 2 for i in range(d)] + [sp.sqrt(2) * z[i] * z[j] for i in range(d) for j in range(i + 1, d)]
    return [*squares, *(sp.sqrt(2 * c) * z[i] for i in range(d)), c]


def _squared_norm(w: Expr, residual: Expr, c: Expr) -> Expr:
    gram, linear = w.T * w, 2 * w.T * residual
    return sum(entry**2 for entry in gram) + inner(linear, linear) / (2 * c)


def polynomial_rkhs_norm(squared_norm: Callable[[Expr, Expr, Expr], Expr] = _squared_norm, degree: int = 2) -> Proof:
    """‖Wz + b − e_y‖² less its constant has, in the space of (⟨z,z'⟩ + c)^degree, that squared norm."""
    c = sp.Symbol("c", positive=True)
    steps = []
    for d, classes in ((1, 2), (2, 2), (3, 3)):
        case = f"d = {d}, K = {classes}: "
        z, other, b = column("z", d), column("t", d), column("b", classes)
        w = sp.Matrix(classes, d, sp.symbols(f"w:{classes * d}", real=True))
        residual = b - sp.Matrix([1] + [0] * (classes - 1))  # y = 0; another y renames the rows
        features, others = polynomial_features(z, c), polynomial_features(other, c)
        product = sum(p * q for p, q in zip(features, others, strict=True))
        monomials = sorted({m for f in features for m in sp.Poly(f, *z).monoms()})
        table = sp.Matrix([[sp.Poly(f, *z).coeff_monomial(m) for m in monomials] for f in features])
        loss = sp.expand(inner(w * z + residual, w * z + residual))
        found = sp.Poly(loss, *z)
        row = sp.Matrix([[found.coeff_monomial(m) for m in monomials]])
        coefficients = list(row * table.inv()) if table.is_square and table.det() != 0 else []
        reproduced = sum((f * u for f, u in zip(features, coefficients, strict=False)), sp.Integer(0))
        without_constant = sum((u**2 for u in coefficients[:-1]), sp.Integer(0))
        steps += [
            (case + "⟨φ(z), φ(z')⟩ = k(z, z')", vanishes(product - (inner(z, other) + c) ** degree)),
            (
                "the features are linearly independent polynomials, so coefficients are unique and their norm is the norm",
                bool(coefficients),
            ),
            ("the loss is ⟨f, φ(z)⟩", vanishes(loss - reproduced)),
            ("all of f but the constant has the stated norm", vanishes(without_constant - squared_norm(w, residual, c))),
        ]
    u, v = sp.symbols("u v", real=True)
    steps.append(
        (
            "writing z_i z_j and z_j z_i apart only adds to it: u² + v² ≥ 2((u + v)/2)²",
            nonnegative(sp.factor(u**2 + v**2 - 2 * ((u + v) / 2) ** 2)),
        )
    )
    return symbolic("symbolic W, b, z and c > 0", steps)


def constant_drops(mass: Expr = 1) -> Proof:
    """E_P ℓ − E_Q ℓ = ⟨f without its constant, E_P φ − E_Q φ⟩ for weights that sum to 1 (P) and to `mass` (Q)."""
    c = sp.Symbol("c", positive=True)
    d = 2
    x, y = ([column(f"{name}{i}_", d) for i in range(2)] for name in "xy")
    a, b = weights("a", 2), [mass * w for w in weights("b", 2)]
    difference = [
        sum(w * f for w, f in zip([*a, *(-v for v in b)], column_of, strict=True))
        for column_of in zip(*(polynomial_features(p, c) for p in (*x, *y)), strict=True)
    ]
    w, residual = sp.Matrix(2, d, sp.symbols("w:4", real=True)), column("r", 2)
    gram, linear = w.T * w, 2 * w.T * residual
    f = [gram[0, 0], gram[1, 1], sp.sqrt(2) * gram[0, 1], *(e / sp.sqrt(2 * c) for e in linear)]

    def loss(z: Expr) -> Expr:
        return inner(w * z + residual, w * z + residual)

    risks = sum(u * loss(p) for u, p in zip(a, x, strict=True)) - sum(u * loss(p) for u, p in zip(b, y, strict=True))
    mmd = squared_mmd(lambda p, q: (inner(p, q) + c) ** 2, x, y, a, b)
    steps = [
        ("the constant feature has the mean c under both, so no part in E_P φ − E_Q φ", vanishes(difference[-1])),
        ("‖E_P φ − E_Q φ‖² without it is MMD²", vanishes(sum(e**2 for e in difference[:-1]) - mmd)),
        (
            "E_P ℓ − E_Q ℓ = ⟨f, E_P φ − E_Q φ⟩ without it",
            vanishes(risks - sum(p * q for p, q in zip(f, difference, strict=False))),
        ),
    ]
    return symbolic("two points each in d = 2, symbolic weights that sum to 1 (Cauchy–Schwarz then gives the bound)", steps)


IDENTITIES = (
    Identity(
        name="mmd-linear",
        plain="Under the linear kernel the maximum mean discrepancy is the distance of the means.",
        latex=r"MMD_{\langle\cdot,\cdot\rangle}(P, Q) = \|E_P z - E_Q z\|",
        source="standard (Gretton et al. 2012)",
        prove=linear_mmd,
    ),
    Identity(
        name="rbf-lipschitz",
        plain="The feature map of the Gaussian kernel is 1/σ-Lipschitz, and this constant is reached by near points.",
        latex=r"\|\varphi(z)-\varphi(z')\| = \sqrt{2-2e^{-r^2/(2\sigma^2)}} \le r/\sigma",
        source="standard",
        prove=rbf_lipschitz,
    ),
    Identity(
        name="polynomial-rkhs-norm",
        plain="The squared loss of a linear head lies in the space of the quadratic kernel, with a norm that can be computed.",
        latex=r"\|f_y\|_H^2 = \|W^TW\|_F^2 + \|2W^T(b-e_y)\|^2/(2c), \quad k(z,z') = (\langle z,z'\rangle + c)^2",
        source="standard (reproducing property)",
        prove=polynomial_rkhs_norm,
    ),
    Identity(
        name="polynomial-constant",
        plain="The constant part of that loss has no part in a difference of risks, as both laws have mass one.",
        latex=r"E_P\ell - E_Q\ell = \langle f_y, E_P\varphi - E_Q\varphi\rangle_H \le \|f_y\|_H\,MMD(P, Q)",
        source="standard (reproducing property)",
        prove=constant_drops,
    ),
)
