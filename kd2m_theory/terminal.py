"""What goes to the terminal: where results are printed, and progress bars."""

import os
import sys
from collections.abc import Iterable, Sized
from typing import Any


def console() -> Any:
    """Where results are printed."""
    from rich.console import Console

    # A pipe or file has no width of its own: give the tables the room they want.
    return Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 104)


def watched(items: Iterable[Any], words: str) -> Iterable[Any]:
    """The items, with a progress bar on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        return items
    from rich.console import Console
    from rich.progress import track

    total = len(items) if isinstance(items, Sized) else None
    return track(items, words, total=total, console=Console(stderr=True), transient=True)
