"""The table of a campaign: one schema for every row, and parts of it as bytes.

kind       a row is about
bound      a row of the ladder on one pair after one epoch
measured   a risk, gap or accuracy of that pair
distance   a distance between its features, or its predictions
truth      a population quantity of a coverage study, with the interval that it is known to
coverage   a claim about such a quantity: how many audits made it (from the first of a stream on), how many were wrong
result     a mean of a network over held-out images after training; the target is "student test", "teacher validation", …
curve      a mean after each epoch, from the first on: of the test images, or of the training batches, as the target says
histogram  how many test images have an entropy of the student's prediction in each equal part of [lower, upper]
correlation  the student's K × K correlations between logits less the teacher's (row by row), and their mean size
embedding  places in the plane, x and y in turn, of test images in the features of a network; or their classes

The last four have their numbers in "values".
"""

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow
import pyarrow.parquet

SCHEMA = "kd2m-campaign/4"

_TEXT, _REAL, _WHOLE, _TRUTH = pyarrow.string(), pyarrow.float64(), pyarrow.int64(), pyarrow.bool_()
# What a part says of all its rows, then of each.
_OF_TASK = {
    "task": _TEXT,
    "configuration": _TEXT,
    "population": _TEXT,
    "law": _TEXT,
    "teacher": _TEXT,
    "student": _TEXT,
    "head": _TEXT,
}
_OF_TASK |= {"training": _TEXT, "objective": _TEXT, "weight": _REAL, "options": _TEXT, "seed": _WHOLE, "environment": _TEXT}
_OF_ROW = {"kind": _TEXT, "name": _TEXT, "target": _TEXT, "epoch": _WHOLE, "n": _WHOLE, "classes": _WHOLE}
_OF_ROW |= {"delta": _REAL, "share": _REAL, "lower": _REAL, "value": _REAL, "upper": _REAL, "rounding": _REAL}
_OF_ROW |= {"ratio": _REAL, "status": _TEXT, "assumed": _TEXT, "guaranteed": _TRUTH, "holds": _TRUTH}
_OF_ROW |= {
    "dominant": _TEXT,
    "dominance": _REAL,
    "stream": _WHOLE,
    "first": _WHOLE,
    "trials": _WHOLE,
    "certain": _WHOLE,
    "possible": _WHOLE,
    "values": pyarrow.list_(_REAL),
}
COLUMNS = pyarrow.schema({**_OF_TASK, **_OF_ROW})
ADDED = ("training", "values")  # columns that tables of earlier forms lack

Row = Mapping[str, Any]


def part(of_task: Row, rows: Iterable[Row], about: Mapping[str, Any]) -> bytes:
    """A Parquet file of rows.

    Args:
        of_task: columns that are the same in all rows; "task" has the digest of the task whose part this is.
        rows: the others; a column that a row lacks is null.
        about: plain data kept in the file beside the rows, which need not be reproducible.

    Raises:
        KeyError: a column that the schema does not have.
    """
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS.names}
    for row in rows:
        whole = {**of_task, **row}
        if unknown := whole.keys() - columns.keys():
            raise KeyError(f"no column {', '.join(sorted(unknown))}")
        for name, values in columns.items():
            values.append(whole.get(name))
    metadata = {"schema": SCHEMA, "task": of_task["task"], "about": json.dumps(dict(about), sort_keys=True, ensure_ascii=False)}
    made = pyarrow.table(columns, schema=COLUMNS)
    return to_bytes(made.replace_schema_metadata(metadata | {"rows": rows_digest(made)}))


def rows_digest(table: pyarrow.Table) -> str:
    """Hash of every value, in order: a part whose rows were changed afterwards is not what its task returned."""
    return hashlib.sha256(json.dumps(table.to_pydict(), ensure_ascii=False).encode()).hexdigest()[:16]


def to_bytes(table: pyarrow.Table) -> bytes:
    """A table as a Parquet file; the same bytes for the same table."""
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def joined(parts: Sequence[pyarrow.Table]) -> pyarrow.Table:
    """All rows in the order of the parts, without what the parts say beside them."""
    bare = [each.replace_schema_metadata(None) for each in parts]
    return pyarrow.concat_tables(bare) if bare else COLUMNS.empty_table()


def rows_of(table: pyarrow.Table, kind: str) -> list[dict[str, Any]]:
    """The rows of one kind as plain dictionaries."""
    import pyarrow.compute

    kept: list[dict[str, Any]] = table.filter(pyarrow.compute.equal(table["kind"], kind)).to_pylist()
    return kept
