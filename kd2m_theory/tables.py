"""Predictions of two models, as arrays or as tables of any library, matched by the names of their columns."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kd2m_theory.arrays import IGNORED, Float64, any_array, real_array, to_numpy
from kd2m_theory.checks import one_of
from kd2m_theory.errors import InputError, require
from kd2m_theory.labels import as_texts, check_class_names, check_range, encoded_labels
from kd2m_theory.predictions import are_probabilities, common_sum, probability_matrix, refuse_sequences

Kind = Literal["probabilities", "logits"]
Names = tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class _Side:
    """Predictions of one model.

    Attributes:
        side: "teacher" or "student".
        names: of the columns; None if nobody named them.
        rows: n × K, or one column.
        kind: "probabilities" or "logits"; empty until it is known.
    """

    side: str
    names: Names | None
    rows: NDArray[Any]
    kind: str = ""

    @property
    def argument(self) -> str:
        return f"{self.kind}_{self.side}"

    @property
    def classes(self) -> int:
        return 2 if self.rows.ndim == 1 or self.rows.shape[1] == 1 else self.rows.shape[1]


def matched(
    teacher: Any,
    student: Any,
    y: Any = None,
    *,
    class_names: Sequence[Hashable] | None = None,
    class_names_student: Sequence[Hashable] | None = None,
    kind: Kind | None = None,
    other_classes: Literal["refuse", "drop"] = "refuse",
) -> dict[str, Any]:
    """Arguments of a `Pair`, whose columns mean the same classes in the same order.

    Arguments and errors are those of `Pair.from_predictions`.
    """
    one_of(other_classes, ("refuse", "drop"), "other_classes")
    if kind is not None:
        one_of(kind, ("probabilities", "logits"), "kind")
    _check_order({"teacher": teacher, "student": student, "y": y})
    given = None if class_names is None else check_class_names(class_names)
    own = given if class_names_student is None else check_class_names(class_names_student, "class_names_student")
    first = _side("teacher", teacher, given, "class_names", y)
    second = _side("student", student, own, "class_names" if class_names_student is None else "class_names_student", y)
    named = first.names is not None and second.names is not None
    if named and set(first.names or ()) != set(second.names or ()) and other_classes == "refuse":
        raise InputError(_differences(first, second))
    if not named and first.classes != second.classes:
        raise InputError(
            f"teacher has {first.classes} classes and student {second.classes}; pass class_names and class_names_student, the "
            "names of the columns of each in order (of scikit-learn models: classes_), so that they can be matched"
        )
    first, second = (replace(each, kind=kind or _recognised(each.rows, each.side)) for each in (first, second))
    notes = {f"kind of {each.side}": f"{each.kind}, recognised by the rows" for each in (first, second) if kind is None}
    if first.names is None or second.names is None:
        names = _unnamed(first, second, notes)
        return _arguments((first.argument, first.rows), (second.argument, second.rows), y, names, notes)
    if set(first.names) == set(second.names):
        rows = _columns(second, first.names)
        return _arguments((first.argument, first.rows), (second.argument, rows), y, first.names, notes)
    return _common(first, second, y, notes)


def named_rows(value: Any, name: str) -> tuple[Names | None, NDArray[Any]]:
    """Names of columns, if there are any, and the numbers of an array or of a table of pandas, polars, Arrow and their like.

    A table that only knows `__arrow_c_stream__` or `__dataframe__` is read by pyarrow; no other library is imported.

    Raises:
        InputError: entries that are not numbers, or a column name that is there twice.
        MissingDependencyError: the table needs pyarrow to be read.
    """
    if not hasattr(value, "column_names") and not (hasattr(value, "columns") and hasattr(value, "to_numpy")):
        if hasattr(value, "__array__") or not any(hasattr(value, way) for way in ("__arrow_c_stream__", "__dataframe__")):
            return None, to_numpy(value, name)
        require(f"reading {name}, a {type(value).__name__},", "pyarrow")
        import pyarrow
        import pyarrow.interchange

        value = pyarrow.table(value) if hasattr(value, "__arrow_c_stream__") else pyarrow.interchange.from_dataframe(value)
    if hasattr(value, "column_names"):
        names = list(value.column_names)
        columns = [np.asarray(value.column(k)) for k in range(len(names))]
        rows = np.column_stack(columns) if columns else np.empty((len(value), 0))
    else:
        names, rows = list(value.columns), value.to_numpy()
    if rows.dtype.kind == "O":
        try:
            rows = rows.astype(np.float64)
        except (TypeError, ValueError):
            raise InputError(
                f"{name} has a column of something else than numbers; keep the columns of the classes alone"
            ) from None
    if len(names) == 1 or names in ([*range(len(names))], [f"column_{k}" for k in range(len(names))]):
        return None, rows  # nobody named them
    return check_class_names(names, f"columns of {name}"), rows


def _side(side: str, value: Any, given: Names | None, argument: str, y: Any) -> _Side:
    names, rows = named_rows(value, side)
    found = _Side(side, names, rows)
    refuse_sequences(rows, side)
    if (rows.ndim == 1 or rows.shape[1] == 1) and rows.dtype.kind in "iub":
        raise InputError(f"{side} is one column of whole numbers, as predicted classes are; pass predict_proba or logits")
    _refuse_numbers_of_rows(found, y)
    if given is None:
        return found
    if names is None:
        if len(given) != found.classes:
            raise InputError(f"{argument} has {len(given)} names, and {side} has {found.classes} classes; pass one per column")
        return replace(found, names=given)
    if set(names) != set(given):
        raise InputError(f"the columns of {side} are {_listed(names)}, and {argument} is {_listed(given)}; rename one of them")
    return replace(found, names=given, rows=rows[:, [names.index(name) for name in given]])


def _refuse_numbers_of_rows(side: _Side, y: Any) -> None:
    """Refuse columns of whole numbers among columns that are not: numbers of the rows, or labels, left in a table.

    Raises:
        InputError: such a column, and what it looks like.
    """
    rows = side.rows
    if rows.ndim != 2 or rows.shape[1] < 2 or rows.dtype.kind != "f" or len(rows) < 3 or are_probabilities(rows):
        return
    whole = np.flatnonzero((rows == np.floor(rows)).all(axis=0))
    if 2 * len(whole) >= rows.shape[1]:
        return
    labels = None if y is None else any_array(y, "y").reshape(-1)
    for k in whole:
        is_label = labels is not None and labels.dtype.kind in "biufO" and bool(np.array_equal(labels, rows[:, k]))
        different = len(np.unique(rows[:, k]))
        if different < 2 or (different == 2 and not is_label):
            continue
        like = "equal y" if is_label else "are all different" if different == len(rows) else f"have {different} values"
        name = f"column {k}" if side.names is None else f"the column {side.names[k]!r}"
        raise InputError(
            f"{side.side} has {name} of whole numbers, which {like}, among columns that are not whole: it is not a prediction "
            "of a class but a number of the row, a group or a label; leave it out"
        )


def _recognised(rows: NDArray[Any], side: str) -> str:
    """What the numbers are, by their rows; whatever is neither is refused where logits are checked.

    Raises:
        InputError: rows that could be either.
    """
    single = rows.ndim == 1 or rows.shape[1] == 1
    if rows.dtype.kind == "b" or not np.isfinite(rows).all():
        return "logits"
    if single:
        return "probabilities" if rows.size and rows.min() >= 0 and rows.max() <= 1 else "logits"
    if are_probabilities(rows.astype(np.float64)):
        return "probabilities"
    if rows.size and rows.min() >= 0 and rows.max() <= 1 and common_sum(rows.astype(np.float64)) is None:
        raise InputError(
            f"{side} has values in [0, 1] and rows that do not sum to 1, as scores of one class against the rest have; divide "
            "each row by its sum to make them probabilities, or pass kind='logits' if they are logits"
        )
    return "logits"


def _columns(side: _Side, names: Names) -> NDArray[Any]:
    assert side.names is not None
    if names == side.names:
        return side.rows
    rows = side.rows
    if rows.ndim == 1 or rows.shape[1] == 1:  # the other order of two classes
        rows = rows.reshape(-1)
        return 1 - rows if side.kind == "probabilities" else -rows
    return rows[:, [side.names.index(name) for name in names]]


def _unnamed(first: _Side, second: _Side, notes: dict[str, str]) -> Names | None:
    for named, other in ((first, second), (second, first)):
        if named.names is not None:
            notes["columns"] = f"those of the {other.side} have no names and were taken in the order of the {named.side}'s"
            return named.names
    return None


def _common(first: _Side, second: _Side, y: Any, notes: dict[str, str]) -> dict[str, Any]:
    """The classes that both models have: what each predicts given that the class is one of them."""
    assert first.names is not None
    assert second.names is not None
    names = tuple(name for name in first.names if name in second.names)
    if len(names) < 2:
        raise InputError(_differences(first, second))
    sides: list[tuple[str, NDArray[Any]]] = []
    for side in (first, second):
        if side.rows.ndim == 1 or side.rows.shape[1] == 1:
            raise InputError(f"{side.side} has one column; pass those of all of its classes")
        values = side.rows if side.kind == "logits" else probability_matrix(side.rows, side.argument)
        kept, likely = _columns(replace(side, rows=values), names), _columns(replace(side, rows=_likely(side, values)), names)
        mass = likely.sum(axis=1)
        if side.kind == "probabilities":
            none = mass == 0
            kept = np.where(none[:, None], 1.0 / len(names), kept / np.where(none, 1.0, mass)[:, None])
        lost = 1.0 - mass
        sides.append((side.argument, kept))
        others = [name for name in side.names or () if name not in names]
        notes[f"classes of the {side.side} alone"] = (
            f"{_listed(others)}: dropped, and predictions are given that the class is not among them; on average they had "
            f"probability {max(0.0, lost.mean()):.3g}, at most {max(0.0, lost.max()):.3g}"
            if others
            else "none"
        )
    if y is not None:
        every = tuple(dict.fromkeys((*first.names, *second.names)))  # numbers are the teacher's columns where names are texts
        labels = encoded_labels(y, len(first.rows), "y", every)
        check_range(labels, len(every), "y")
        positions = np.array([names.index(each) if each in names else IGNORED for each in every])
        y = np.where(labels == IGNORED, IGNORED, positions[labels])
        gone = int((y == IGNORED).sum() - (labels == IGNORED).sum())
        notes["rows of other classes"] = f"{gone:,} of {len(labels):,} left out"
        # As texts, which labels that are positions are not looked up among.
        notes["class names"] = _listed(names, 20)
        return _arguments(sides[0], sides[1], y, as_texts(names), notes)
    notes["rows of other classes"] = "unknown without labels: all rows are kept"
    return _arguments(sides[0], sides[1], None, names, notes)


def _likely(side: _Side, values: NDArray[Any]) -> Float64:
    if side.kind == "probabilities":
        return values
    logits = real_array(values, side.argument, 2)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    likely: Float64 = shifted / shifted.sum(axis=1, keepdims=True)
    return likely


def _arguments(
    teacher: tuple[str, NDArray[Any]], student: tuple[str, NDArray[Any]], y: Any, names: Names | None, notes: dict[str, str]
) -> dict[str, Any]:
    return {**dict((teacher, student)), "labels": y, "class_names": names, "provenance": notes}


def _differences(first: _Side, second: _Side) -> str:
    assert first.names is not None
    assert second.names is not None
    lacking = [
        f"the {side.side} lacks {_listed([each for each in other.names or () if each not in (side.names or ())])}"
        for side, other in ((first, second), (second, first))
        if set(other.names or ()) - set(side.names or ())
    ]
    common = len(set(first.names) & set(second.names))
    for side, other in ((first, second), (second, first)):
        more = [name for name in side.names or () if name not in (other.names or ())]
        if len(more) == 0 or common < 2:
            continue
        if not are_probabilities(side.rows) and _sum_to_one(side, other.names or ()):
            return (
                f"{side.side} has columns that {other.side} lacks, {_listed(more)}, and its rows sum to 1 without them: they "
                "are of no class; leave them out"
            )
        shares = other.rows.min(initial=0) >= 0 and other.rows.max(initial=0) <= 1
        if shares and are_probabilities(side.rows) and not are_probabilities(other.rows):
            return (
                f"the {other.side} lacks {_listed(more)}, and its rows do not sum to 1; add its columns of these classes. If "
                "it does not know them, divide its rows by their sums first, and compare the common classes with "
                "Pair.from_predictions(…, other_classes='drop')"
            )
    advice = (
        f"rename columns, or compare the {common} common classes with Pair.from_predictions(…, other_classes='drop')"
        if common >= 2
        else f"{common or 'no'} class{'es are' if common == 0 else ' is'} common, and two are needed: rename the columns"
    )
    return f"teacher and student have other classes: {' and '.join(lacking)}; {advice}"


def _sum_to_one(side: _Side, names: Sequence[Hashable]) -> bool:
    """Whether the columns of these names alone are probabilities."""
    return side.names is not None and are_probabilities(side.rows[:, [k for k, each in enumerate(side.names) if each in names]])


def _listed(names: Sequence[Hashable], most: int = 5) -> str:
    return ", ".join(map(str, names[:most])) + (f", … ({len(names):,})" if len(names) > most else "")


def _check_order(given: Mapping[str, Any]) -> None:
    """Refuse tables whose row names are the same in another order; arrays have none, and polars has none."""
    found: dict[str, Any] = {name: getattr(value, "index", None) for name, value in given.items()}
    indexes = {name: index for name, index in found.items() if hasattr(index, "equals")}
    names = list(indexes)
    for k, name in enumerate(names):
        for other in names[:k]:
            one, two = indexes[other], indexes[name]
            if len(one) == len(two) and not one.equals(two) and set(one) == set(two):
                raise InputError(
                    f"{other} and {name} have the same index in another order; pass {name}.loc[{other}.index], or "
                    "reset_index(drop=True) on both if row i of one does belong to row i of the other"
                )
