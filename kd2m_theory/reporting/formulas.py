"""Formulas of a page as MathML, and every symbol in them in words.

The LaTeX of a formula is the package's own (`Row.latex`), never text from outside.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from latex2mathml.converter import convert

from kd2m_theory.reporting.html import Html, element, join


@dataclass(frozen=True, slots=True)
class Symbol:
    """A symbol of a formula.

    Attributes:
        latex: how it is shown where it is explained.
        words: what it is.
        pattern: what of a formula it explains, as a regular expression; the symbol itself if empty.
        rows: the families of rows ("T6") in which it means this; all if empty.
    """

    latex: str
    words: str
    pattern: str = ""
    rows: tuple[str, ...] = ()


# The first that fits explains what stands at a place of a formula: longer patterns come before the parts of them, and what a
# letter means in some rows only before what it means elsewhere.
SYMBOLS = (
    Symbol(
        "R_S",
        "mean loss (risk) of the student: cross-entropy in nats, clipped in rows about the population; the squared loss in T6, "
        "F4.brier and F5.brier",
    ),
    Symbol("R_T", "the same of the teacher"),
    Symbol(r"\hat R_T", "mean clipped loss of the teacher on these samples"),
    Symbol(r"\mathrm{err}_S", "error rate of the student"),
    Symbol(r"\mathrm{err}_T", "error rate of the teacher"),
    Symbol(r"\widehat{\mathrm{err}}_T", "error rate of the teacher on these samples"),
    Symbol(r"\hat y_S", "class that the student predicts"),
    Symbol(r"\hat y_T", "class that the teacher predicts"),
    Symbol(r"Y'", "label of the teacher's input in a pair of inputs that a coupling γ makes"),
    Symbol("U_y", "change of the loss from teacher to student if the label is y"),
    Symbol(r"\ell_S", "cross-entropy of the student on an input, as a function of the label", r"\\ell_S"),
    Symbol(r"\ell_T", "cross-entropy of the teacher on an input, as a function of the label", r"\\ell_T"),
    Symbol(r"\ell", "cross-entropy", r"\\ell(?![a-z_])"),
    Symbol(r"h(Z_T)", "the teacher's head, applied to its features", r"h(?=\(Z_T\))"),
    Symbol("Z_S", "features of the student; in rows about logits its logits, and W is then the unit matrix"),
    Symbol("Z_T", "features of the teacher; in rows about logits its logits, and W is then the unit matrix"),
    Symbol("g_S", "the student as a map from inputs to features"),
    Symbol("g_T", "the teacher as a map from inputs to features"),
    Symbol(r"\|\cdot\|_{L_1}", "mean length over the inputs", r"_\{L_1\}"),
    Symbol(r"\|\cdot\|_{L_2}", "root mean square length over the inputs", r"_\{L_2\}"),
    Symbol(r"\|\cdot\|_{op}", "spectral norm: the largest singular value", r"_\{op\}"),
    Symbol(r"\|\cdot\|_F", "Frobenius norm: the root of the sum of the squared entries", r"\\\|_F"),
    Symbol(r"\|f\|_H", "norm of the loss in the kernel's space of functions", r"\\\|f\\\|_H"),
    Symbol(r"\nu_y", "largest change of the loss of class y that a change of the logits can make", r"\\nu_[yY]"),
    Symbol(
        r"W_1(\nu_y)",
        "transport cost from the student's points of class y to the teacher's, a pair costing ν",
        r"W_1(?=\(\\nu)",
    ),
    Symbol(
        r"W_{\min(\cdot)}",
        "transport cost of the points of a class, a pair costing at most the constant in the index",
        r"W_(?=\{\\min)",
    ),
    Symbol(r"W_1^y", "Wasserstein distance (W₁) of the features of class y"),
    Symbol(r"W_2^y", "Wasserstein distance of second order (W₂) of the features of class y"),
    Symbol("W_1", "Wasserstein distance: the least mean distance over all ways to match student and teacher points"),
    Symbol(r"W_2", "Wasserstein distance of second order: the root of the least mean squared distance", "W_2"),
    Symbol(r"CW_2", "class-conditional W₂ as KD²M trains it: the root of the mean over classes of squared W₂"),
    Symbol("W", "weight matrix of the head that both networks share", r"W(?!_)"),
    Symbol(r"L(k)", "lower Clopper–Pearson limit at k inputs out of n", r"L(?=\(k)", ("F1",)),
    Symbol(r"U(k)", "upper Clopper–Pearson limit at k inputs out of n", r"U(?=\(k)", ("F1",)),
    Symbol("k", "number of samples with the property that the formula states", r"k(?:_[ST])?(?![a-z])", ("F1",)),
    Symbol(r"\#", "number of samples with the property in braces"),
    Symbol("L_y", "steepness (Lipschitz constant) of the loss of class y in the features or logits", "L_[yY]"),
    Symbol("L", "steepness (Lipschitz constant) of the loss in the features or logits", r"L(?!_|\(k)"),
    Symbol(r"n_c", "number of classes that occur"),
    Symbol(r"\pi_y", "share of class y among the samples", r"(?:\\hat\s?)?\\pi(?:_y)?(?![a-z_])"),
    Symbol(r"I_\delta", "interval that has the mean of what stands in brackets with probability 1 − δ", "", ("F1",)),
    Symbol(r"I_\delta", "all class shares of the population that the samples do not exclude at δ", "", ("T7",)),
    Symbol(r"r(\delta)", "radius: what is added for chance, at failure probability δ", r"r(?=\(\\delta\))"),
    Symbol(r"\delta", "failure probability of this row, its share of that of the audit", r"\\delta"),
    Symbol(r"\hat D", "what the row after the dot (T0, T1, …) says of these samples: how much the student can lose"),
    Symbol("B", "where the loss is clipped, in nats", "B"),
    Symbol(r"\widehat{\mathrm{MMD}}", "maximum mean discrepancy of student and teacher predictions on these samples"),
    Symbol(r"\Delta\Sigma", "difference of the covariance matrices (of class y)", r"\\Delta\\Sigma(?:_y)?"),
    Symbol(r"\Delta\mu", "difference of the mean vectors (of class y)", r"\\Delta\\mu(?:_y)?"),
    Symbol(r"\Sigma_S", "covariance matrix of the student's points (of class y)", r"\\Sigma_S(?:\^y)?"),
    Symbol(r"\Sigma_T", "covariance matrix of the teacher's points (of class y)", r"\\Sigma_T(?:\^y)?"),
    Symbol(r"\mathrm{tr}", "trace: the sum of the diagonal"),
    Symbol(r"^\top", "transpose", r"\^\\top"),
    Symbol(
        r"\Delta",
        "change of the logits from teacher to student; with an index, of one class's logit",
        r"\\Delta(?:_[cyY])?(?!\\)",
    ),
    Symbol(r"\gamma", "coupling: a way to match student and teacher points; the best one is found by transport", r"\\gamma"),
    Symbol(r"a^S_Y", "logit that the student gives to the label"),
    Symbol(r"a^T_Y", "logit that the teacher gives to a label", r"a\^T_(?:Y|\{Y'\})"),
    Symbol(
        r"\varphi",
        "the loss along the segment from the teacher's logits (0) to the student's (1); φ′ its slope, φ″ its curvature",
        r"\\varphi'*",
    ),
    Symbol("s", "rise of the slope along the segment", "s(?![a-z])", ("T5",)),
    Symbol("M", "largest curvature possible", "M", ("T5",)),
    Symbol(r"\mathrm{range}", "largest less least entry of the change of the logits", r"\\mathrm\{range\}"),
    Symbol("r", "largest less least entry of the change of the logits", r"r(?![a-z_])", ("T5",)),
    Symbol("g(r)", "weight of the curvature in the upper bound, defined in the formula", r"g(?=\(-?r\))", ("T5",)),
    Symbol("h(r)", "weight of the curvature in the lower bound, defined in the formula", r"h(?=\(r\))", ("T5",)),
    Symbol("X", "largest area under the slope that its values and curvatures at both ends allow", r"X(?=[(=])", ("T5",)),
    Symbol(
        "P_0",
        "mean of the change of the logits less its least entry, under the teacher's predictions (0) or the student's (1)",
        "P(?:_[01])?(?![_(A-Z])",
        ("T5",),
    ),
    Symbol(
        "Q_0",
        "largest entry of the change of the logits less its mean, under the teacher's predictions (0) or the student's (1)",
        "Q(?:_[01])?",
        ("T5",),
    ),
    Symbol(
        r"\kappa",
        "variance of the change of the logits under the predictions on the segment; at the teacher's end (0) or the "
        "student's (1)",
        r"\\kappa(?:_[01])?",
    ),
    Symbol(
        r"\mu",
        "mean of the change of the logits under the predictions on the segment; at the teacher's end (0)",
        r"\\mu(?:_0)?",
        ("T5",),
    ),
    Symbol("t", "place on the segment, from 0 to 1", r"t(?![a-z])", ("T5",)),
    Symbol("d", "differential", r"d(?=t|\\kappa|\\mu)", ("T5",)),
    Symbol("a, b", "logarithms of quotients, defined in the formula", "[ab]", ("T5",)),
    Symbol(r"\lambda", "weight of the teacher's known risk; every number ≥ 0 gives a bound, the best is taken", r"\\lambda"),
    Symbol(r"\rho", "largest risk that the teacher is known to have", r"\\rho", ("T0", "F3")),
    Symbol(r"r_\rho", "ramp: 1 where the margin is ≤ 0, 0 from ρ on, and straight in between", r"r_\\rho", ("T8",)),
    Symbol(r"\rho", "width of the ramp; the best of a grid is taken", r"\\rho", ("T8",)),
    Symbol("m_T", "margin of the teacher: the logit of the label less the largest other logit"),
    Symbol(
        "P_S^y",
        "law of the student's features or predictions (of class y); with a hat, that of the samples",
        r"(?:\\hat\s)?P_S(?:\^y)?",
    ),
    Symbol(
        "P_T^y",
        "law of the teacher's features or predictions (of class y); with a hat, that of the samples",
        r"(?:\\hat\s)?P_T(?:\^y)?",
    ),
    Symbol("p_S", "probabilities that the student predicts", "p_S"),
    Symbol("p_T", "probabilities that the teacher predicts", "p_T"),
    Symbol(r"\hat p_T", "probabilities that the teacher predicts at the given temperature"),
    Symbol("t", "defined in the formula: the mean Kullback–Leibler divergence", r"t(?![a-z])", ("T9",)),
    Symbol(r"\mathrm{TV}", "total variation: half the sum of absolute differences of probabilities", r"\\mathrm\{TV\}"),
    Symbol(r"\mathrm{KL}", "Kullback–Leibler divergence (of class y), in nats", r"\\mathrm\{KL\}(?:_y)?"),
    Symbol(r"1\{Y=c\}", "1 if the label is c, else 0", r"1(?=\\\{Y=c\\\})"),
    Symbol("d", "share of the inputs on which the two networks predict different classes", r"d(?![a-z])", ("T0", "F3")),
    Symbol("e", "error rate of the teacher, as far as it is known", r"e(?![a-z_^])", ("T0", "F3")),
    Symbol("(x)_+", "x if it is positive, else 0", r"_\+"),
    Symbol("z_0", "centre: half way between the mean feature vectors", "z_0", ("T6",)),
    Symbol("b", "bias of the head", r"b(?![a-z])", ("T6",)),
    Symbol("e_y", "vector with 1 at class y and 0 elsewhere", "e_y"),
    Symbol(r"\bar p", "half way between the mean predictions of the two networks", r"\\bar p", ("T6",)),
    Symbol("C", "centring matrix, which takes the mean off a vector; defined in the formula", "C(?!W)", ("T6",)),
    Symbol("I", "unit matrix", r"I(?!_)", ("T6",)),
    Symbol("11^T", "square matrix of ones", r"11(?=\^\\top)", ("T6",)),
    Symbol("e^x", "exponential function", r"e(?=\^)"),
    Symbol("n", "number of samples", r"n(?![a-z_])"),
    Symbol("K", "number of classes", "K"),
    Symbol(
        "P(\\cdot)",
        "share of the samples, or probability in the population, for which the condition holds; with a hat, on these samples",
        r"(?:\\hat )?P(?=\()",
    ),
    Symbol(
        "E", "mean over the samples; over the population in rows F1 to F5; over matched pairs where γ stands beside it", r"E"
    ),
    Symbol("X", "an input", r"X(?!\()"),
    Symbol("Y", "label of an input", r"Y(?!')"),
    Symbol("y, c", "a class", r"[yc](?![a-z])"),
)

# What the language of mathematics has for everybody: relations, operations, brackets, spacing, digits.
_EVERYBODY = re.compile(
    r"\\(?:le|ge|ne|in|min|max|sup|sum|int|sqrt|ln|frac|tfrac|tfrac(?=1)|left|right|quad|mid|Bigl|Bigr|bigl|bigr|hat|top)(?![a-zA-Z])"
    r"|\\[,;! |{}]|[-+=<>/|().,:;\[\]{}_^\s]|[0-9]"
)


_LABEL = re.compile(r"_\{?(Y'?)")


@cache
def symbols_of(latex: str, row: str) -> tuple[Symbol, ...]:
    """Every symbol of a formula, in the order of the table.

    Args:
        latex: the formula.
        row: name of the row that it belongs to, such as "T5.sharp".

    Raises:
        ValueError: a part of the formula that is neither explained nor known to everybody.

    Example:
        >>> [symbol.latex for symbol in symbols_of(r"|R_S-R_T| \\le L\\,W_1(P_S,P_T)", "T4")]
        ['R_S', 'R_T', 'W_1', 'L', 'P_S^y', 'P_T^y']
    """
    found = set(_read(latex, row.partition(".")[0]))
    return tuple(symbol for symbol in SYMBOLS if symbol in found)


def _read(latex: str, family: str) -> Iterator[Symbol]:
    known = [(symbol, _pattern(symbol)) for symbol in SYMBOLS if not symbol.rows or family in symbol.rows]
    place = 0
    while place < len(latex):
        symbol, match = next(
            ((symbol, match) for symbol, pattern in known if (match := pattern.match(latex, place))),
            (None, _EVERYBODY.match(latex, place)),
        )
        if match is None:
            raise ValueError(f"nothing explains {latex[place : place + 12]!r} in the formula {latex!r} of {family}")
        if symbol is not None:
            yield symbol
            # An index that is a label, as in ν_Y, needs its own explanation.
            yield from (each for each, pattern in known for index in _LABEL.findall(match[0]) if pattern.fullmatch(index))
        place = match.end()


@cache
def _pattern(symbol: Symbol) -> re.Pattern[str]:
    return re.compile(symbol.pattern or re.escape(symbol.latex))


@cache
def mathml(latex: str, *, block: bool = False) -> Html:
    """A formula of the package as MathML, which browsers draw and read out.

    Args:
        latex: the formula.
        block: whether it has a line of its own.
    """
    # Every part stands inside the element of its name, and the converter escapes what it puts there.
    return Html(convert(latex, display="block" if block else "inline"))


@cache
def formula(latex: str, row: str) -> Html:
    """The formula of a row, and folded below it what its symbols mean."""
    shown = element(
        "div", mathml(latex, block=True), class_="formula", tabindex="0", role="group", aria_label=f"Formula of {row}"
    )
    symbols = element("details", element("summary", f"Symbols of {row}"), _list(symbols_of(latex, row)), class_="symbols")
    return join((shown, symbols))


def glossary(formulas: Mapping[str, str]) -> Html:
    """Every symbol of some formulas, by the names of their rows."""
    used = {symbol for row, latex in formulas.items() for symbol in symbols_of(latex, row)}
    return element("div", _list([symbol for symbol in SYMBOLS if symbol in used]), class_="glossary")


def _list(symbols: Sequence[Symbol]) -> Html:
    explained = []
    for symbol in symbols:
        where = f" (in {', '.join(symbol.rows)})" if symbol.rows else ""
        explained += [element("dt", mathml(symbol.latex)), element("dd", symbol.words + where)]
    return element("dl", *explained)
