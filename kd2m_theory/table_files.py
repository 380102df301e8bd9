"""Predictions in a CSV or Parquet file, with the columns `teacher_<class>`, `student_<class>` and `label`."""

import csv
import io
import json
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
# Key of the metadata of a file that `Pair.save` wrote, and the version of what is said there.
_TOLD, _VERSION = b"kd2m-pair", 1


def predictions(source: str, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a `Pair`, of columns as `read_csv` and `read_parquet` return them.

    Args:
        source: name of the file, or of all files together.
        columns: by name.

    Raises:
        PairFileError: a network has no column.
        InputError: the numbers make no pair.
    """
    found = {side: {name.removeprefix(f"{side}_"): name for name in columns if name.startswith(f"{side}_")} for side in _SIDES}
    for side, names in found.items():
        if not names:
            raise PairFileError(f"{source} has no column {side}_<class>; {_SCHEMA}")
    numeric = all(_whole(each) for names in found.values() for each in names)
    labels = columns.get(_LABEL)
    if labels is not None and numeric:
        labels = [int(each) if isinstance(each, str) and _whole(each) else each for each in labels]
        _check_counting(labels, found["teacher"], source)
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
    return arguments | {"provenance": {"source": source} | arguments["provenance"]}


_SCHEMA = "columns are teacher_<class> and student_<class> for every class, and label (or none)"


def _whole(word: str) -> bool:
    return word.isascii() and word.removeprefix("-").isdigit() and len(word) < 10


def _check_counting(labels: list[Any], classes: Mapping[str, str], source: str) -> None:
    """Refuse labels 1…K of columns 0…K−1: a file has no other names for its classes than those of its columns."""
    k = len(classes)
    there = {each for each in labels if each != IGNORED}
    if k > 1 and set(classes) == {str(each) for each in range(k)} and there and there <= set(range(1, k + 1)) and k in there:
        raise InputError(
            f"{source} has labels 1 to {k} and columns teacher_0 to teacher_{k - 1}; rename the columns to teacher_1 … "
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


def read_csv(path: Path) -> dict[str, Any]:
    """The columns of a CSV file: float64, and labels as a list of texts.

    Raises:
        PairFileError: the file cannot be read, is larger than 64 MiB, or has other columns than those of predictions.
        InputError: a label is missing.
    """
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


def read_parquet(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The columns of a Parquet file, labels as a list; of one that `Pair.save` wrote, arguments of `Pair`.

    Returns:
        What has one entry per sample, and what `parquet_bytes` was told of all samples.

    Raises:
        PairFileError: the file cannot be read, is larger than 1 GiB, or has other columns than those of predictions.
        MissingDependencyError: pyarrow is not installed.
    """
    require(f"reading {path.name}", "pyarrow")
    import pyarrow

    from kd2m_theory import parquet_files

    table = parquet_files.read_parquet(path, f"{path.name} is not a Parquet file", None, PairFileError)
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
    told = (table.schema.metadata or {}).get(_TOLD)
    return (columns, {}) if told is None else _of_pair(columns, told, path)


def _of_pair(columns: Mapping[str, Any], told: bytes, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `parquet_bytes` was given."""
    try:
        whole = json.loads(told)
        if not isinstance(whole, dict) or whole.pop("format_version") != _VERSION:
            raise ValueError
        whole["provenance"] = dict(whole["provenance"])
        if set(whole) - {"inputs_paired", "provenance", "class_names"}:
            raise ValueError
        rows: dict[str, Any] = {
            f"logits_{side}": np.column_stack([value for name, value in columns.items() if name.startswith(f"{side}_")])
            for side in _SIDES
        }
    except (ValueError, TypeError, KeyError, RecursionError):
        raise PairFileError(f"{path.name} does not say what Pair.save says of a pair; write it again") from None
    if _LABEL in columns:
        rows["labels"] = np.array(columns[_LABEL])
    return rows, whole


def parquet_bytes(name: str, rows: Mapping[str, Any], whole: Mapping[str, Any]) -> bytes:
    """A Parquet file with the logits of both networks and, if they are known, the labels.

    Args:
        name: of the file.
        rows: `logits_teacher`, `logits_student` and perhaps `labels`.
        whole: arguments of `Pair` that are about all samples and that JSON holds.

    Raises:
        InputError: it would have more cells than `read_parquet` takes.
        MissingDependencyError: pyarrow is not installed.
    """
    require(f"writing {name}", "pyarrow")
    import pyarrow
    import pyarrow.parquet

    from kd2m_theory.parquet_files import CELLS

    n, classes = rows["logits_teacher"].shape
    if n * (2 * classes + 1) > CELLS:
        most = CELLS // (2 * classes + 1)
        raise InputError(
            f"{name} would have {n:,} rows of {2 * classes + 1:,} columns, more than are read from one file; write "
            f"shards of shard_rows={most} at most"
        )
    called = whole.get("class_names") or tuple(range(classes))
    columns = {f"{side}_{each}": rows[f"logits_{side}"][:, k] for side in _SIDES for k, each in enumerate(called)}
    if "labels" in rows:
        columns[_LABEL] = rows["labels"] if "class_names" not in whole else np.array(called, dtype=object)[rows["labels"]]
    told = json.dumps({"format_version": _VERSION, **whole}, sort_keys=True)
    table = pyarrow.table(columns).replace_schema_metadata({_TOLD: told})
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    return bytes(sink.getvalue())


def _labels(values: list[Any]) -> list[Hashable]:
    """Labels as they are; whole numbers that a library wrote as floats are whole."""
    return [int(each) if isinstance(each, float) and each.is_integer() else each for each in values]
