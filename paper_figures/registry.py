"""All figures by name, and writing them to a folder."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path

from kd2m_theory.checks import did_you_mean
from kd2m_theory.errors import InputError
from kd2m_theory.files import check_writable, write_atomically
from kd2m_theory.paper_figures.figure import FORMATS, PICTURES, LacksNumbersError, PaperFigure
from kd2m_theory.reporting.sections import Column, Line, Section, Table
from kd2m_theory.reporting.style import COLUMN, WIDTHS

# One module per figure, in the order of the papers, then ours.
MODULES = (
    "framework",
    "transport_map",
    "divergences",
    "gaussian_approximation",
    "couplings",
    "accuracy",
    "lambda_sweep",
    "embedding",
    "power_transform",
    "entropy",
    "unikd",
    "ladder",
    "breakdown",
    "students",
    "campaign_tightness",
    "campaign_training",
    "campaign_coverage",
    "campaign_correlation",
    "sharpness",
    "peers",
    "transport_sizes",
)


@cache
def figures() -> tuple[PaperFigure, ...]:
    """All of them."""
    return tuple(import_module(f"kd2m_theory.paper_figures.{module}").FIGURE for module in MODULES)


def chosen(names: Sequence[str] = ()) -> tuple[PaperFigure, ...]:
    """The figures of these names, each once; all of them for no name.

    Raises:
        InputError: there is no figure of a name; the message has the nearest.
    """
    known = {figure.name: figure for figure in figures()}
    for name in names:
        if name not in known:
            raise InputError(f"there is no figure {name!r}; {did_you_mean(name, known)}figures are {', '.join(known)}")
    return tuple(figure for figure in figures() if not names or figure.name in names)


def drawable(folder: Path) -> tuple[PaperFigure, ...]:
    """The figures that read stored tables, all of which lie in that folder.

    Raises:
        InputError: the folder has no figure's tables.
    """
    found = tuple(each for each in figures() if each.reads and all(stored.lies_in(folder) for stored in each.reads))
    if not found:
        raise InputError(f"no figure's stored tables are in {folder}; `kd2m figures --list` says what each figure reads")
    return found


def listing(folder: Path | None = None) -> list[Section]:
    """One line per figure: what it shows, whose it is, and the stored tables that it reads, if any.

    With a folder, instead: the figures whose tables it has, the files of each, or what the figure lacks.

    Raises:
        InputError: as `drawable`, or a table in the folder cannot be read.
    """
    last = "stored tables" if folder is None else "files, or what is lacking"
    headings = Column("name"), Column("shows", folds=True), Column("source", folds=True), Column(last, folds=True)
    lines = []
    for figure in figures() if folder is None else drawable(folder):
        if folder is None:
            words = ", ".join(" or ".join(stored.names) for stored in figure.reads)
        else:
            try:
                words = ", ".join(_stems(figure, folder))
            except LacksNumbersError as error:
                words = str(error)
        lines.append(Line((figure.name, figure.sentence, figure.source, words)))
    return [Section(title="", parts=(Table(name="figures", columns=headings, lines=tuple(lines)),))]


def with_caption(formats: Iterable[str]) -> tuple[str, ...]:
    """The formats, and "txt" for the caption if a picture is among them."""
    formats = tuple(formats)
    return (*formats, "txt") if any(word in PICTURES for word in formats) else formats


def file_formats(words: Sequence[str] = ()) -> tuple[str, ...]:
    """These formats, each once; every format of a picture for none.

    Raises:
        InputError: a format that is not written.
    """
    for word in words:
        if word not in FORMATS:
            raise InputError(f"there is no format {word!r}; {did_you_mean(word, FORMATS)}formats are {', '.join(FORMATS)}")
    return tuple(dict.fromkeys(words)) or PICTURES


_WIDEST = 20.0  # inches


def inches(word: str) -> float:
    """A width by its name, or as a number of inches from that of a column to 20.

    Raises:
        InputError: neither a name nor such a number.
    """
    if word in WIDTHS:
        return WIDTHS[word]
    try:
        width = float(word)
    except ValueError:
        width = math.nan
    if not COLUMN <= width <= _WIDEST:
        raise InputError(
            f"there is no width {word!r}; {did_you_mean(word, WIDTHS)}widths are {', '.join(WIDTHS)}, or a number of "
            "inches from "
            f"{COLUMN:g} to {_WIDEST:g}"
        )
    return width


# What a table that somebody else wrote may raise where a figure takes it for one of ours.
_FOREIGN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def write(
    figure: PaperFigure, folder: Path, formats: Iterable[str], tables: Path | None = None, width: float | None = None
) -> list[Path]:
    """Draw one figure and write its files, and its caption beside a picture, after all of them have been made.

    Where the tables have numbers for several pictures of it, each is written, and its files say which it is.

    Args:
        figure: the figure.
        folder: where they go; it exists.
        formats: of `FORMATS`.
        tables: folder of stored tables; those of the package if None.
        width: of the picture in inches; the figure's own if None.

    Raises:
        InputError: as `PaperFigure.tables`, a file cannot be written, or a table in that folder cannot be drawn.
    """
    kinds = with_caption(formats)
    for kind in kinds if figure.apart is None else ():
        check_writable(folder / f"{figure.name}.{kind}")  # before anything is read or drawn
    made: dict[Path, bytes] = {}
    with _ours(figure, tables):
        for stem, table in figure.tables(tables).items():
            paths = {kind: check_writable(folder / f"{stem}.{kind}") for kind in kinds}
            made |= {paths[kind]: data for kind, data in figure.rendered(table, kinds, width).items()}
    for path, data in made.items():
        write_atomically(path, data)
    return list(made)


def _stems(figure: PaperFigure, folder: Path) -> list[str]:
    """Stems of the files that it would write."""
    with _ours(figure, folder):
        return list(figure.tables(folder))


@contextmanager
def _ours(figure: PaperFigure, tables: Path | None) -> Iterator[None]:
    """Refuse a table that is not what its command writes, as input at fault."""
    try:
        yield
    except _FOREIGN as error:
        if tables is None or not figure.reads or isinstance(error, InputError):
            raise
        files = " or ".join(str(stored.path(tables)) for stored in figure.reads)
        commands = " and ".join(dict.fromkeys(f"`{stored.command}`" for stored in figure.reads))
        raise InputError(
            f"{files} is not what {commands} writes ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        ) from error
