"""Predictions as people have them become logits: probabilities, one column of a binary classifier, logarithms with zeros."""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from kd2m_theory.arrays import Float64, Int64, Stored, real_array, single_or_double, to_numpy
from kd2m_theory.checks import real_number
from kd2m_theory.errors import InputError
from kd2m_theory.side_by_side import by_rows, column_blocks
from kd2m_theory.words import number

# The least probability that is told from zero; scikit-learn's log_loss has the same for float64.
FLOOR = 2.0**-52
# Sums of K float32 probabilities are 1 up to this, per class.
_ROUNDED = 2.0**-22
# Sums that are nearer to 1 than this in all rows are not an accident: probabilities, perhaps printed with two digits.
_NEAR = 0.02
# Sums of scaled probabilities are one number up to rounding, from three rows on; up to this where eight or more rows agree.
_EXACT, _ROUGH, _FEW, _MANY = 1e-5, 1e-3, 3, 8
# Units that shares may be printed in.
_UNITS = (1.0, 0.1, 0.01, 0.001)


def logits_matrix(value: Any, name: str, verified: bool = False) -> tuple[Stored, str]:
    """Logits as n × K, in float32 if they are of that type, and words about what was done to them (empty if nothing was).

    One column z, (n,) or n × 1, is that of a sigmoid: it becomes [0, z], whose softmax is the sigmoid of z.

    Args:
        value: the logits.
        name: of the argument, for messages.
        verified: whether the head that makes them is known, so that they cannot be something else.

    Raises:
        InputError: infinite values, sequences, one column that is not of logits, or probabilities.
    """
    array = to_numpy(value, name)
    _refuse_logarithms_of_zero(array, name)
    refuse_sequences(array, name)
    single = array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)
    if not single and array.ndim == 2 and are_probabilities(array):
        _refuse_half_probabilities(array, _as_probabilities(name))
    logits = single_or_double(array.reshape(-1, 1) if single else array, name, 2)
    if single:
        _check_column(logits[:, 0], name, verified)
        return cast(Stored, np.column_stack([np.zeros_like(logits), logits])), "one column z of a sigmoid, taken as [0, z]"
    if not verified and are_probabilities(logits):
        raise InputError(
            f"{name} are probabilities: each row is ≥ 0 and sums to 1; pass them as {_as_probabilities(name)}. If they are "
            "logits, pass logits − 1: a number that is added to a whole row changes no prediction"
        )
    if not verified and (total := common_sum(logits)) is not None:
        raise InputError(
            f"{name} has rows ≥ 0 that all sum to {total:.6g}, as counts, votes and percentages do; divide each row by its sum "
            f"and pass the probabilities as {_as_probabilities(name)}. If they are logits, subtract each row's "
            "largest: a number that is added to a whole row changes no prediction"
        )
    if not verified and (form := _form_of_probabilities(logits)) is not None:
        raise InputError(f"{name} are {form.words}: {form.sign} sums to 1 in each row; {form.remedy} to make them logits")
    return logits, ""


def are_probabilities(rows: NDArray[Any]) -> bool:
    """Whether all entries of an n × K array are in [0, 1] and every row sums to 1, roughly; printed digits suffice."""
    if rows.shape[1] < 2 or not len(rows) or rows.min() < 0 or rows.max() > 1 + _NEAR:
        return False
    return bool((np.abs(rows.sum(axis=1, dtype=np.float64) - 1.0) <= _NEAR).all())


def common_sum(given: Stored) -> float | None:
    """The positive number that all rows ≥ 0 of an n × K array sum to, up to rounding; None if there is none.

    Rows with one entry above zero, and rows that are all the same, may have been made for logits, and count as none.
    """
    if given.shape[1] < 2 or len(given) < _FEW or given.min() < 0:
        return None
    if by_rows(lambda part: (part == given[0]).all(axis=1), given).all():
        return None
    sums = given.sum(axis=1, dtype=np.float64)
    total = float(np.median(sums))
    few = by_rows(lambda part: (part > 0).sum(axis=1) <= 1, given)
    # A median of numbers ≥ 0 is at most twice their mean, so that no row is farther from the medians than this.
    with np.errstate(over="ignore"):
        farthest = total + 2 * float(sums.mean())
    if total <= 0 or np.abs(sums - total).max() > _NEAR * farthest or few.all():
        return None
    # An offset of all logits, and rows that are nearly the same, have like sums, too: what counts is how far rows are apart.
    blocks = column_blocks(*given.shape)
    medians = np.concatenate([np.median(given[:, part].astype(np.float64, copy=False), axis=0) for part in blocks])
    spread = float(np.median(by_rows(lambda part: np.abs(part - medians).sum(axis=1), given)))
    off = float(np.abs(sums - total).max())
    tolerance = _EXACT
    if len(given) >= _MANY:
        unit = next((each for each in _UNITS if _are_multiples(given, each)), 0.0)
        tolerance = max(_ROUGH, min(_NEAR, unit * given.shape[1] / (2 * spread) if spread else 0.0))
    if off > tolerance * spread:
        return None
    different: Stored = given[np.unique(given, axis=0, return_index=True)[1]]  # repeated rows agree by themselves
    return total if len(different) == len(given) else common_sum(different)


def _are_multiples(rows: Stored, unit: float) -> bool:
    def are(part: Stored) -> NDArray[np.bool_]:
        multiples = part.astype(np.float64, copy=False) / unit
        near: NDArray[np.bool_] = np.abs(multiples - np.round(multiples)) <= np.clip(1e-6 * multiples, 1e-6, 1e-2)
        return np.asarray(near.all(axis=1))

    return bool(by_rows(are, rows).all())


class _Form(NamedTuple):
    """How probabilities p were written as x, so that logits are made of x."""

    words: str
    sign: str
    probabilities: Callable[[Float64], Float64]
    remedy: str


_FORMS = (
    _Form("logarithms of probabilities to base 10", "10**x", lambda x: 10.0**x, "multiply them by ln 10, np.log(10),"),
    _Form("logarithms of probabilities to base 2", "2**x", lambda x: 2.0**x, "multiply them by ln 2, np.log(2),"),
    _Form("negative logarithms of probabilities", "exp(−x)", lambda x: np.exp(-x), "multiply them by −1"),
    _Form("logarithms of 1 + p of probabilities p", "expm1(x)", np.expm1, "take np.log(np.expm1(x))"),
)


def _form_of_probabilities(rows: Stored) -> _Form | None:
    """In which form all rows are probabilities, other than their natural logarithms; None if in none.

    What misses 1 is compared with what the largest entry leaves for the others: rows that are nearly certain show nothing.
    """
    if rows.shape[1] < 2 or len(rows) < _FEW or (rows.max() > 0 and rows.min() < 0):
        return None

    def are_probabilities_by(probabilities: Callable[[Float64], Float64]) -> bool:
        def left_and_off(part: Stored) -> tuple[Float64, Float64]:
            powers = probabilities(part.astype(np.float64, copy=False))
            return 1.0 - powers.max(axis=1), np.abs(powers.sum(axis=1) - 1.0)

        left, off = by_rows(left_and_off, rows)
        return bool((off <= _NEAR * left + _EXACT).all() and (left > _NEAR).sum() >= _FEW)

    with np.errstate(over="ignore", invalid="ignore"):
        if are_probabilities_by(np.exp):
            return None
        return next((form for form in _FORMS if are_probabilities_by(form.probabilities)), None)


def column_kind(column: Stored) -> Literal["classes", "probabilities", "logits"]:
    """What one column of n ≥ 1 numbers looks like: whole numbers are classes, others in [0, 1] probabilities of class 1."""
    if (column == np.floor(column)).all():
        return "classes"
    return "probabilities" if column.min() >= 0 and column.max() <= 1 else "logits"


def probability_matrix(value: Any, name: str) -> Float64:
    """Probabilities as n × K; one column, (n,) or n × 1, is that of class 1.

    Raises:
        InputError: entries outside [0, 1], or a row that does not sum to 1 within float32 rounding.
    """
    array = to_numpy(value, name)
    refuse_sequences(array, name)
    _refuse_half_probabilities(array, name)
    single = array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)
    rows = real_array(array.reshape(-1, 1) if single else array, name, 2)
    if not rows.size:
        return rows
    if single and array.dtype.kind in "iub":
        raise InputError(f"{name} is one column of whole numbers, as classes are; pass the probability of class 1")
    tolerance = 0.0 if single else _ROUNDED * rows.shape[1]
    outside = (rows < 0) | (rows > 1 + tolerance)
    if outside.any():
        row = int(outside.any(axis=1).argmax())
        worst = rows[row][outside[row]][0]
        advice = f"pass logits as {name.replace('probabilities', 'logits')}"
        raise InputError(f"{name} has {worst:g} in row {row}, which is not a probability; {advice}")
    if single:
        return np.column_stack([1.0 - rows, rows])
    sums = rows.sum(axis=1)
    row = int(np.abs(sums - 1.0).argmax())
    if abs(sums[row] - 1.0) > tolerance:
        raise InputError(
            f"{name} sums to {sums[row]:.6g} in row {row}, not to 1; if they were printed with few digits, divide each row by "
            "its sum; if classes are missing, pass those too"
        )
    return rows


def check_floor(value: Any) -> float:
    """The least probability, if it is one.

    Raises:
        InputError: not a number in (0, 0.1], or below the least normal float64.
    """
    floor = real_number(value)
    if not np.finfo(np.float64).tiny <= floor <= 0.1:
        raise InputError(f"probability_floor is {value!r}; choose a number from 1e-307 to 0.1, such as 2**-52")
    return floor


def logarithms(probabilities: Float64, floor: float) -> Float64:
    """Logits whose softmax is these probabilities, those below the floor raised to it; a row need not sum to 1 exactly."""
    logits: Float64 = np.log(np.maximum(probabilities, floor))
    return logits


def floor_words(probabilities: Float64, labels: Int64 | None, floor: float, name: str) -> str:
    """What the floor did to probabilities, and to the mean cross-entropy at most.

    Where the true class is at or above the floor, the loss is −ln p_y + ln Σ max(p, floor), which exceeds that of p by at most
    ln(1 + m·floor), m the number of entries that were raised (the row's sum is 1 within rounding). Where the true class is
    below it, the loss is at most ln(1 + m·floor) − ln floor, and that of p is larger, infinite at zero.

    Args:
        probabilities: n × K, as they were given.
        labels: n classes, or None.
        floor: the least probability.
        name: of the argument.
    """
    low = probabilities < floor
    count = int(low.sum())
    if not count:
        return f"natural logarithms of {name}"
    limit = number(-math.log(floor), 3)
    others = number(math.log1p(int(low.sum(axis=1).max()) * floor), 2)
    zeros = int((probabilities == 0).sum())
    said = (
        f"natural logarithms of {name}; {count:,} of {low.size:,} entries, {zeros:,} of them zero, are below "
        f"probability_floor = {floor:.3g} and were raised to it"
    )
    if labels is None:
        return f"{said}: the loss at such a class is {limit} nats, where it was larger or infinite"
    hit = low[np.arange(len(labels)), labels]
    rows = int(hit.sum())
    if not rows:
        return f"{said}: none is the true class of its row, and no loss rose by more than {others} nats"
    return (
        f"{said}: the true class of {rows:,} of {len(labels):,} rows is among them, whose loss is {limit} nats, where it was "
        f"larger or infinite; they are {number(-math.log(floor) * rows / len(labels), 3)} nats of the mean loss. No other loss "
        f"rose by more than {others} nats"
    )


def refuse_sequences(array: NDArray[Any], name: str) -> None:
    """Refuse predictions with more than two axes.

    Raises:
        InputError: what the axes may be, and who takes them.
    """
    if array.ndim > 2:
        raise InputError(
            f"{name} has shape {array.shape}. Logits of sequences (n × T × K) go to Pair.from_tokens(teacher, student, labels, "
            "mask=…), those of images (n × K × H × W) too, after np.moveaxis(x, 1, -1): rows of one sequence are not "
            "independent, and without groups intervals would be too narrow. Average several teachers first: np.mean(x, axis=0)"
        )


def _refuse_half_probabilities(array: NDArray[Any], name: str) -> None:
    if array.dtype == np.float16:
        whole = " and divide each row by its sum" if array.ndim == 2 and array.shape[1] > 1 else ""
        raise InputError(
            f"{name} is float16, too coarse to certify; take the softmax in float32. Where only these probabilities are left, "
            f"convert them to float64{whole}"
        )


def _refuse_logarithms_of_zero(array: NDArray[Any], name: str) -> None:
    if array.dtype.kind != "f" or array.ndim != 2:
        return
    low = by_rows(lambda part: np.isneginf(part).sum(axis=1), array)
    if not low.any() or not by_rows(lambda part: (part < np.inf).all(axis=1), array).all():  # NaN is not less
        return
    rows = int((low > 0).sum())
    raise InputError(
        f"{name} has {int(low.sum()):,} values −∞ in {rows:,} row{'s' if rows > 1 else ''}, as logarithms of zero are; pass "
        f"their probabilities, scipy.special.softmax(x, axis=1), as {_as_probabilities(name)} or to from_predictions: zeros "
        f"become probability_floor = 2**-52, so that a true class of probability zero costs {-math.log(FLOOR):.0f} nats and no "
        "other loss moves. Dropping these rows would bias the sample"
    )


def _check_column(column: Stored, name: str, verified: bool) -> None:
    if verified or not len(column):
        return
    two = "for one logit z of a sigmoid that happens to look so, pass both columns, [0, z]"
    match column_kind(column):
        case "classes":
            raise InputError(
                f"{name} is one column of whole numbers, as predicted classes are; cross-entropy needs at least two logits "
                f"per sample, or their probabilities; {two}"
            )
        case "probabilities":
            raise InputError(
                f"{name} is one column of values in [0, 1], as probabilities of class 1 are; pass it as "
                f"{_as_probabilities(name)}; {two}"
            )


def _as_probabilities(name: str) -> str:
    return name.replace("logits", "probabilities")
