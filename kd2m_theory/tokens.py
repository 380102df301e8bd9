"""Predictions at every position of a sequence as rows of a pair, grouped by sequence."""

from typing import Any

import numpy as np

from kd2m_theory.arrays import IGNORED, real_array, to_numpy
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
        raise InputError("fewer than two sequences have a position that counts; a pair needs at least two")
    return {
        "logits_teacher": real_array(teacher[counted], "logits_teacher", 2),
        "logits_student": real_array(student[counted], "logits_student", 2),
        "labels": None if classes is None else classes[counted],
        "groups": sequences,
        "row_numbers": np.flatnonzero(counted),
    }


def _words(positions: tuple[int, ...]) -> str:
    return " × ".join(map(str, positions))


def _moved(logits: tuple[int, ...], positions: tuple[int, ...]) -> str:
    """What to do where the classes of logits stand behind the first axis, as those of convolutions do."""
    if positions != (logits[0], *logits[2:]):
        return ""
    return ". Classes are the last axis of logits: move them there, logits.movedim(1, -1), np.moveaxis(logits, 1, -1)"
