"""Public names, modules and words of configurations that go: each works for one more release, and says what to use instead.

A name is public if `__all__` has it, or if README or the documentation imports it. To take one away, enter its dotted name in
`GOING`, or the module's in `MOVED`, and in CHANGELOG.md under "Deprecated". Packages ask `going` in their `__getattr__`:

    if not TYPE_CHECKING:  # to type checkers, every name would be there

        def __getattr__(name):
            return going(__name__, name)

Words of configurations, names of objectives and their options, are entered in `WORDS`; their reader asks `current`.
"""

import sys
import warnings
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from importlib.abc import Loader
else:  # importing it costs more than all else here
    Loader = object


class Going(NamedTuple):
    """A public name or module that goes.

    Attributes:
        instead: dotted name of what replaces it, which the old name returns meanwhile.
        until: the release that no longer has the old name.
    """

    instead: str
    until: str


# Dotted old name -> what replaces it.
GOING: Mapping[str, Going] = {
    "kd2m_theory.validation.objectives.unikd.UniKDReconstruction": Going(
        "kd2m_theory.validation.objectives.unikd.UniKD", "0.3.0"
    ),
}

# Words of configurations that go: (kind of word, old word) -> the new one.
WORDS: Mapping[tuple[str, str], Going] = {
    ("objective", "unikd-reconstruction"): Going("unikd", "0.3.0"),
    ("option of unikd-reconstruction", "anchor"): Going("supplement", "0.3.0"),
    ("option of unikd-reconstruction", "anchor_weight"): Going("supplement_weight", "0.3.0"),
}

# Old module -> where its names are now.
MOVED: Mapping[str, Going] = {
    f"kd2m_theory.{old}": Going(f"kd2m_theory.{new}", "0.3.0")
    for old, new in {
        "bounds.layers": "bounds.constants.layers",
        "bounds.t1_paired": "bounds.rows.t1_paired",
        "bounds.theorem": "bounds.rows.row",
        "estimators.gaussian_torch": "estimators.losses.gaussian",
        "estimators.kernel_losses": "estimators.losses.kernel",
        "estimators.transport_losses": "estimators.losses.transport",
        "validation.configuration": "validation.training.configuration",
        "validation.distillation": "validation.training.distillation",
        "validation.falsifier": "validation.trial.falsifier",
        "validation.networks": "validation.training.networks",
        "validation.outputs": "validation.training.outputs",
        "validation.power": "validation.trial.power",
        "validation.theory_check": "validation.trial.check",
    }.items()
}


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
    warnings.warn(_words(f"{module}.{name}", entry), DeprecationWarning, stacklevel=3)
    home, _, new = entry.instead.rpartition(".")
    value = getattr(import_module(home), new)
    setattr(sys.modules[module], name, value)  # found there from now on: no second warning
    return value


def current(kind: str, word: str) -> str:
    """The word that a configuration means: the new one for a word that goes, with a warning, else the word itself.

    Example:
        >>> current("objective", "kd")
        'kd'
    """
    entry = WORDS.get((kind, word))
    if entry is None:
        return word
    warnings.warn(_words(f"{kind} {word!r}", Going(repr(entry.instead), entry.until)), DeprecationWarning, stacklevel=2)
    return entry.instead


class MovedModules(Loader):
    """Imports a module that moved from where it was; warns on the first import. Asked after all other finders."""

    def __init__(self, table: Mapping[str, Going] = MOVED) -> None:
        self._table = table

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        """A module for names of the table, None for others."""
        return ModuleSpec(name, self) if name in self._table else None

    def create_module(self, _spec: ModuleSpec) -> None:
        """A plain new module."""

    def exec_module(self, module: ModuleType) -> None:
        """Give the module the names of the one that it became."""
        entry = self._table[module.__name__]
        # Frames of the import system do not count: 2 is the line that imports.
        warnings.warn(_words(module.__name__, entry), DeprecationWarning, stacklevel=2)
        home = import_module(entry.instead)
        names = [name for name in vars(home) if not name.startswith("_")]
        module.__dict__.update(__doc__=home.__doc__, __all__=names, __getattr__=partial(getattr, home), __dir__=lambda: names)


def _words(name: str, entry: Going) -> str:
    return f"{name} is deprecated and will be removed in kd2m-theory {entry.until}; use {entry.instead}"


sys.meta_path.append(MovedModules())
