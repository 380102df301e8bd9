"""The tables that the benchmarks write: Markdown, one table under the line that says what was measured."""

from dataclasses import dataclass
from pathlib import Path

from kd2m_theory.errors import InputError


@dataclass(frozen=True)
class MarkdownTable:
    """One table of a file.

    Attributes:
        file: name of the file.
        above: the last line of text before it.
        columns: its headings.
        rows: cells by heading, as they stand.
    """

    file: str
    above: str
    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]

    def numbers(self, column: str) -> list[float | None]:
        """The numbers of a column; None for an empty cell.

        Raises:
            InputError: there is no such column, or a cell holds something else.
        """
        return [_number(cell, self.file, column) for cell in self.words(column)]

    def words(self, column: str) -> list[str]:
        """The cells of a column.

        Raises:
            InputError: there is no such column.
        """
        if column not in self.columns:
            raise InputError(f"{self.file} has no column {column!r}, only {', '.join(self.columns)}; write it anew")
        return [row[column] for row in self.rows]


def markdown_tables(path: Path) -> list[MarkdownTable]:
    """Every table of a Markdown file, in order.

    Raises:
        InputError: the file has no table, a row has more or fewer cells than headings, or it is not text.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text; write it anew") from None
    tables: list[MarkdownTable] = []
    above, block = "", []
    for line in [*lines, ""]:
        if line.startswith("|"):
            block.append(_cells(line))
            continue
        if block:
            tables.append(_table(path.name, above, block))
            block = []
        above = line or above
    if not tables:
        raise InputError(f"{path} holds no table; write it anew")
    return tables


def _table(file: str, above: str, block: list[list[str]]) -> MarkdownTable:
    if len(block) < 2 or any(set(cell) - set(":-") or not cell for cell in block[1]):
        raise InputError(f"a table of {file} has no line of dashes under its headings; write it anew")
    headings = block[0]
    for cells in block:
        if len(cells) != len(headings):
            raise InputError(f"{file} has a row of {len(cells)} cells under {len(headings)} headings; write it anew")
    rows = tuple(dict(zip(headings, cells, strict=True)) for cells in block[2:])
    return MarkdownTable(file, above, tuple(headings), rows)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def _number(cell: str, file: str, column: str) -> float | None:
    try:
        return float(cell) if cell else None
    except ValueError:
        raise InputError(f"{file} has {cell!r} in column {column!r}, which is no number; write it anew") from None
