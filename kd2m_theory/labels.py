"""Labels as people have them: numbers, names, positions to leave out."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kd2m_theory.arrays import IGNORED, Int64, any_array, class_labels, label_vector
from kd2m_theory.checks import did_you_mean
from kd2m_theory.errors import InputError

_NUMBERS = (bool, int, float)


def check_class_names(value: Any, name: str = "class_names") -> tuple[Hashable, ...]:
    """Names of the classes, one for each column in order: the values that labels have.

    Raises:
        InputError: not a sequence, or a name that cannot be one or is there twice.
    """
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        raise InputError(f"{name} is {value!r}; pass a list with one name per class, in the order of the columns")
    names = tuple(each.item() if isinstance(each, np.generic) else each for each in value)
    positions: dict[Hashable, int] = {}
    for k, each in enumerate(names):
        if not isinstance(each, str | bytes | int | float | bool) or each != each:
            raise InputError(f"{name} has {each!r} at position {k}; names are text or numbers")
        if positions.setdefault(each, k) != k:
            raise InputError(f"{name} has {each!r} twice, at positions {positions[each]} and {k}; give each class its own name")
    return names


def as_texts(names: tuple[Hashable, ...]) -> tuple[str, ...]:
    """Names of classes as texts that differ: 1 and "1" become 1 and '1'.

    Example:
        >>> as_texts(("cat", 2)), as_texts((1, "1"))
        (('cat', '2'), ('1', "'1'"))
    """
    texts = tuple(map(str, names))
    return texts if len(set(texts)) == len(texts) else tuple(map(repr, names))


def encoded_labels(value: Any, n: int, name: str, names: tuple[Hashable, ...] | None) -> Int64:
    """Labels as positions of columns; −100 stays where no class has that name.

    Numbers are positions where names are texts, and are looked up among names that are numbers: 1…K with `names` 1…K.

    Args:
        value: n labels, or n × 1.
        n: number of samples.
        name: of the argument, for messages.
        names: of the classes, in order; None if labels are positions.

    Raises:
        InputError: wrong shape; text without names; a label that is not a name; numbers that are not whole.
    """
    array = _plain(label_vector(any_array(value, name), n, name))
    numeric = array.dtype.kind in "biuf"
    counted = names is not None and names == tuple(range(len(names)))
    if names is None or (numeric and (counted or not any(isinstance(each, _NUMBERS) for each in names))):
        if not numeric:
            raise InputError(
                f"{name} has {_shown(array[0])} in row 0, which is not a number; pass class_names, the name of each column in "
                "order (of a scikit-learn model: class_names=model.classes_)"
            )
        return class_labels(array, n, name)
    return _looked_up(array, name, {each: k for k, each in enumerate(names)})


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers that came as objects, as columns of tables do, are numbers."""
    if array.dtype.kind == "O" and len(array) and all(isinstance(each, bool | int | np.integer | np.bool_) for each in array):
        try:
            return array.astype(np.int64)
        except OverflowError:
            pass
    return array


def _looked_up(array: NDArray[Any], name: str, positions: Mapping[Hashable, int]) -> Int64:
    found = np.empty(len(array), dtype=np.int64)
    for row, label in enumerate(array.tolist()):
        try:
            position = positions.get(label)
        except TypeError:  # a list cannot be a key
            position = None
        if position is None:
            if label not in (IGNORED, str(IGNORED)):  # NumPy makes texts of all entries if one is a text
                raise InputError(_unknown(label, row, name, positions))
            position = IGNORED
        found[row] = position
    return found


def _unknown(label: Any, row: int, name: str, positions: Mapping[Hashable, int]) -> str:
    if label is None or label != label or type(label).__name__ in ("NAType", "NaTType"):
        return f"{name} has no label in row {row} ({label!r}); mark rows to leave out with −100"
    shown = ", ".join(_shown(each) for each in list(positions)[:5]) + (", …" if len(positions) > 5 else "")
    near = did_you_mean(label, [each for each in positions if isinstance(each, str)]) if isinstance(label, str) else ""
    advice = near or "add it to class_names, or mark rows to leave out with −100"
    return f"{name} has {_shown(label)} in row {row}, which is not among class_names ({shown}); {advice}".rstrip()


def _shown(label: Any) -> str:
    words = repr(label.item() if isinstance(label, np.generic) else label)
    return words if len(words) <= 40 else f"{words[:37]}…"


def check_range(labels: Int64, classes: int | None, name: str, single: bool = False) -> None:
    """Refuse labels outside 0..K−1; −100 is left alone.

    Args:
        labels: n classes.
        classes: how many there are, if it is known.
        name: of the argument, for messages.
        single: whether the two classes are those of one output.

    Raises:
        InputError: how many, the first of them, and what to do about it.
    """
    outside = np.flatnonzero((labels != IGNORED) & ((labels < 0) | ((labels >= classes) if classes is not None else False)))
    if not len(outside):
        return
    there = labels[labels != IGNORED]
    first, top = labels[outside[0]], "" if classes is None else f"..{classes - 1}"
    advice = "number the classes from 0"
    if single:
        advice = (
            "the networks have one output, taken as the logit of class 1 against class 0: these two are the labels, and one "
            "output for more classes, or for a number, has no cross-entropy"
        )
    elif classes is not None and there.min() == 1 and there.max() == classes:
        advice += f", or say which label each column has: class_names=range(1, {classes + 1})"
    elif first == -1 and there.min() == -1:
        advice += ", and mark rows to leave out with −100"
    raise InputError(
        f"{name} has {len(outside)} value{'s' if len(outside) > 1 else ''} outside 0{top}, first {first} in row {outside[0]}; "
        f"{advice}"
    )
