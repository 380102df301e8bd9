"""The public surface: `python tests/helpers/public_surface.py` adds new public names to the committed list.

It takes none away: a name that goes has to be deprecated first, and is then deleted from the list by hand.
"""

import ast
import doctest
import importlib
import re
from pathlib import Path

from pages import blocks, own_pages

LIST = Path(__file__).parent.parent / "public_names.txt"
DIRECTIVE = re.compile(r"^\.\. auto(?:class|function|exception):: (kd2m_theory\.[\w.]+)$", re.MULTILINE)
PACKAGES = ("kd2m_theory", "kd2m_theory.estimators", "kd2m_theory.bounds")


def committed():
    return LIST.read_text(encoding="utf-8").split()


def public_today():
    """Dotted names: of `__all__`, of the reference, and of imports on the pages for users."""
    found = {f"{package}.{name}" for package in PACKAGES for name in importlib.import_module(package).__all__}
    for page in own_pages():
        if page.name != "CONTRIBUTING.md":  # its examples extend the package, and so import what is private
            found.update(DIRECTIVE.findall(page.read_text(encoding="utf-8")))
            found.update(name for block in blocks(page) for name in _imported(block))
    return found


def _imported(block):
    if block.language not in {"python", "pycon"}:
        return
    text = block.text
    if block.language == "pycon":
        text = "".join(example.source for example in doctest.DocTestParser().get_examples(text))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "kd2m_theory")
        elif isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "kd2m_theory":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def missing(name):
    """Whether a dotted name, of a module or of something in one, cannot be imported."""
    module, _, last = name.rpartition(".")
    try:
        if module:
            return not hasattr(importlib.import_module(module), last) and _no_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # something that the module needs is missing, not the module
        return True
    return _no_module(name)


def _no_module(name):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return True
    return False


if __name__ == "__main__":
    LIST.write_text("\n".join(sorted({*committed(), *public_today()})) + "\n", encoding="utf-8")
