"""The catalogue for people: the list, and one page a theorem."""

import textwrap
from collections.abc import Iterator, Sequence

from rich.markup import escape
from rich.table import Table

from kd2m_theory.bounds import ROWS
from kd2m_theory.theory.catalogue import theorems
from kd2m_theory.theory.statement import Form, Theorem
from kd2m_theory.validation.trial.falsifier import ratio_beyond_rounding
from kd2m_theory.words import number

_WIDTH = 100


def listing(catalogue: Sequence[Theorem] | None = None) -> Table:
    """One line a theorem."""
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "title", "direction", "level", "verdict"):
        table.add_column(heading, no_wrap=True, max_width=44 if heading == "title" else None)
    for theorem in theorems() if catalogue is None else catalogue:
        style = "" if theorem.verdict == "proved" else "yellow"
        level = "deterministic" if theorem.level == "deterministic" else "1 − δ"
        cells = (theorem.name, theorem.title, theorem.direction, level, theorem.verdict)
        table.add_row(*map(escape, cells), style=style)
    return table


def page(theorem: Theorem) -> str:
    """Everything about one theorem."""
    return "\n".join(_lines(theorem))


def latex_of(form: Form) -> str:
    """The inequality of a form: its own, or that of the audit's row that computes it; empty if there is no such row.

    Example:
        >>> from kd2m_theory.theory.catalogue import theorem
        >>> print(latex_of(theorem("T0").form("T0.error")))
        |err_S-err_T| \\le P(\\hat y_S\\ne\\hat y_T)
    """
    return form.latex or next((row.latex for row in ROWS if row.name == form.name), "")


def _lines(theorem: Theorem) -> Iterator[str]:
    yield f"{theorem.name}: {theorem.title}"
    yield f"{theorem.verdict}; {theorem.direction}; {theorem.level}"
    yield ""
    yield from _wrapped(theorem.plain)
    yield f"  {theorem.latex}"
    yield ""
    yield from _wrapped(f"Source: {theorem.source}")
    yield from _wrapped(f"Proof: {theorem.proof}")
    yield ""
    yield "forms, with the ratio gap / bound on their witness"
    for form in theorem.forms:
        yield from _form(form)
    yield ""
    yield "hypotheses, with the ratio once one is dropped" if theorem.hypotheses else "no hypotheses"
    for hypothesis in theorem.hypotheses:
        example = hypothesis.counterexample
        form = theorem.form(example.form)
        ratio = ratio_beyond_rounding(form.sides, example.make(), form.free)
        yield from _wrapped(f"{hypothesis.name} ({hypothesis.kind}): {hypothesis.statement}", 2)
        if hypothesis.forms:
            yield from _wrapped(f"needed by {', '.join(hypothesis.forms)}", 6)
        yield from _wrapped(f"without it {form.name} reaches {number(ratio)}: {example.words}", 6)
        whole = form.sides(example.make())
        yield f"      gap {number(float(whole.gap))}, bound {number(float(whole.upper))}"
    yield ""
    yield "mutants: every one of these wrong versions must be refuted (kd2m theory power)"
    for mutant in theorem.all_mutants():
        yield from _wrapped(f"{mutant.form}: {mutant.name}", 2)


def _form(form: Form) -> Iterator[str]:
    ratio = ratio_beyond_rounding(form.sides, form.witness.make(), form.free)
    row = "" if form.row else "  (no audit row)"
    yield f"  {form.name}  {number(ratio)}{row}"
    yield f"      {latex_of(form)}"
    yield from _wrapped(f"constant: {form.constant}", 6)
    yield from _wrapped(f"witness: {form.witness.words}", 6)
    if form.witness.reason:
        yield from _wrapped(f"not 0.99: {form.witness.reason}", 6)


def _wrapped(text: str, indent: int = 0) -> list[str]:
    wrapper = textwrap.TextWrapper(_WIDTH, break_long_words=False, break_on_hyphens=False)
    wrapper.initial_indent, wrapper.subsequent_indent = " " * indent, " " * (indent + 4)
    return wrapper.wrap(text)
