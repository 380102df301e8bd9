"""The page of references, written from `references.toml` of the package when the site is built."""

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from kd2m_theory.files import write_atomically
from kd2m_theory.reporting.citation import Work, works

PAGE = "references.md"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", lambda built: _write(Path(built.srcdir) / PAGE))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _write(path: Path) -> None:
    text = "\n".join(
        ("# References", "", "What theorems, docstrings and these pages cite.", "", *map(_line, works().values()), "")
    )
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text.encode())


def _line(work: Work) -> str:
    authors = "; ".join(work.authors)
    where = f"[{work.identifier}]({work.url})" if work.url else work.identifier
    rest = ". ".join(part for part in (where, work.note) if part)
    return f"- **{authors}** ({work.year}). *{work.title}*. {rest}."
