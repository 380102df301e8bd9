"""A student whose features have another dimension than the teacher's: the map that makes them comparable."""

from torch import nn

from kd2m_theory.errors import InputError


def map_to_teacher(projector: str | None, student: int, teacher: int) -> nn.Module:
    """The learnable map from R^student to R^teacher that stands between student features and a distance.

    It is made only when asked for, because it changes what is matched: A·Z_S, not Z_S, comes close to Z_T.

    Args:
        projector: None, or "linear" for an affine map.
        student: dimension of the student's features.
        teacher: dimension of the teacher's features.

    Raises:
        InputError: the dimensions differ and no projector is asked for, or it is of an unknown kind.
    """
    if projector == "linear":
        return nn.Linear(student, teacher)
    if projector is not None:
        raise InputError(f'projector is {projector!r}; choose "linear", or leave it out where the dimensions agree')
    if student != teacher:
        raise InputError(
            f'student features have dimension {student}, teacher {teacher}: add projector = "linear" to the objective, '
            "or choose networks that agree"
        )
    return nn.Identity()
