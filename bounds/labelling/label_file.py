"""The table that people fill in: one line per input, its position and its label, in drawing order."""

import csv
from pathlib import Path

from kd2m_theory.bounds.labelling.plan import LabelPlan
from kd2m_theory.errors import InputError
from kd2m_theory.files import read_bytes, write_atomically

_HEADER = ("index", "label")


def write_template(plan: LabelPlan, path: str | Path) -> None:
    """A table as CSV with the inputs of a plan, and the labels that it has.

    Raises:
        InputError: the folder does not exist, or the path is one.
    """
    known = [str(label) for label in plan.labels] + [""] * (len(plan.order) - len(plan.labels))
    lines = [",".join(_HEADER), *(f"{index},{label}" for index, label in zip(plan.order, known, strict=True))]
    write_atomically(path, ("\n".join(lines) + "\n").encode())


def read_labels(path: str | Path) -> dict[int, int]:
    """Labels by position; lines without a label are left out.

    Raises:
        InputError: the file is not a table of that form, a number is not whole, or an input stands there twice.
    """
    what = f"{path} is not a table of labels"
    try:
        lines = list(csv.reader(read_bytes(path, what).decode("utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{what} ({error})") from None
    if not lines or tuple(cell.strip() for cell in lines[0]) != _HEADER:
        raise InputError(f"{what}; its first line has to be {','.join(_HEADER)}")
    labels: dict[int, int] = {}
    for number, line in enumerate(lines[1:], start=2):
        cells = [cell.strip() for cell in line]
        if not any(cells):
            continue
        if len(cells) != len(_HEADER):
            raise InputError(f"line {number} of {path} has {len(cells)} entries; give an index and a label")
        if not cells[1]:
            continue
        try:
            index, label = (_whole(cell) for cell in cells)
        except ValueError:
            raise InputError(f"line {number} of {path} is {','.join(cells)[:40]!r}; give two whole numbers") from None
        if index in labels:
            raise InputError(f"input {index} stands twice in {path}, again in line {number}; keep one line per input")
        labels[index] = label
    return labels


def _whole(cell: str) -> int:
    if not (cell.removeprefix("-").isascii() and cell.removeprefix("-").isdigit() and len(cell) <= 18):
        raise ValueError(cell)
    return int(cell)
