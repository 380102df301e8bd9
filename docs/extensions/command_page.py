"""The page of the `kd2m` command, written from the command itself when the site is built."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from sphinx.application import Sphinx

from kd2m_theory.commands.main import app as kd2m
from kd2m_theory.files import write_atomically

PAGE = "commands.md"
_WIDTH = 96


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", lambda built: _write(Path(built.srcdir) / PAGE))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _write(path: Path) -> None:
    command = typer.main.get_command(kd2m)
    context = command.make_context("kd2m", [], resilient_parsing=True, terminal_width=_WIDTH, max_content_width=_WIDTH)
    text = "\n".join(("# The kd2m command", "", *_lines(command, context, "kd2m"))) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text.encode())


def _lines(group: Any, context: Any, name: str) -> Iterator[str]:
    for word, command in group.commands.items():
        here = type(context)(command, parent=context, info_name=word)
        if hasattr(command, "commands"):
            yield from _lines(command, here, f"{name} {word}")
            continue
        command.rich_markup_mode = None  # the plain help, without boxes
        yield f"## {name} {word}"
        yield ""
        yield "```text"
        yield command.get_help(here).strip()
        yield "```"
        yield ""
