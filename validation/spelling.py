"""The nearest known name, for errors about names that are not known."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """ "did you mean 'x'? " with the known name nearest to `word`; empty if none is near.

    Example:
        >>> did_you_mean("digist", ["digits", "glyphs"])
        "did you mean 'digits'? "
    """
    plain = {_plain(name): name for name in known}
    near = get_close_matches(_plain(str(word)), plain, n=1, cutoff=0.5)
    return f"did you mean {plain[near[0]]!r}? " if near else ""


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
