"""What a benchmark stores: JSON with its command, environment and tables of records; and the Markdown that is made from it."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from kd2m_theory.errors import InputError
from kd2m_theory.files import read_json
from kd2m_theory.validation.stored_tables import StoredTable

SCHEMA = "kd2m-benchmark/1"
# Every benchmark by the name of its script, in the order of the page docs/benchmarks.md.
NAMES = (
    "transport",
    "losses",
    "mmd",
    "gaussian",
    "audit_scale",
    "steps",
    "unikd",
    "glyphs",
    "engine",
    "widths",
    "label_plans",
)
BEGIN, END = "<!-- benchmarks: made from their tables -->", "<!-- end of benchmarks -->"

# By column: a number, words, None where nothing was measured, or {"mean": number, "half": number or None}, where half is half
# the width of an interval.
Record = Mapping[str, Any]
_FORMAT = re.compile(r"\+?,?(\.\d)?[defg%]")
_MEAN = {"mean", "half"}
# Parts of an environment; a library is its name and its version.
_IN_WORDS = {"cores": "%s cores", "threads": "%s threads", "device": "%s", "machine": "%s", "python": "Python %s"}


class Mean(NamedTuple):
    """A mean over repetitions.

    Attributes:
        mean: in the unit of its column.
        half: half the width of its interval, in the same unit; None if there is no interval.
    """

    mean: float
    half: float | None


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: its key in the records.
        unit: of its numbers, "s" or "MiB"; empty for words and for numbers without a unit.
        format: how Markdown rounds its numbers, as `format` takes it; empty for words. Stored numbers are as measured.
    """

    name: str
    unit: str = ""
    format: str = ""

    @property
    def heading(self) -> str:
        """Name and unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def cell(self, value: Any) -> str:
        """A value in words, rounded; empty for None."""
        if value is None:
            return ""
        if isinstance(value, Mapping):
            half = "" if value["half"] is None else f" ± {format(value['half'], self.format.lstrip('+'))}"
            return format(value["mean"], self.format) + half
        return format(value, self.format)


class Source(NamedTuple):
    """Where a table was read.

    Attributes:
        file: as it was named.
        command: what writes it again.
    """

    file: str
    command: str

    def refused(self, words: str) -> InputError:
        """An error about this file, in one line that says how to fix it."""
        return InputError(f"{self.file} {words}; write it again with `{self.command}`")


# The source of tables that have just been measured.
_MEASURED = Source("the benchmark", "make benchmark")


@dataclass(frozen=True)
class BenchmarkTable:
    """One table of a benchmark.

    Attributes:
        title: what was measured; tables of one title differ in their setting.
        columns: in order.
        records: one per line, each with a key per column.
        setting: what was chosen for this table alone, by name: sizes, networks.
        source: where it was read, for messages.
    """

    title: str
    columns: Sequence[Column]
    records: Sequence[Record]
    setting: Mapping[str, Any] = field(default_factory=dict)
    source: Source = _MEASURED

    def numbers(self, name: str) -> list[float | None]:
        """The numbers of a column, None where nothing was measured.

        Raises:
            InputError: there is no such column, or it holds something else.
        """
        return [None if cell is None else self._number(name, cell) for cell in self._cells(name)]

    def measured(self, name: str) -> list[float]:
        """The numbers of a column in which nothing is missing.

        Raises:
            InputError: there is no such column, or it holds something else.
        """
        return [self._number(name, cell) for cell in self._cells(name)]

    def words(self, name: str) -> list[str]:
        """The words of a column.

        Raises:
            InputError: there is no such column, or it holds something else.
        """
        for cell in self._cells(name):
            if not isinstance(cell, str):
                raise self._wrong(name, cell, "words")
        return self._cells(name)

    def means(self, name: str) -> list[Mean]:
        """The means of a column, with half of their intervals.

        Raises:
            InputError: there is no such column, or it holds something else.
        """
        found = []
        for cell in self._cells(name):
            if not isinstance(cell, Mapping) or cell.keys() != _MEAN:
                raise self._wrong(name, cell, "a mean with half of its interval")
            half = None if cell["half"] is None else self._number(name, cell["half"])
            found.append(Mean(self._number(name, cell["mean"]), half))
        return found

    def where(self, name: str, value: str) -> "BenchmarkTable":
        """The records that have this value in a column.

        Raises:
            InputError: there is no such column.
        """
        records = [record for record, cell in zip(self.records, self._cells(name), strict=True) if cell == value]
        return BenchmarkTable(title=self.title, columns=self.columns, records=records, setting=self.setting, source=self.source)

    def chosen(self, name: str) -> Any:
        """What the setting says under a name.

        Raises:
            InputError: nothing.
        """
        if name not in self.setting:
            raise self.source.refused(f"does not say {name!r} of its table {self.title!r}")
        return self.setting[name]

    def _cells(self, name: str) -> list[Any]:
        known = [column.name for column in self.columns]
        if name not in known:
            raise self.source.refused(f"has no column {name!r} in table {self.title!r}, only {', '.join(known)}")
        return [record[name] for record in self.records]

    def _number(self, name: str, cell: Any) -> float:
        if isinstance(cell, bool) or not isinstance(cell, int | float) or not _finite(cell):
            raise self._wrong(name, cell, "a number")
        return float(cell)

    def _wrong(self, name: str, cell: Any, wanted: str) -> InputError:
        shown = "a list or a table" if isinstance(cell, list | dict) else json.dumps(cell, ensure_ascii=False)[:60]
        return self.source.refused(f"has {shown} in column {name!r} of table {self.title!r}, which is not {wanted}")


@dataclass(frozen=True)
class Benchmark:
    """What one run of a benchmark wrote.

    Attributes:
        title: what was measured.
        command: what was typed.
        date: day of the run, "2026-01-31"; None for tables from before it was recorded.
        environment: cores, machine, Python and libraries by name, as far as they were recorded.
        setting: what was chosen for all of its tables, by name.
        note: how to read the numbers.
        tables: what was measured.
        source: where it was read, for messages.
    """

    title: str
    command: str
    date: str | None
    environment: Mapping[str, Any]
    setting: Mapping[str, Any]
    note: str
    tables: Sequence[BenchmarkTable]
    source: Source = _MEASURED

    @property
    def machine(self) -> str:
        """The environment in one line."""
        return ", ".join(
            _IN_WORDS.get(name, f"{name} %s").replace("%s", str(value)) for name, value in self.environment.items()
        )

    def titled(self, title: str) -> list[BenchmarkTable]:
        """The tables of a title, at least one.

        Raises:
            InputError: there is none.
        """
        found = [table for table in self.tables if table.title == title]
        if not found:
            raise self.source.refused(f"has no table {title!r}")
        return found


def stored(name: str) -> StoredTable:
    """The table that `validation/benchmarks/NAME.py` writes, which reads as a `Benchmark`."""
    command = f"python validation/benchmarks/{name}.py --save {name}.json"
    return StoredTable(f"{name}.json", command, partial(read_benchmark, command=command))


def read_benchmark(path: Path, command: str) -> Benchmark:
    """The benchmark in a file.

    Args:
        path: of the file.
        command: what writes it again, for messages.

    Raises:
        InputError: the file cannot be read, or is not a table of a benchmark.
    """
    return parse_benchmark(path, Source(str(path), command))


def parse_benchmark(data: bytes | Path, source: Source) -> Benchmark:
    """What `to_json` made, read.

    Args:
        data: its bytes, or where it is.
        source: for messages.

    Raises:
        InputError: it cannot be read, or is not a table of a benchmark.
    """
    content = read_json(data, f"{source.file} is not a table of a benchmark; write it again with `{source.command}`")
    try:
        json.dumps(content, ensure_ascii=False).encode()  # as figures and pages write it again
    except (UnicodeEncodeError, RecursionError):
        raise source.refused("is not a table of a benchmark: it holds an unpaired surrogate, or is nested too deeply") from None
    if content.get("schema") != SCHEMA:
        raise source.refused(f"is not a table of a benchmark: its schema is not {SCHEMA!r}")
    for key, kind in _KINDS.items():
        if key not in content or not isinstance(content[key], kind):
            raise source.refused(f"is not a table of a benchmark: its {key!r} is not what a benchmark writes")
    return Benchmark(
        **{key: content[key] for key in _KINDS if key != "tables"},
        tables=[_table(each, source) for each in content["tables"]],
        source=source,
    )


_KINDS: Mapping[str, Any] = {
    "title": str,
    "command": str,
    "date": str | None,
    "environment": dict,
    "setting": dict,
    "note": str,
    "tables": list,
}


def _table(content: Any, source: Source) -> BenchmarkTable:
    match content:
        case {"title": str(title), "setting": dict(setting), "columns": list(columns), "records": list(records)}:
            made = [_column(each, source) for each in columns]
        case _:
            raise source.refused("is not a table of a benchmark: a table lacks its title, setting, columns or records")
    names = {column.name for column in made}
    for record in records:
        if not isinstance(record, dict) or record.keys() != names:
            raise source.refused(f"has a record in table {title!r} whose keys are not the columns")
    return BenchmarkTable(title=title, columns=made, records=records, setting=setting, source=source)


def _column(content: Any, source: Source) -> Column:
    match content:
        case {"name": str(name), "unit": str(unit), "format": str(rounded)} if not rounded or _FORMAT.fullmatch(rounded):
            return Column(name, unit, rounded)
    raise source.refused("is not a table of a benchmark: a column lacks its name, unit or format")


def _finite(cell: float) -> bool:
    try:
        return math.isfinite(cell)
    except OverflowError:  # an integer beyond float64
        return False


def to_json(benchmark: Benchmark) -> bytes:
    """The file of a benchmark: JSON with one record per line, so that a change of one is a change of one line.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot hold.
    """
    head = {"schema": SCHEMA} | {key: getattr(benchmark, key) for key in _KINDS if key != "tables"}
    lines = [f" {_json(key)}: {_json(value)}" for key, value in head.items()]
    tables = ",\n  ".join(_table_in_json(table) for table in benchmark.tables)
    return ("{\n" + ",\n".join([*lines, f' "tables": [\n  {tables}\n ]']) + "\n}\n").encode()


def _table_in_json(table: BenchmarkTable) -> str:
    columns = [{"name": column.name, "unit": column.unit, "format": column.format} for column in table.columns]
    head = f'"title": {_json(table.title)}, "setting": {_json(table.setting)}'
    return (
        f'{{{head},\n   "columns": [\n    {_one_per_line(columns)}\n   ],\n'
        f'   "records": [\n    {_one_per_line(table.records)}\n   ]\n  }}'
    )


def _one_per_line(values: Sequence[Any]) -> str:
    return ",\n    ".join(map(_json, values))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def heading(columns: Sequence[Column]) -> list[str]:
    """The two lines above the records of a Markdown table."""
    dashes = ["--:" if column.format else "---" for column in columns]
    return [f"| {' | '.join(column.heading for column in columns)} |", f"|{'|'.join(dashes)}|"]


def line(columns: Sequence[Column], record: Record) -> str:
    """A record as a line of a Markdown table."""
    return f"| {' | '.join(column.cell(record[column.name]) for column in columns)} |"


def markdown(benchmark: Benchmark) -> Iterator[str]:
    """The section of a page, line by line: the one way from stored numbers to a table for people."""
    yield f"## {benchmark.title}"
    yield ""
    yield f"`{benchmark.command}`" + (f", {benchmark.date}" if benchmark.date else "")
    yield ""
    about = (benchmark.machine, _in_words(benchmark.setting), benchmark.note)
    yield "; ".join(each for each in about if each).rstrip(".") + "."
    for table in benchmark.tables:
        yield ""
        yield "Table: " + "; ".join(each for each in (table.title, _in_words(table.setting)) if each) + "."
        yield ""
        yield from heading(table.columns)
        yield from (line(table.columns, record) for record in table.records)
    yield ""


def _in_words(setting: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {_value(value)}" for name, value in setting.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_value(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def block(tables: Path | None) -> str:
    """The part of docs/benchmarks.md between its two marks.

    Args:
        tables: folder of the stored tables; None for those of the package.

    Raises:
        InputError: a table is not there, or is damaged.
    """
    found = (each.read(each.path(tables)) for each in map(stored, NAMES))
    return "\n".join([BEGIN, "", *(words for each in found for words in markdown(each)), END])
