"""What goes to the terminal: where results are printed, messages, and progress bars."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from textwrap import fill
from typing import Any

from kd2m_theory.words import harmless, stripped


def console() -> Any:
    """Where results are printed; square brackets in text are text."""
    from rich.console import Console

    # A pipe or file has no width of its own: give the tables the room they want.
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 104
    return Console(width=width, markup=False, emoji=False, highlight=False)


def show(rendered: Any) -> None:
    """Print what rich renders, nothing cut off; in a pipe or file no line ends in a space."""
    terminal = console()
    if terminal.is_terminal:
        terminal.print(rendered, crop=False)
        return
    with terminal.capture() as captured:
        terminal.print(rendered, crop=False)
    sys.stdout.write(f"{stripped(captured.get())}\n")


def say(words: str, style: str = "") -> None:
    """Print a line about what was done. Paths and names in it are anybody's: what a terminal would obey is replaced."""
    console().print(harmless(words), style=style, soft_wrap=True)


def tell(words: str) -> None:
    """Print sentences, folded at the width of the terminal between words, as harmless as `say`; a path stays in one piece."""
    terminal = console()
    lines = (fill(line, terminal.width, break_long_words=False, break_on_hyphens=False) for line in harmless(words).split("\n"))
    terminal.print("\n".join(lines), soft_wrap=True)


def complain(words: str) -> None:
    """Print a message on standard error, as harmless as `say`."""
    print(harmless(words), file=sys.stderr, flush=True)


def watched(items: Iterable[Any], words: str, named: Callable[[Any], str] | None = None) -> Iterable[Any]:
    """The items, with a progress bar on standard error if that is a terminal.

    Args:
        items: any iterable; one that has a length is counted up to its end.
        words: what is done: "drawing" is shown as "drawing 3 of 18".
        named: the name of an item, shown behind its number.
    """
    return _with_bar(items, words, named) if sys.stderr.isatty() else items


def _with_bar(items: Iterable[Any], words: str, named: Callable[[Any], str] | None) -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    total = len(items) if isinstance(items, Sized) else None
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(words, total=total)
        for number, item in enumerate(items, 1):
            name = "" if named is None else f", {harmless(named(item))}"
            bar.update(
                task, description=f"{words} {number}{'' if total is None else f' of {total}'}{name}", completed=number - 1
            )
            yield item
            bar.update(task, completed=number)
