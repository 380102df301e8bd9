"""Whether the breakdown of a stored audit fits itself, the measured values that it is made of, and the rows."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

from kd2m_theory.bounds import BoundResult
from kd2m_theory.bounds.breakdown import Breakdown, Calibration, ClassParts, OtherClasses
from kd2m_theory.errors import InputError
from kd2m_theory.reporting.stored_values import ROUNDED, Measured, close


def check_breakdown(
    found: Breakdown, measured: Measured, rows: Sequence[BoundResult], n: int, groups: int | None, classes: int
) -> None:
    """Refuse a breakdown that contradicts itself, the measured values, or the row about transport.

    Args:
        found: the breakdown.
        measured: values by name.
        rows: the ladder.
        n: samples.
        groups: groups over which measured values are means; None without groups.
        classes: classes K.

    Raises:
        InputError: naming the first field and what it contradicts.
    """
    labelled, paired = "gap" in measured, "disagreement" in measured
    if (found.by == "label") != labelled:
        raise InputError(f"breakdown.by is {found.by}, and measured.gap is {'there' if labelled else 'missing'}")
    if not labelled and not paired:
        raise InputError("breakdown is there, and neither measured.gap nor measured.disagreement is")
    _check_names(found, classes)
    _check_classes(found, measured, rows, n, paired=paired)
    _check_confusions(found, measured, n, groups)
    _check_samples(found, measured, n, groups)
    if (found.reliability is None) == labelled:
        raise InputError("breakdown.reliability and measured.gap are not both there or both missing")
    if found.reliability is not None:
        for whose, each in (("student", found.reliability.student), ("teacher", found.reliability.teacher)):
            size = n if paired or whose == "teacher" else None
            place = f"breakdown.reliability.{whose}"
            _check_calibration(place, each, size, measured[f"accuracy_{whose}"].value, grouped=groups is not None)


def _labels(found: Breakdown) -> Iterable[tuple[str, int]]:
    """Every class that stands in a breakdown, with its place."""
    for k, kind in enumerate(found.classes):
        yield f"classes[{k}].label", kind.label
    for k, confusion in enumerate(found.confusions):
        yield f"confusions[{k}].label", confusion.label
        yield f"confusions[{k}].predicted", confusion.predicted
    for k, sample in enumerate(found.samples):
        yield f"samples[{k}].label", sample.label
        yield f"samples[{k}].teacher", sample.teacher
        yield f"samples[{k}].student", sample.student


def _check_names(found: Breakdown, classes: int) -> None:
    mentioned = set()
    for place, label in _labels(found):
        mentioned.add(str(label))
        if label >= classes:
            raise InputError(f"breakdown.{place} is {label}, and there are {classes} classes")
    if found.names and set(found.names) != mentioned:
        raise InputError("breakdown.names are not those of the classes that it has")
    for k, kind in enumerate(found.classes):
        if kind.name != found.names.get(str(kind.label)):
            raise InputError(f"breakdown.classes[{k}].name is not that of breakdown.names")


def _check_classes(found: Breakdown, measured: Measured, rows: Sequence[BoundResult], n: int, *, paired: bool) -> None:
    _distinct("classes", [kind.label for kind in found.classes])
    listed: list[ClassParts | OtherClasses] = [*found.classes]
    if found.other_classes is not None:
        listed.append(found.other_classes)
    if not listed:
        if paired or found.transport_row is not None:
            raise InputError("breakdown.classes is empty")
        return
    if sum(each.samples for each in listed) != n:
        raise InputError(f"breakdown.classes have {sum(each.samples for each in listed)} samples together, not {n}")
    row = next((row for row in rows if row.name == found.transport_row and row.applicable), None)
    if found.transport_row is not None and row is None:
        raise InputError(f"breakdown.transport_row is {found.transport_row}, and no row of the audit has this name and numbers")
    size = sum(abs(measured[name].value) for name in ("risk_student", "risk_teacher") if name in measured)
    for name, total in (
        ("gap", measured["gap"].value if "gap" in measured else None),
        ("error_gap", measured["error_gap"].value if "error_gap" in measured else None),
        ("disagreement", measured["disagreement"].value if paired else None),
        ("transport", None if row is None else row.upper),
    ):
        parts = [getattr(each, name) for each in listed]
        if any((part is None) != (total is None) for part in parts):
            raise InputError(f"breakdown.classes have a {name} where there is none, or lack one")
        if total is None:
            continue
        if name in ("disagreement", "transport") and min(parts) < 0:
            raise InputError(f"breakdown.classes have a {name} below 0")
        summed = math.fsum(parts)
        if not close(summed, total, max(abs(total), size if name == "gap" else 1.0)):
            raise InputError(f"the {name} of breakdown.classes sums to {summed:g}, not to {total:g}")
    sizes = [abs(kind.disagreement or 0.0) if kind.gap is None else abs(kind.gap) for kind in found.classes]
    _descending("classes", sizes)


def _check_confusions(found: Breakdown, measured: Measured, n: int, groups: int | None) -> None:
    paired, labelled = "disagreement" in measured, "gap" in measured
    if (found.added is None) == paired or (found.removed is None) == (paired and labelled):
        raise InputError("breakdown.added or .removed is there without what it is counted from, or missing")
    added, removed = found.added or 0, found.removed or 0
    total = (measured["error_gap"] if labelled else measured["disagreement"]).value if paired else 0.0
    if added + removed > n or (groups is None and not close(added - removed, total * n, n)):
        raise InputError(f"breakdown.added is {added} and .removed {removed}, which does not give the measured {total:g}")
    _distinct("confusions", [(each.label, each.predicted) for each in found.confusions])
    _descending("confusions", [each.samples for each in found.confusions])
    if any(each.label == each.predicted for each in found.confusions):
        raise InputError("breakdown.confusions has a class that is confused with itself")
    rest = added - sum(each.samples for each in found.confusions)
    if rest < found.confusions_left_out or (rest > 0) != (found.confusions_left_out > 0):
        raise InputError(f"breakdown.confusions and .confusions_left_out do not make the {added} of breakdown.added")


def _check_samples(found: Breakdown, measured: Measured, n: int, groups: int | None) -> None:
    _distinct("samples", [each.index for each in found.samples])
    _descending("samples", [abs(each.gap) for each in found.samples])
    if len(found.samples) + found.samples_left_out > n or (found.samples_left_out and not found.samples):
        raise InputError("breakdown.samples and .samples_left_out are more than there can be")
    if not found.samples:
        return
    if not ("disagreement" in measured and "gap" in measured):
        raise InputError("breakdown.samples needs labels of inputs that both networks saw")
    if len({each.gap > 0 for each in found.samples}) > 1 or any(each.gap == 0 for each in found.samples):
        raise InputError("breakdown.samples have gaps of both signs")
    for k, each in enumerate(found.samples):
        difference = each.loss_student - each.loss_teacher
        size = each.loss_student + each.loss_teacher
        fits = close(each.gap * n, difference, size) if groups is None else each.gap * difference > 0
        if not fits:
            raise InputError(f"breakdown.samples[{k}].gap is {each.gap:g}, which does not follow from its losses")


def _check_calibration(place: str, found: Calibration, n: int | None, accuracy: float, *, grouped: bool) -> None:
    samples = sum(each.samples for each in found.bins)
    if not found.bins or (n is not None and samples != n):
        raise InputError(f"{place}.bins have {samples} samples together{'' if n is None else f', not {n}'}")
    if any(one.confidence > other.confidence + ROUNDED for one, other in pairwise(found.bins)):
        raise InputError(f"{place}.bins are not in the order of their confidence")
    if not grouped and not all(close(each.share, each.samples / samples, 1.0) for each in found.bins):
        raise InputError(f"{place}.bins have shares that are not those of their samples")
    if not close(math.fsum(each.share for each in found.bins), 1.0, 1.0):
        raise InputError(f"the shares of {place}.bins do not sum to 1")
    mean = math.fsum(each.share * each.accuracy for each in found.bins)
    if not close(mean, accuracy, 1.0):
        raise InputError(f"{place}.bins have a mean accuracy of {mean:g}, and {accuracy:g} is measured")


def _distinct(name: str, keys: Sequence[object]) -> None:
    if len(set(keys)) < len(keys):
        raise InputError(f"breakdown.{name} has an entry twice")


def _descending(name: str, sizes: Sequence[float]) -> None:
    if any(one < other for one, other in pairwise(sizes)):
        raise InputError(f"breakdown.{name} are not in order, the largest first")
