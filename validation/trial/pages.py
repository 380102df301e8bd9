"""The catalogue for people: the list, and one page per theorem, as sections."""

import math
from collections.abc import Iterator, Sequence

from kd2m_theory.assumptions import ABOUT
from kd2m_theory.bounds import ROWS, Row
from kd2m_theory.bounds.targets import SUBJECTS
from kd2m_theory.reporting.sections import Code, Column, Line, Paragraph, Section, Table, columns, paragraph
from kd2m_theory.theory.catalogue import theorem as theorem_called
from kd2m_theory.theory.catalogue import theorems
from kd2m_theory.theory.statement import Form, Hypothesis, Sides, Theorem
from kd2m_theory.validation.trial.falsifier import ratio_beyond_rounding
from kd2m_theory.words import number

# A bound this much smaller than the gap is zero but for rounding, and the number of times that it is exceeded says nothing.
_ROUNDING = 1e-9


def listing(catalogue: Sequence[Theorem] | None = None) -> list[Section]:
    """One line per theorem."""
    lines = tuple(
        Line(
            cells=(
                theorem.name,
                theorem.title,
                theorem.direction,
                "certain" if theorem.level == "deterministic" else "1 − δ",
                theorem.verdict,
            ),
            tone="plain" if theorem.verdict == "proved" else "warning",
        )
        for theorem in (theorems() if catalogue is None else catalogue)
    )
    table = Table(name="theorems", columns=columns("name", "title", "direction", "level", "verdict"), lines=lines)
    return [Section(title="", parts=(table,))]


def page_of(name: str) -> list[Section]:
    """Everything about a theorem; of a row of an audit, what it says, and everything about its theorem.

    Args:
        name: of a theorem or a row, in any case of letters.

    Raises:
        InputError: there is neither.

    Example:
        >>> [section.title for section in page_of("T2.logits.head_aware")][:2]
        ['Row T2.logits.head_aware', 'T2: class-conditional transport']
    """
    row = next((row for row in ROWS if row.name.lower() == name.lower()), None)
    if row is None or row.name in {theorem.name for theorem in theorems()}:
        return page(theorem_called(name))
    about = Section(
        title=f"Row {row.name}",
        parts=(
            paragraph(row.sentence),
            Code(row.latex, "latex"),
            paragraph(f"Target: {SUBJECTS[row.target].words}", tone="muted"),
        ),
    )
    return [about, *page(theorem_of(row))]


def theorem_of(row: Row) -> Theorem:
    """The theorem that a row computes.

    Rows on logits compute the form that is named without "logits"; rows that need several theorems have the name of one.

    Example:
        >>> [theorem_of(row).name for row in ROWS if row.name in ("T5.logits.sharp", "T1.literal", "F3.T0", "T0.teacher_risk")]
        ['T0.known', 'KD2M.theorem', 'T5.sharp', 'F3']
    """
    form = row.name.replace(".logits", "")
    owners = {each.name: theorem for theorem in theorems() for each in theorem.forms}
    return owners[form] if form in owners else theorem_called(row.name.partition(".")[0])


def page(theorem: Theorem) -> list[Section]:
    """Everything about one theorem."""
    statement = (
        paragraph(f"{theorem.verdict}; {theorem.direction}; {theorem.level}", tone="muted"),
        paragraph(theorem.plain),
        Code(theorem.latex, "latex"),
        paragraph(f"Source: {theorem.source}"),
    )
    forms = Table(
        name="forms",
        columns=(Column("form"), Column("gap / bound", numeric=True), Column("")),
        lines=tuple(_form(theorem, form) for form in theorem.forms),
        caption="Tightest first. The ratio is the one on the witness.",
    )
    mutants = Table(
        name="mutants",
        columns=(Column("form"), Column("mutant", folds=True)),
        lines=tuple(Line((mutant.form, mutant.name)) for mutant in theorem.all_mutants()),
        caption="Every one of these wrong versions must be refuted (kd2m theory power).",
    )
    return [
        Section(title=f"{theorem.name}: {theorem.title}", parts=statement),
        Section(title=proof_title(theorem), parts=tuple(_proof(theorem))),
        Section(title="Forms", parts=(forms,)),
        _hypotheses(theorem),
        Section(title="Mutants", parts=(mutants,)),
    ]


def proof_title(theorem: Theorem) -> str:
    """The heading over a theorem's proof."""
    return "Proof" if theorem.verdict == "proved" else "Why the usual proof fails"


def attained(theorem: Theorem, form: Form) -> str:
    """What a form says on its witness, in words.

    Example:
        >>> from kd2m_theory.theory.catalogue import theorem
        >>> print(attained(theorem("T0"), theorem("T0").form("T0.error")))
        The gap is 0.5, and the bound 0.5: the teacher is right wherever they differ.
        >>> print(attained(theorem("F6"), theorem("F6").form("F6.union")))
        The form fails with probability 0.05, where δ = 0.05: exclusive events, each just rarer than its level, one draw.
    """
    whole = form.sides(form.witness.make())
    gap, upper, lower = _ends(whole)
    words = _sentence(form.witness.words)
    if theorem.level != "deterministic":
        return f"The form fails with probability {number(gap)}, where δ = {number(upper, 6)}: {words}"
    # The side that the witness comes closest to.
    below = whole.lower is not None and abs(gap - lower) < abs(gap - upper)
    bound = f"the lower bound {number(lower)}" if below else f"the bound {number(math.copysign(upper, gap or upper))}"
    return f"The gap is {number(gap)}, and {bound}: {words}"


def broken(theorem: Theorem, hypothesis: Hypothesis) -> str:
    """What a form says on the counterexample of a hypothesis, in words: a bound of zero is exceeded, but not so many times.

    Example:
        >>> from kd2m_theory.theory.catalogue import theorem
        >>> print(broken(theorem("T2"), theorem("T2").hypotheses[0]))
        T2.head_aware says that the gap is 0, and it is 6.
        >>> print(broken(theorem("T2"), theorem("T2").hypotheses[2]))
        T2.head_aware says that the gap lies between −6 and 6, and it is 12: 2 times as large as allowed.
        >>> print(broken(theorem("F6"), theorem("F6").hypotheses[0]))
        F6.union fails with probability 0.8, where δ = 0.05: 16 times as often as allowed.
    """
    form, instance = theorem.form(hypothesis.counterexample.form), hypothesis.counterexample.make()
    gap, upper, lower = _ends(form.sides(instance))
    ratio = ratio_beyond_rounding(form.sides, instance, form.free)
    if theorem.level != "deterministic":
        failing = f"{form.name} fails with probability {number(gap)}, where δ = {number(upper, 6)}"
        return f"{failing}: {_times(ratio)} as often as allowed."
    if upper < lower:
        return (
            f"{form.name} says that the gap is at least {number(lower)} and at most {number(upper)}, which no number is; "
            f"it is {number(gap)}."
        )
    if lower == upper:
        return f"{form.name} says that the gap is {number(upper)}, and it is {number(gap)}."
    between = f"{form.name} says that the gap lies between {number(lower)} and {number(upper)}, and it is {number(gap)}"
    # Outside on the side of its own sign, a gap is some number of times the bound.
    allowed = upper if gap > 0 else -lower
    return f"{between}: {_times(ratio)} as large as allowed." if 0 < allowed < abs(gap) else f"{between}."


def _ends(sides: Sides) -> tuple[float, float, float]:
    """Gap, upper and lower bound; a bound that is rounding beside the gap is zero."""
    gap, upper = float(sides.gap), float(sides.upper)
    lower = -upper if sides.lower is None else float(sides.lower)
    upper, lower = (0.0 if abs(end) < _ROUNDING * abs(gap) else end for end in (upper, lower))
    return gap, upper, lower


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} times" if ratio >= 100 else f"{number(ratio, 3)} times"


def _sentence(words: str) -> str:
    return words if words.endswith((".", "?", "!")) else f"{words}."


def latex_of(form: Form) -> str:
    """The inequality of a form: its own, or that of the audit's row that computes it; empty if there is no such row.

    Example:
        >>> from kd2m_theory.theory.catalogue import theorem
        >>> print(latex_of(theorem("T0").form("T0.error")))
        |\\mathrm{err}_S-\\mathrm{err}_T| \\le P(\\hat y_S\\ne\\hat y_T)
    """
    return form.latex or next((row.latex for row in ROWS if row.name == form.name), "")


def _proof(theorem: Theorem) -> Iterator[Paragraph | Code]:
    yield paragraph(theorem.proof)
    for count, step in enumerate(theorem.steps, start=1):
        yield paragraph(f"{count}. {step.words}")
        if step.latex:
            yield Code(step.latex, "latex")


def _form(theorem: Theorem, form: Form) -> Line:
    ratio = ratio_beyond_rounding(form.sides, form.witness.make(), form.free)
    about = ABOUT[theorem.about(form.name)]
    words = [f"about: {about[0].lower()}{about[1:]}", f"constant: {form.constant}", f"witness: {attained(theorem, form)}"]
    if form.witness.reason:
        words.append(f"why not closer: {_sentence(form.witness.reason)}")
    return Line(
        cells=(form.name, number(ratio), "" if form.row else "no audit row"),
        details=(Code(latex_of(form), "latex"), *map(paragraph, words)),
    )


def _hypotheses(theorem: Theorem) -> Section:
    if not theorem.hypotheses:
        return Section(title="No hypotheses")
    table = Table(
        name="hypotheses",
        columns=columns("hypothesis", "kind"),
        lines=tuple(_hypothesis(theorem, hypothesis) for hypothesis in theorem.hypotheses),
        caption="Each with an instance that meets all hypotheses but this one.",
    )
    return Section(title="Hypotheses", parts=(table,))


def _hypothesis(theorem: Theorem, hypothesis: Hypothesis) -> Line:
    def details() -> Iterator[Paragraph]:
        yield paragraph(hypothesis.statement)
        if hypothesis.forms:
            yield paragraph(f"needed by {', '.join(hypothesis.forms)}")
        yield paragraph(f"without it: {_sentence(hypothesis.counterexample.words)} {broken(theorem, hypothesis)}")

    return Line(cells=(hypothesis.name, hypothesis.kind), details=tuple(details()))
