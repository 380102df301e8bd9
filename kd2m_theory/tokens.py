"""Predictions at every position of a sequence as rows of a pair, grouped by sequence."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kd2m_theory.arrays import IGNORED, single_or_double, to_numpy
from kd2m_theory.errors import InputError


def flattened(logits_teacher: Any, logits_student: Any, labels: Any, mask: Any) -> dict[str, Any]:
    """The arguments of `Pair` from logits n × T × K of both networks; see `Pair.from_tokens`."""
    teacher = to_numpy(logits_teacher, "logits_teacher")
    student = to_numpy(logits_student, "logits_student")
    if teacher.shape != student.shape:
        raise InputError(
            f"logits_teacher has shape {teacher.shape} and logits_student {student.shape}; both networks need the same "
            "positions and classes"
        )
    if teacher.ndim < 3:
        raise InputError(f"logits_teacher has shape {teacher.shape}, expected sequences × positions × classes")
    positions = teacher.shape[:-1]
    counted = np.ones(positions, bool)
    if mask is not None:
        given = to_numpy(mask, "mask")
        if given.shape != positions or not np.isin(given, (0, 1)).all():
            found = f"shape {given.shape}" if given.shape != positions else "values other than 0 and 1"
            raise InputError(
                f"mask has {found}; give 0 or 1 for each of the {_words(positions)} positions"
                + _moved(teacher.shape, given.shape)
            )
        counted &= given.astype(bool)
        _refuse_padding(counted.reshape(len(counted), -1))
    classes = None
    if labels is not None:
        classes = to_numpy(labels, "labels")
        if classes.shape != positions:
            raise InputError(
                f"labels has shape {classes.shape}; give a class for each of the {_words(positions)} positions"
                + _moved(teacher.shape, classes.shape)
            )
        counted &= classes != IGNORED
    sequences = np.broadcast_to(np.arange(len(teacher)).reshape(-1, *(1,) * (len(positions) - 1)), positions)[counted]
    if len(np.unique(sequences)) < 2:
        more = "" if mask is None or labels is None else ", and whose label is not −100: 1 in mask marks those that count"
        raise InputError(f"fewer than two sequences have a position that counts{more}; a pair needs at least two")
    numbers = np.flatnonzero(counted)
    return {
        "logits_teacher": single_or_double(teacher[counted], "logits_teacher", 2, numbers),
        "logits_student": single_or_double(student[counted], "logits_student", 2, numbers),
        "labels": None if classes is None else classes[counted],
        "groups": sequences,
        "row_numbers": numbers,
    }


def _refuse_padding(mask: NDArray[np.bool_]) -> None:
    """Refuse a mask, n × positions, that marks padding: it leaves nothing of the longest sequences, and its opposite does not.

    A mask that starts every sequence which it does not leave out may be of texts of which the shortest have nothing left.

    Raises:
        InputError: how many sequences it leaves out.
    """
    out = np.logical_not(mask.any(axis=1))
    if out.any() and not mask.all(axis=1).any() and not (mask[:, 0] | out).all():
        raise InputError(
            f"mask leaves out {int(out.sum()):,} of {out.size:,} sequences, first sequence {int(out.argmax())}, and counts no "
            "other one whole: does it mark padding? 1 marks positions that count; pass 1 - mask, or leave out those sequences"
        )


def _words(positions: tuple[int, ...]) -> str:
    return " × ".join(map(str, positions))


def _moved(logits: tuple[int, ...], positions: tuple[int, ...]) -> str:
    """What to do where the classes of logits stand behind the first axis, as those of convolutions do."""
    if positions != (logits[0], *logits[2:]):
        return ""
    return ". Classes are the last axis of logits: move them there, logits.movedim(1, -1), np.moveaxis(logits, 1, -1)"
