"""Every public name is on a page of the reference, and used in an example that the tests run."""

import ast
import doctest
import importlib
from functools import cache

import pytest
from pages import ROOT, blocks, own_pages
from public_surface import DIRECTIVE

import kd2m_theory
from kd2m_theory import bounds, estimators

REFERENCE = sorted(
    {name for page in (ROOT / "docs/api").glob("*.md") for name in DIRECTIVE.findall(page.read_text(encoding="utf-8"))}
)
ROOMS = ("kd2m_theory", "estimators", "bounds", "validation")


def trees(text):
    """The prompts of a text as syntax."""
    return [ast.parse(example.source) for example in doctest.DocTestParser().get_examples(text)]


def loaded(tree):
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


@cache
def used():
    """Names that examples use: in doctests of the package, and on pages where they were imported from it."""
    found = set()
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                found.update(*map(loaded, trees(ast.get_docstring(node) or "")))
    for page in own_pages():
        here = [ast.parse(block.text) for block in blocks(page) if block.language == "python"]
        here += [tree for block in blocks(page) if block.language == "pycon" for tree in trees(block.text)]
        nodes = [node for tree in here for node in ast.walk(tree)]
        ours = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module.startswith("kd2m_theory")]
        found |= {alias.name for node in ours for alias in node.names} & set().union(*map(loaded, here))
        attributes = (node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name))
        found |= {node.attr for node in attributes if node.value.id == "kd2m"}
    return found


def test_public_names_are_in_the_reference():
    public = {f"{module.__name__}.{name}" for module in (kd2m_theory, bounds, estimators) for name in module.__all__}
    assert public - {"kd2m_theory.bounds.ROWS"} <= set(REFERENCE), public - set(REFERENCE)


@pytest.mark.parametrize("name", REFERENCE)
def test_names_of_the_reference_exist_and_have_an_example(name):
    module, _, short = name.rpartition(".")
    documentation = getattr(importlib.import_module(module), short).__doc__
    assert documentation
    assert ">>>" in documentation or short in used()
