"""The catalogue for people: the list, and one page per theorem, as sections."""

from collections.abc import Iterator, Sequence

from kd2m_theory.assumptions import ABOUT
from kd2m_theory.bounds import ROWS
from kd2m_theory.reporting.sections import Code, Column, Line, Paragraph, Section, Table, columns, paragraph
from kd2m_theory.theory.catalogue import theorems
from kd2m_theory.theory.statement import Form, Hypothesis, Theorem
from kd2m_theory.validation.trial.falsifier import ratio_beyond_rounding
from kd2m_theory.words import number


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


def page(theorem: Theorem) -> list[Section]:
    """Everything about one theorem."""
    statement = (
        paragraph(f"{theorem.verdict}; {theorem.direction}; {theorem.level}", tone="muted"),
        paragraph(theorem.plain),
        Code(theorem.latex, "latex"),
        paragraph(f"Source: {theorem.source}"),
        paragraph(f"Proof: {theorem.proof}"),
    )
    forms = Table(
        name="forms",
        columns=(Column("form"), Column("gap / bound", numeric=True), Column("")),
        lines=tuple(_form(theorem, form) for form in theorem.forms),
        caption="The ratio is the one on the witness.",
    )
    mutants = Table(
        name="mutants",
        columns=(Column("form"), Column("mutant", folds=True)),
        lines=tuple(Line((mutant.form, mutant.name)) for mutant in theorem.all_mutants()),
        caption="Every one of these wrong versions must be refuted (kd2m theory power).",
    )
    return [
        Section(title=f"{theorem.name}: {theorem.title}", parts=statement),
        Section(title="Forms", parts=(forms,)),
        _hypotheses(theorem),
        Section(title="Mutants", parts=(mutants,)),
    ]


def latex_of(form: Form) -> str:
    """The inequality of a form: its own, or that of the audit's row that computes it; empty if there is no such row.

    Example:
        >>> from kd2m_theory.theory.catalogue import theorem
        >>> print(latex_of(theorem("T0").form("T0.error")))
        |err_S-err_T| \\le P(\\hat y_S\\ne\\hat y_T)
    """
    return form.latex or next((row.latex for row in ROWS if row.name == form.name), "")


def _form(theorem: Theorem, form: Form) -> Line:
    ratio = ratio_beyond_rounding(form.sides, form.witness.make(), form.free)
    about = ABOUT[theorem.about(form.name)]
    words = [f"about: {about[0].lower()}{about[1:]}", f"constant: {form.constant}", f"witness: {form.witness.words}"]
    if form.witness.reason:
        words.append(f"not 0.99: {form.witness.reason}")
    return Line(
        cells=(form.name, number(ratio), "" if form.row else "no audit row"),
        details=(Code(latex_of(form), "latex"), *map(paragraph, words)),
    )


def _hypotheses(theorem: Theorem) -> Section:
    if not theorem.hypotheses:
        return Section(title="No hypotheses")
    table = Table(
        name="hypotheses",
        columns=columns("hypothesis", "kind", "gap / bound", "gap", "bound", numeric=3),
        lines=tuple(_hypothesis(theorem, hypothesis) for hypothesis in theorem.hypotheses),
        caption="The numbers are those of an instance that meets all hypotheses but the one of its line.",
    )
    return Section(title="Hypotheses", parts=(table,))


def _hypothesis(theorem: Theorem, hypothesis: Hypothesis) -> Line:
    example = hypothesis.counterexample
    form = theorem.form(example.form)
    ratio = ratio_beyond_rounding(form.sides, example.make(), form.free)
    whole = form.sides(example.make())

    def details() -> Iterator[Paragraph]:
        yield paragraph(hypothesis.statement)
        if hypothesis.forms:
            yield paragraph(f"needed by {', '.join(hypothesis.forms)}")
        yield paragraph(f"without it {form.name} reaches {number(ratio)}: {example.words}")

    numbers = (number(value) for value in (ratio, float(whole.gap), float(whole.upper)))
    return Line(cells=(hypothesis.name, hypothesis.kind, *numbers), details=tuple(details()))
