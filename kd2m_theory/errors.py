"""What the toolkit raises when it refuses an input: one line that says what is wrong and how to fix it."""

import importlib.util

# What code of the user's may raise where it is called: `sys.exit` in it must not end ours as if all were well.
FOREIGN = (Exception, SystemExit)


class InputError(ValueError):
    """An input that no result can be computed from: the message names the value and the fix.

    Example:
        >>> from kd2m_theory import InputError, Pair
        >>> try:
        ...     Pair([[1.0]], [[2.0]], head_weight=[[1.0], [-1.0]])
        ... except InputError as error:
        ...     print(error)
        features_teacher has 1 sample; a pair needs at least two
    """


class PairFileError(InputError):
    """A file that is not a readable pair: truncated, foreign, or written in an unknown format version."""


class MissingDependencyError(InputError):
    """An optional library that a command needs is not installed."""


def require(what: str, *modules: str) -> None:
    """Refuse before anything slow is imported.

    Args:
        what: needs the modules, in words.
        modules: names to import.

    Raises:
        MissingDependencyError: some of them are not installed; the message has the command that installs them.
    """
    missing = [_DISTRIBUTIONS.get(name, name) for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependencyError(f"{what} needs {' and '.join(missing)}; run: pip install {' '.join(missing)}")


_DISTRIBUTIONS = {"sklearn": "scikit-learn", "ot": "POT", "PIL": "Pillow"}
