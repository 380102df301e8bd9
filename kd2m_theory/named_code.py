"""What "module:name" names: code of the user's, imported because a command was told to."""

import importlib
import os
import sys
from operator import attrgetter
from typing import Any

from kd2m_theory.errors import FOREIGN, InputError


def named_object(target: str, what: str, example: str) -> Any:
    """The object that "module:name" names; modules of the working folder are found too. Importing a module runs it.

    Args:
        target: a module, a colon and a name in it, which may have dots.
        what: it should be, for messages.
        example: of a target, for messages.

    Raises:
        InputError: not of that form, no such module or name, or a module that fails when imported.

    Example:
        >>> named_object("math:pi", "number", "math:e")
        3.141592653589793
    """
    module_name, colon, name = target.partition(":")
    if not (module_name and colon and name):
        raise InputError(f"{target!r} names no {what}; write module:{what}, such as {example}")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # a console script, unlike `python -m`, does not look there
    try:
        found: Any = importlib.import_module(module_name)
    except FOREIGN as error:  # whatever the user's module does at import
        said = " ".join(f"{type(error).__name__}: {error}".split())
        named = (
            f" A module is named without its ending: {module_name.removesuffix('.py')}:{name}" if ".py" in module_name else ""
        )
        raise InputError(
            f"module {module_name} cannot be imported ({said}); is it in this folder or installed?{named}"
        ) from None
    try:
        return attrgetter(name)(found)
    except AttributeError:
        raise InputError(f"module {module_name} has no {name}; check the spelling after the colon") from None
