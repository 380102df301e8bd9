"""Checks at the door: arrays in any reasonable form become float64, or an `InputError` says why not."""

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kd2m_theory.errors import InputError
from kd2m_theory.side_by_side import by_rows

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Stored = NDArray[np.float32] | NDArray[np.float64]
# What torch.nn.CrossEntropyLoss and tokenisers mark positions with that no loss is computed of.
IGNORED = -100
# What models have and arrays have not, and what to pass instead.
_MODELS = {
    "predict_proba": "pass what it predicts, model.predict_proba(x)",
    "decision_function": "pass what it predicts, model.decision_function(x)",
    "predict": "pass the probabilities or logits that it predicts",
    "forward": "pass the logits that it puts out, or both networks to Pair.from_models",
}


def any_array(value: Any, name: str) -> NDArray[Any]:
    """A NumPy view or copy of an array-like or of a torch tensor on any device, whatever its entries are.

    Raises:
        InputError: the value is a model, ragged, masked, or has a type NumPy does not know (bfloat16).
    """
    for method, advice in _MODELS.items():
        if callable(getattr(value, method, None)):
            raise InputError(f"{name} is a model ({type(value).__name__}); {advice}")
    kind = str(getattr(value, "dtype", ""))
    if "bfloat16" in kind or "float8" in kind:
        raise InputError(f"{name} is {kind.removeprefix('torch.')}, too coarse to certify; extract it in float32 or float64")
    if isinstance(value, np.ma.MaskedArray):
        raise InputError(f"{name} is a masked array; drop the masked rows and pass a plain array")
    try:
        return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} cannot be read as an array ({error}); pass a NumPy array or a torch tensor") from None


def to_numpy(value: Any, name: str) -> NDArray[Any]:
    """A NumPy view or copy of an array-like or of a torch tensor on any device.

    Raises:
        InputError: the value is ragged, holds objects, or has a type NumPy does not know (bfloat16).
    """
    array = any_array(value, name)
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name} has dtype {array.dtype}; pass real numbers (float64, float32 or integers)")
    return array


def _rows(indices: Int64) -> str:
    shown = ", ".join(map(str, indices[:5]))
    return f"row{'s' if len(indices) > 1 else ''} {shown}{', …' if len(indices) > 5 else ''}"


def real_array(value: Any, name: str, ndim: int) -> Float64:
    """Float64 copy-on-need of `value`, refused unless it has `ndim` axes and only finite entries.

    Raises:
        InputError: as `single_or_double`.
    """
    return single_or_double(value, name, ndim).astype(np.float64, copy=False)


def single_or_double(value: Any, name: str, ndim: int, numbers: Int64 | None = None) -> Stored:
    """`value` in float32 if it is of that type, else in float64, copied on need; checked as `real_array` says.

    float16 is refused: its 11 bits would be certified as if they were exact. Messages name rows by `numbers`, if there are any.

    Raises:
        InputError: wrong rank, float16, or NaN/infinite entries (how many, and in which rows).
    """
    array = to_numpy(value, name)
    if array.dtype.kind == "b":
        raise InputError(f"{name} has dtype bool; pass real numbers (float64, float32 or integers)")
    if array.dtype == np.float16:
        raise InputError(f"{name} is float16, too coarse to certify; extract it in float32 or float64")
    if array.ndim != ndim:
        advice = "; write x[:, None] for points on a line" if ndim == 2 and array.ndim == 1 else ""
        raise InputError(f"{name} has shape {array.shape}, expected {ndim} axes{advice}")
    result = array if array.dtype == np.float32 else array.astype(np.float64, copy=False)
    if not result.size:
        return result
    finite = by_rows(lambda part: np.isfinite(part).all(axis=1), result.reshape(len(result), -1))
    if not finite.all():
        bad = np.flatnonzero(~finite)
        count, where = int((~np.isfinite(result[bad])).sum()), _rows(bad if numbers is None else numbers[bad])
        raise InputError(
            f"{name} holds {count} NaN or infinite value{'s' if count > 1 else ''} in {where}, {len(bad):,} of "
            f"{len(result):,} rows: did a network diverge? Leave rows out only for a reason that does not depend on "
            "their values; a sample without the rows that failed is biased"
        )
    return result


def cloud(value: Any, name: str) -> Float64:
    """A cloud of points as an n × d float64 array with n ≥ 1 and d ≥ 1.

    Raises:
        InputError: as `real_array`, or the cloud is empty.
    """
    points = real_array(value, name, 2)
    if 0 in points.shape:
        raise InputError(f"{name} is empty (shape {points.shape}); at least one point and one coordinate are needed")
    return points


def same_dimension(x: Float64, y: Float64, names: tuple[str, str] = ("x", "y")) -> None:
    """Refuse clouds of different dimension.

    Raises:
        InputError: the number of columns differs.
    """
    if x.shape[1] != y.shape[1]:
        raise InputError(
            f"{names[0]} has dimension {x.shape[1]} and {names[1]} has dimension {y.shape[1]}; "
            "both clouds must lie in one space"
        )


def probability_weights(value: Any, n: int, name: str) -> Float64:
    """Weights of n points as a probability vector; uniform when `value` is None.

    Raises:
        InputError: wrong length, a negative or non-finite weight, or a sum further than 1e-6 from one.
    """
    if value is None:
        return np.full(n, 1.0 / n)
    weights = real_array(value, name, 1)
    if len(weights) != n:
        raise InputError(f"{name} has {len(weights)} weights for {n} points; give one weight per point")
    if (weights < 0).any():
        worst = int(weights.argmin())
        raise InputError(f"{name} has a negative weight {weights[worst]:g} at index {worst}; weights are ≥ 0")
    total = float(weights.sum())
    if abs(total - 1.0) > 1e-6:  # float32 weights sum to one no better
        raise InputError(f"{name} sums to {total:.12g}, not to 1; divide the weights by their sum")
    return weights / total


def group_numbers(value: Any, n: int, name: str) -> Int64:
    """Which of n rows belong together, as numbers 0..G−1 of their groups.

    Args:
        value: n whole numbers, or n names.
        n: rows.
        name: what the value is called.

    Raises:
        InputError: wrong rank or length, neither whole numbers nor names, or a single group.
    """
    numbers = in_order_of_appearance(group_values(value, n, name))
    if numbers.max(initial=0) < 1:
        raise InputError(f"{name} puts all samples into one group; a statement about the population needs at least two")
    return numbers


def group_values(value: Any, n: int, name: str) -> NDArray[Any]:
    """The numbers or names of the groups of n rows, arguments as of `group_numbers`: int64 where they fit, and never rounded.

    Raises:
        InputError: wrong rank or length, or neither whole numbers nor names.
    """
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    if array.shape != (n,):
        raise InputError(f"{name} has shape {array.shape} for {n} samples; give each sample the number or name of its group")
    if array.dtype.kind == "O":
        kinds = {str if isinstance(each, str) else float if isinstance(each, Real) else type(each) for each in array}
        if len(kinds) > 1 or not kinds <= {str, float}:
            listed = ", ".join(sorted({type(each).__name__ for each in array}))
            raise InputError(
                f"{name} has entries of type {listed}; give each sample the number, or each the name, of its group"
            )
        array = np.array(array.tolist())
    if array.dtype.kind == "f" and not (np.isfinite(array) & (array == np.floor(array))).all():
        raise InputError(f"{name} has values that are not whole numbers; number or name the groups")
    if array.dtype.kind not in "iufUSb":
        raise InputError(f"{name} has dtype {array.dtype}; number or name the groups")
    fits = array.dtype.kind in "iub" or (array.dtype.kind == "f" and not (np.abs(array) >= 2.0**63).any())
    return array.astype(np.int64) if fits and array.dtype != np.uint64 else array


def in_order_of_appearance(values: NDArray[Any]) -> Int64:
    """Equal values as equal numbers: 0 for the first, 1 for the next other one."""
    _, first, numbers = np.unique(values, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    result: Int64 = rank[numbers]
    return result


def class_labels(value: Any, n: int, name: str) -> Int64:
    """Class labels as an int64 vector of length n; a column (n, 1) is a vector, and False and True are 0 and 1.

    Raises:
        InputError: wrong rank or length, labels that are not whole numbers, or labels in a floating type that rounds them.
    """
    array = label_vector(to_numpy(value, name), n, name)
    if array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = np.isfinite(array) & (array == np.floor(array))
        if not whole.all():
            row = int((~whole).argmax())
            advice = "; a row without a label is marked −100" if np.isnan(array[row]) else ""
            raise InputError(
                f"{name} has dtype {array.dtype} with values that are not class numbers, first {array[row]:g} in row {row}; "
                f"pass integers{advice}"
            )
        exact = 2 ** (np.finfo(array.dtype).nmant + 1)  # beyond, neighbouring whole numbers are one value
        if array.size and (np.abs(array) >= exact).any():
            raise InputError(f"{name} has dtype {array.dtype}, in which classes from {exact:,} on are rounded; pass integers")
    if array.size and (np.abs(array.astype(np.float64)) >= 2.0**31).any():
        raise InputError(f"{name} has values beyond 2^31, up to {array.max()}; number the classes from 0")
    return array.astype(np.int64)


def label_vector(array: NDArray[Any], n: int, name: str) -> NDArray[Any]:
    """Labels of any kind as a vector of length n.

    Raises:
        InputError: wrong rank or length.
    """
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        advice = "; their argmax(axis=1) is the class" if array.ndim == 2 else ""
        raise InputError(f"{name} has shape {array.shape}; pass one integer class per sample, not one-hot rows{advice}")
    if len(array) != n:
        raise InputError(f"{name} has {len(array)} entries for {n} samples")
    return array


def counted_labels(value: Any, n: int, name: str) -> Int64:
    """Class labels as `class_labels` returns them, for what takes every row of a cloud for a point of its class.

    Raises:
        InputError: as `class_labels`; or the label −100, which marks rows that do not count.
    """
    labels = class_labels(value, n, name)
    ignored = int((labels == IGNORED).sum())
    if ignored:
        raise InputError(f"{name} has the label {IGNORED}, of rows that do not count, {ignored} times; leave those rows out")
    return labels
