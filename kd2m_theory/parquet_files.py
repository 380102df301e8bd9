"""Tables in Parquet that somebody else may have written: what a file says of itself is looked at before its data are read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from kd2m_theory.errors import InputError
from kd2m_theory.files import opened, read_bytes

# A file of a kilobyte can declare billions of equal rows.
CELLS = 2**26
_BYTES = 2**30


def read_parquet(
    path: Path, what: str, columns: pyarrow.Schema | None = None, error: type[InputError] = InputError
) -> pyarrow.Table:
    """The table in a file.

    Args:
        path: where it is.
        what: begins the message: "runs/a/history.parquet is not the history of a run".
        columns: that it has to have; None takes any.
        error: class of the exception.

    Raises:
        InputError: the file cannot be read, is not Parquet, has other columns, is larger than 1 GiB, or
            declares more than 2²⁶ cells.
    """
    data = pyarrow.BufferReader(read_bytes(path, what, error, _BYTES))
    with _refused(what, error):
        file = _checked(data, what, error)
        if columns is not None and not file.schema_arrow.equals(columns):
            raise error(f"{what} (its columns are others)")
        return file.read()


def check_parquet(path: Path, what: str) -> None:
    """Refuse, by what it says of itself, a file that a library is to read.

    Raises:
        InputError: it is not a regular file, is not Parquet, or declares more than 2²⁶ cells.
    """
    with opened(path, what) as file, _refused(what, InputError):
        _checked(file, what, InputError)


def _checked(data: Any, what: str, error: type[InputError]) -> pyarrow.parquet.ParquetFile:
    file = pyarrow.parquet.ParquetFile(data)
    found = file.metadata
    rows, width = found.num_rows, found.num_columns
    if rows * max(width, 1) > CELLS:
        raise error(f"{what} (it declares {rows:,} rows of {width:,} columns)")
    # A cell may be a list of any length.
    values = sum(found.row_group(k).column(j).num_values for k in range(found.num_row_groups) for j in range(width))
    if values > CELLS:
        raise error(f"{what} (it declares {values:,} values)")
    return file


@contextmanager
def _refused(what: str, error: type[InputError]) -> Iterator[None]:
    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError) as reason:
        if isinstance(reason, InputError):
            raise
        raise error(f"{what} ({type(reason).__name__}: {' '.join(str(reason).split())[:200]})") from None
