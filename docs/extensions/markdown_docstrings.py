"""Docstrings in plain words: what Sphinx would take for markup in them is text."""

import re
from typing import Any

from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    # Before napoleon, whose sections are markup.
    app.connect("autodoc-process-docstring", _as_written, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _as_written(_app: Sphinx, what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    lines[:] = [line if line.lstrip().startswith(">>>") else _escaped(line) for line in lines]
    if what == "property":
        lines[:0] = ["..", ""]  # a comment: napoleon takes what stands before a colon in the first line for a type


def _escaped(line: str) -> str:
    """|x| is an absolute value, not a substitution; between backticks everything is code anyway."""
    parts = re.split(r"(`[^`]*`)", line)
    return "".join(part if part.startswith("`") else part.replace("|", r"\|") for part in parts)
