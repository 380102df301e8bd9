"""Public names that go: each works for one more release, and says on its first use what to use instead.

A name is public if `__all__` has it, or if README or the documentation imports it. To take one away, enter its dotted name in
`GOING`, and in CHANGELOG.md under "Deprecated". Packages ask `going` in their `__getattr__`; a module that moves leaves a
file behind that has nothing but that function:

    if not TYPE_CHECKING:  # to type checkers, every name would be there

        def __getattr__(name):
            return going(__name__, name)
"""

import sys
import warnings
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple


class Going(NamedTuple):
    """A public name that goes.

    Attributes:
        instead: dotted name of what replaces it, which the old name returns meanwhile.
        until: the release that no longer has the old name.
    """

    instead: str
    until: str


# Dotted old name -> what replaces it.
GOING: Mapping[str, Going] = {}


def going(module: str, name: str, table: Mapping[str, Going] = GOING) -> Any:
    """What a name of a module that goes stands for; warns on the first use.

    Args:
        module: the module that is asked for the name.
        name: not found there.
        table: names that go.

    Raises:
        AttributeError: the name is none that goes.
    """
    entry = table.get(f"{module}.{name}")
    if entry is None:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    # 1 is this line and 2 the module's __getattr__: 3 is where the name is used.
    warnings.warn(
        f"{module}.{name} is deprecated and will be removed in kd2m-theory {entry.until}; use {entry.instead}",
        DeprecationWarning,
        stacklevel=3,
    )
    home, _, new = entry.instead.rpartition(".")
    value = getattr(import_module(home), new)
    setattr(sys.modules[module], name, value)  # found there from now on: no second warning
    return value
