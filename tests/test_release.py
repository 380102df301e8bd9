"""Habits of a release: the changelog, the versions of what is needed, and the files that other machines run."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from kd2m_theory import __version__
from kd2m_theory.deprecation import GOING
from kd2m_theory.validation.numbers import NUMBERS

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Numbers"}


def sections(text):
    """{release: {kind of change: its text}}, in the order of the file."""
    found = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        kinds = re.split(r"^### ", body, flags=re.MULTILINE)[1:]
        found[title] = {kind.partition("\n")[0]: kind.partition("\n")[2] for kind in kinds}
    return found


def complaints(text, version, numbers, going):
    """What the changelog of a version lacks."""
    releases = sections(text)
    titles = list(releases)
    if titles[0] != "[Unreleased]":
        yield "the first section is not [Unreleased]"
    past = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d", title) for title in titles[1:]]
    if not all(past):
        yield "a section is neither [Unreleased] nor a release with its date"
        return
    order = [Version(match[1]) for match in past]
    if order != sorted(order, reverse=True):
        yield "the newest release is not first"
    if Version(version).is_devrelease:
        if Version(version) <= order[0]:
            yield f"{version} is not after {order[0]}"
    elif Version(version) != order[0]:
        yield f"the newest release is {order[0]}, not {version}"
    for title, kinds in releases.items():
        if unknown := kinds.keys() - KINDS:
            yield f"{title} has {', '.join(sorted(unknown))}"
        if "Numbers" not in kinds:
            yield f"{title} does not say which numbers moved"
    said = [int(n) for kinds in releases.values() for n in re.findall(r"^- NUMBERS (\d+): \S", kinds.get("Numbers", ""), re.M)]
    if said != list(range(numbers, 0, -1)):
        yield f"under Numbers are {said}, and numbers.py says {numbers}: say what moved, as `- NUMBERS {numbers}: …`"
    deprecated = "".join(kinds.get("Deprecated", "") for kinds in releases.values())
    for name in going:
        if f"`{name}`" not in deprecated:
            yield f"`{name}` goes, and is not under Deprecated"


CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_changelog_is_of_this_version():
    assert list(complaints(CHANGELOG, __version__, NUMBERS, GOING)) == []


@pytest.mark.parametrize(
    ("text", "version", "numbers", "going", "complaint"),
    [
        (CHANGELOG, "0.3.0", NUMBERS, {}, "the newest release is 0.1.0, not 0.3.0"),
        (CHANGELOG, "0.1.0.dev0", NUMBERS, {}, "0.1.0.dev0 is not after 0.1.0"),
        (CHANGELOG, __version__, NUMBERS + 1, {}, f"say what moved, as `- NUMBERS {NUMBERS + 1}: …`"),
        (CHANGELOG, __version__, NUMBERS, {"kd2m_theory.Pare": None}, "`kd2m_theory.Pare` goes, and is not under Deprecated"),
        (CHANGELOG.replace("### Fixed", "### Mended", 1), __version__, NUMBERS, {}, "[Unreleased] has Mended"),
        (CHANGELOG.replace(" - 2026", " of 2026"), __version__, NUMBERS, {}, "nor a release with its date"),
    ],
)
def test_what_a_changelog_lacks_is_noticed(text, version, numbers, going, complaint):
    (found,) = complaints(text, version, numbers, going)
    assert complaint in found


def requirements():
    """Every requirement of the package, its extras and its build, once each by name and bound."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    named = [
        *PROJECT["project"]["dependencies"],
        *PROJECT["build-system"]["requires"],
        *(each for few in extras for each in few),
    ]
    return {text: Requirement(text) for text in named}


def pins(file):
    lines = (line.partition("#")[0].strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines())
    return {name.lower().replace("_", "-"): Version(version) for name, version in (line.split("==") for line in lines if line)}


@pytest.mark.parametrize("text", requirements())
def test_every_bound_is_the_lowest_that_was_tested(text):
    requirement = requirements()[text]
    (bound,) = requirement.specifier
    name = requirement.name.lower()
    assert pins("constraints-lowest.txt").get(name) == Version(bound.version), f"constraints-lowest.txt pins another {name}"
    assert requirement.specifier.contains(pins("constraints.txt")[name]), f"constraints.txt pins a {name} that is not admitted"


def test_pre_commit_runs_the_linter_of_the_gate_and_loads_no_code_but_from_pypi():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [each["repo"] for each in hooks] == ["local"]
    linters = [hook for hook in hooks[0]["hooks"] if hook["entry"].startswith("ruff ")]
    assert [hook["entry"].split()[1] for hook in linters] == ["check", "format"]
    assert all(hook["additional_dependencies"] == [f"ruff=={pins('constraints.txt')['ruff']}"] for hook in linters)
    assert all("==" in each for hook in hooks[0]["hooks"] for each in hook.get("additional_dependencies", ()))


@pytest.mark.parametrize("document", ["Makefile", "CONTRIBUTING.md", "README.md", "pyproject.toml"])
def test_the_files_of_this_checkout_that_a_document_names_exist(document):
    rooms = "kd2m_theory|bounds|estimators|validation|paper_figures|tests|docs"
    text = (ROOT / document).read_text(encoding="utf-8")
    text = re.sub(r"```python\n# \S+\n.*?```", "", text, flags=re.DOTALL)  # files that a reader is shown how to add
    named = set(re.findall(rf"(?<![\w./-])(?:\$\(CURDIR\)/)?((?:{rooms})/[\w./-]+\.(?:py|toml|md|css))\b", text))
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_the_workflow_names_targets_and_versions_that_exist():
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))
    assert set(workflow[True]) == {"push", "pull_request"}  # YAML reads `on` as true
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    made = {name: [] for name in workflow["jobs"]}
    pythons = set()
    for name, job in workflow["jobs"].items():
        matrix = job["strategy"]["matrix"]
        assert set(matrix["os"]) == {"ubuntu-latest", "macos-latest"}
        pythons |= set(matrix["python"])
        assert job["runs-on"] == "${{ matrix.os }}"
        for step in job["steps"]:
            for command in step.get("run", "").splitlines():
                program, target, *rest = command.split()
                assert (program, rest) == ("make", ["PYTHON=python"]), command
                assert target in targets, command
                made[name].append(target)
    assert made == {"pinned": ["types", "test", "long", "docs"], "newest": ["newest"], "lowest": ["lowest"]}
    assert pythons == {"3.11", "3.12", "3.13", "3.14"}
    assert workflow["jobs"]["pinned"]["strategy"]["matrix"]["python"] == ["3.11"]
    assert PROJECT["project"]["requires-python"] == f">={min(pythons, key=Version)}"
