"""The samples that carry most of the gap, as a table for spreadsheets and scripts."""

import csv
import io
from dataclasses import asdict, fields

from kd2m_theory.bounds.breakdown import Breakdown, CarryingSample

_COLUMNS = [field.name for field in fields(CarryingSample)]
_CLASSES = ("label", "teacher", "student")


def samples_csv(found: Breakdown) -> bytes:
    """One line per sample in UTF-8, below a line with the names of the columns; numbers in full."""
    named = [f"{key}_name" for key in _CLASSES] if found.names else []
    buffer = io.StringIO(newline="")
    table = csv.DictWriter(buffer, [*_COLUMNS, *named], lineterminator="\n")
    table.writeheader()
    for each in found.samples:
        line = asdict(each)
        table.writerow(line | {f"{key}_name": found.names[str(line[key])] for key in _CLASSES if named})
    return buffer.getvalue().encode(errors="backslashreplace")
