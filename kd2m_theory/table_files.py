"""Predictions in a CSV or Parquet file, with the columns `teacher_<class>`, `student_<class>` and `label`."""

import csv
import io
from array import array
from collections import Counter
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kd2m_theory.arrays import IGNORED
from kd2m_theory.errors import InputError, PairFileError, require
from kd2m_theory.files import read_bytes
from kd2m_theory.tables import matched

_SIDES = ("teacher", "student")
_LABEL = "label"


def read_predictions(path: Path) -> dict[str, Any]:
    """Arguments of a `Pair`, of a file whose name ends in .csv or .parquet.

    Raises:
        PairFileError: the file cannot be read, is larger than 64 MiB (CSV) or 1 GiB (Parquet), or has other columns.
        InputError: its numbers make no pair.
        MissingDependencyError: Parquet without pyarrow.
    """
    columns = _read_csv(path) if path.suffix == ".csv" else _read_parquet(path)
    found = {side: {name.removeprefix(f"{side}_"): name for name in columns if name.startswith(f"{side}_")} for side in _SIDES}
    for side, names in found.items():
        if not names:
            raise PairFileError(f"{path.name} has no column {side}_<class>; {_SCHEMA}")
    numeric = all(_whole(each) for names in found.values() for each in names)
    labels = columns.get(_LABEL)
    if labels is not None and numeric:
        labels = [int(each) if isinstance(each, str) and _whole(each) else each for each in labels]
        _check_counting(labels, found["teacher"], path)
    rows = {side: np.column_stack([columns[name] for name in each.values()]) for side, each in found.items()}
    classes: dict[str, tuple[Hashable, ...]] = {
        side: tuple(int(name) if numeric else name for name in each) for side, each in found.items()
    }
    single = all(len(each) == 1 for each in classes.values())
    arguments = matched(
        rows["teacher"],
        rows["student"],
        labels,
        class_names=None if single else classes["teacher"],
        class_names_student=None if single else classes["student"],
    )
    return arguments | {"provenance": {"source": path.name} | arguments["provenance"]}


_SCHEMA = "columns are teacher_<class> and student_<class> for every class, and label (or none)"


def _whole(word: str) -> bool:
    return word.isascii() and word.removeprefix("-").isdigit() and len(word) < 10


def _check_counting(labels: list[Any], classes: Mapping[str, str], path: Path) -> None:
    """Refuse labels 1…K of columns 0…K−1: a file has no other names for its classes than those of its columns."""
    k = len(classes)
    there = {each for each in labels if each != IGNORED}
    if k > 1 and set(classes) == {str(each) for each in range(k)} and there and there <= set(range(1, k + 1)) and k in there:
        raise InputError(
            f"{path.name} has labels 1 to {k} and columns teacher_0 to teacher_{k - 1}; rename the columns to teacher_1 … "
            f"teacher_{k} and student_1 … student_{k}, or number the labels from 0"
        )


def _check_columns(names: list[Any], path: Path) -> None:
    for name in names:
        if not (name == _LABEL or any(str(name).startswith(f"{side}_") for side in _SIDES)):
            called = str(name)[:40]
            if called in _SIDES:
                raise PairFileError(
                    f"{path.name} has one column {called!r}; a predicted class alone says too little. Give the probability or "
                    f"the logit of every class: {_SCHEMA}"
                )
            index = str(name) in ("", "index") or str(name).startswith(("Unnamed: ", "__index_level_"))
            advice = "it looks like the index of a table: write the file with index=False" if index else _SCHEMA
            raise PairFileError(f"{path.name} has an unknown column {called!r}; {advice}")
    if len(set(names)) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise PairFileError(f"{path.name} has the column {twice[:40]!r} twice")


def _read_csv(path: Path) -> Mapping[str, Any]:
    what = f"{path.name} is not a CSV file"
    try:
        text = read_bytes(path, what, PairFileError).decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        raise PairFileError(f"{what} in UTF-8 (byte {reason.start:,}); save it as UTF-8") from None
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(lines, [])]
        if not header:
            raise PairFileError(f"{path.name} is empty; {_SCHEMA}")
        if len(header) < 2:
            raise PairFileError(f"{path.name} has 1 column; separate columns with commas: {_SCHEMA}")
        _check_columns(header, path)
        numbers = {name: array("d") for name in header if name != _LABEL}
        labels: list[str] = []
        for line in lines:
            if not line:
                continue
            if len(line) != len(header):
                raise PairFileError(f"{path.name} has {len(line)} cells in line {lines.line_num}, and {len(header)} columns")
            for name, cell in zip(header, line, strict=True):
                if name == _LABEL:
                    labels.append(cell.strip())
                else:
                    numbers[name].append(_number(cell, name, lines.line_num, path))
    except csv.Error as reason:
        raise PairFileError(f"{what} ({reason}, line {lines.line_num})") from None
    if "" in labels:
        raise InputError(f"{path.name} has no label in row {labels.index('')}; mark rows to leave out with −100")
    columns: dict[str, Any] = {name: np.array(column) for name, column in numbers.items()}
    return columns | ({_LABEL: labels} if _LABEL in header else {})


def _number(cell: str, name: str, line: int, path: Path) -> float:
    try:
        return float(cell)
    except ValueError:
        raise PairFileError(f"{path.name} has {cell[:40]!r} in column {name}, line {line}, which is not a number") from None


def _read_parquet(path: Path) -> Mapping[str, Any]:
    require(f"reading {path.name}", "pyarrow")
    import pyarrow

    from kd2m_theory.parquet_files import read_parquet

    table = read_parquet(path, f"{path.name} is not a Parquet file", None, PairFileError)
    names = table.column_names
    _check_columns(names, path)
    columns: dict[str, Any] = {}
    for name in names:
        column, kind = table.column(name), table.schema.field(name).type
        if name == _LABEL:
            columns[name] = _labels(column.to_pylist())
        elif pyarrow.types.is_floating(kind) or pyarrow.types.is_integer(kind):
            columns[name] = column.to_numpy()
        else:
            raise PairFileError(f"{path.name} has {str(kind)[:40]} in column {name[:40]}; write float64 or float32")
    return columns


def _labels(values: list[Any]) -> list[Hashable]:
    """Labels as they are; whole numbers that a library wrote as floats are whole."""
    return [int(each) if isinstance(each, float) and each.is_integer() else each for each in values]
