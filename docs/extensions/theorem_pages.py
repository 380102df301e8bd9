"""One page per theorem, and a list of them, written from the catalogue when the site is built."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from kd2m_theory.assumptions import ABOUT
from kd2m_theory.files import write_atomically
from kd2m_theory.reporting.formulas import mathml
from kd2m_theory.theory.catalogue import theorems
from kd2m_theory.theory.statement import Form, Hypothesis, Theorem
from kd2m_theory.validation.trial.pages import attained, broken, latex_of, proof_title

FOLDER = "theorems"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", lambda built: write_pages(Path(built.srcdir) / FOLDER))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_pages(folder: Path) -> None:
    """Write the pages; those that say the same as before are left alone, and those of no theorem are removed."""
    folder.mkdir(exist_ok=True)
    pages = {"index": index(), **{file_name(theorem): page(theorem) for theorem in theorems()}}
    for stray in {path.stem for path in folder.glob("*.md")} - set(pages):
        (folder / f"{stray}.md").unlink()
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_atomically(path, text.encode())


def file_name(theorem: Theorem) -> str:
    """Name of its page, without the ending."""
    return theorem.name.lower().replace(".", "-")


def index() -> str:
    """The list of theorems."""
    rows = [
        f"| [{t.name}]({file_name(t)}.md) | {plain(t.title)} | {t.direction} | {t.level} | {t.verdict} |" for t in theorems()
    ]
    names = [file_name(theorem) for theorem in theorems()]
    return "\n".join(
        (
            "# Theorems",
            "",
            "Every statement of the catalogue: what it says, what it needs, where it is sharp, and an instance that breaks",
            "it for each hypothesis that is dropped. The numbers on these pages were computed when the site was built.",
            "`kd2m theory check` does it again, and hunts the mutants.",
            "",
            "| name | title | direction | level | verdict |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "```{toctree}",
            ":hidden:",
            "",
            *names,
            "```",
            "",
        )
    )


def page(theorem: Theorem) -> str:
    """Everything about one theorem."""
    return "\n".join(_lines(theorem)) + "\n"


def _lines(theorem: Theorem) -> Iterator[str]:
    yield f"# {theorem.name}: {plain(theorem.title)}"
    yield ""
    yield f"*{theorem.verdict}; {theorem.direction}; {theorem.level}*"
    yield ""
    yield plain(theorem.plain)
    yield from formula(theorem.latex)
    yield f"**Source.** {plain(theorem.source)}"
    yield ""
    yield f"## {proof_title(theorem)}"
    yield ""
    yield plain(theorem.proof)
    yield ""
    for count, step in enumerate(theorem.steps, start=1):
        yield f"{count}. {plain(step.words)}"
        if step.latex:
            yield from (f"   {line}" if line else "" for line in formula(step.latex))
        yield ""
    yield "## Forms"
    yield ""
    yield "Tightest first, each with its witness: the instance that comes closest to it."
    for form in theorem.forms:
        yield from _form(theorem, form)
    yield "## Hypotheses"
    yield ""
    yield "Each with an instance that lacks it alone." if theorem.hypotheses else "None."
    for hypothesis in theorem.hypotheses:
        yield from _hypothesis(theorem, hypothesis)
    yield ""
    yield "## Mutants"
    yield ""
    yield "Wrong versions of the statement, every one of which must be refuted (`kd2m theory power`)."
    yield ""
    yield "| form | what was done to it |"
    yield "|---|---|"
    for mutant in theorem.all_mutants():
        yield f"| `{mutant.form}` | {plain(mutant.name)} |"


def _form(theorem: Theorem, form: Form) -> Iterator[str]:
    yield ""
    yield f"### `{form.name}`"
    yield from formula(latex_of(form))
    yield f"- **About:** {plain(ABOUT[theorem.about(form.name)])}"
    yield f"- **Constant:** {plain(form.constant)}"
    yield f"- **Witness:** {plain(attained(theorem, form))}"
    if form.witness.reason:
        yield f"- **Why not closer:** {plain(form.witness.reason)}"
    yield f"- **In an audit:** {'the row of this name' if form.row else 'no row of its own'}"
    yield ""


def _hypothesis(theorem: Theorem, hypothesis: Hypothesis) -> Iterator[str]:
    yield ""
    yield f"### {plain(hypothesis.name)}"
    yield ""
    yield f"{plain(hypothesis.statement)} (*{hypothesis.kind}*)"
    yield ""
    if hypothesis.forms:
        yield f"- **Needed by:** {', '.join(f'`{name}`' for name in hypothesis.forms)}"
    yield f"- **Without it:** {plain(hypothesis.counterexample.words)}. {plain(broken(theorem, hypothesis))}"


def formula(latex: str) -> tuple[str, ...]:
    """A block with the formula as MathML, which browsers draw and read out without a font or a script from elsewhere."""
    return "", f'<div class="formula" role="group" tabindex="0" aria-label="Formula">{mathml(latex, block=True)}</div>', ""


def plain(text: str) -> str:
    """Words of the catalogue as Markdown that prints them unchanged."""
    return re.sub(r"([\\`*_{}\[\]<>#|~^$])", r"\\\1", text)
