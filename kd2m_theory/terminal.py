"""What goes to the terminal: where results are printed, messages, and progress bars."""

import os
import sys
from collections.abc import Iterable, Sized
from typing import Any

from kd2m_theory.words import harmless


def console() -> Any:
    """Where results are printed; square brackets in text are text."""
    from rich.console import Console

    # A pipe or file has no width of its own: give the tables the room they want.
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 104
    return Console(width=width, markup=False, emoji=False, highlight=False)


def say(words: str, style: str = "") -> None:
    """Print a line about what was done. Paths and names in it are anybody's: what a terminal would obey is replaced."""
    console().print(harmless(words), style=style, soft_wrap=True)


def complain(words: str) -> None:
    """Print a message on standard error, as harmless as `say`."""
    print(harmless(words), file=sys.stderr, flush=True)


def watched(items: Iterable[Any], words: str) -> Iterable[Any]:
    """The items, with a progress bar on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        return items
    from rich.console import Console
    from rich.progress import track

    total = len(items) if isinstance(items, Sized) else None
    return track(items, words, total=total, console=Console(stderr=True), transient=True)
