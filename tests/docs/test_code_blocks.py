"""Whatever a page shows is run: Python as it stands, commands at least by the command line's own parser."""

import ast
import importlib.util
import re
import shlex
import sys
import tomllib

import pytest
import typer
from pages import ROOT, blocks, command_lines, commands_in_text, name, own_pages, run, run_session, tokens
from sampled import sampled
from stages import AFTER, BEFORE

from kd2m_theory.commands.main import app, main
from kd2m_theory.errors import InputError
from kd2m_theory.validation.campaigns.campaign import campaign, read_campaign
from kd2m_theory.validation.training.configuration import configuration, read_configuration, shipped_names

LANGUAGES = {"python", "pycon", "sh", "text", "toml", "{eval-rst}", "{include}", "{toctree}"}
CHEAP = (
    ("audit",),
    ("compare",),
    ("report",),
    ("label",),
    ("theory", "list"),
    ("theory", "show"),
    ("metric", "check"),
    ("figures", "--list"),
)
# Commands in blocks that are only parsed, and have the configurations that they name read: why, and what runs them in small.
NOT_RUN = {
    ("figures", "--from", "campaigns/papers"): "the store of a campaign that takes half an hour",
    ("train",): "trains for minutes; test_train_command.py, and torchrun in test_processes.py",
    ("validate", "report"): "reads a campaign that took an hour; test_validate_command.py",
    ("validate",): "trains for minutes or hours; test_validate_command.py",
    ("theory", "check"): "takes a minute; test_theory_command.py",
    ("theory", "falsify"): "searches for as long as it is told; test_theory_command.py",
    ("theory", "power"): "takes a minute; test_theory_command.py",
}
FOREIGN = {".", "dask", "git"}


# Pages whose blocks take seconds each.
LONG_PAGES = (
    "CONTRIBUTING.md",
    "docs/gallery.md",
    "docs/labels.md",
    "docs/networks.md",
    "docs/own-bound.md",
    "docs/own-metric.md",
    "docs/own-pair.md",
    "docs/predictions.md",
    "docs/scaling.md",
    "docs/sequences.md",
    "docs/sizes.md",
    "docs/training.md",
)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("page", sampled(own_pages(), later=LONG_PAGES, name=name), ids=name)
def test_every_block_of_a_page_works(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    namespace = {"__name__": "page"} | BEFORE.get(name(page), lambda _patch: {})(monkeypatch)
    try:
        for block in blocks(page):
            assert block.language in LANGUAGES, f"{block} is in {block.language or 'no language'}"
            if block.language == "python":
                saved = re.match(r"# (\w+\.py)\n", block.text)
                if saved:  # a reader has its names in a file, and later blocks must import them from there
                    (tmp_path / saved[1]).write_text(block.text, encoding="utf-8")
                else:
                    run(block, namespace)
            elif block.language == "pycon":
                run_session(block, namespace)
            elif block.language == "toml":
                read(tomllib.loads(block.text))
            elif block.language == "sh":
                for words in command_lines(block):
                    type_in(words, str(block), monkeypatch)
        AFTER.get(name(page), lambda _names, _patch: None)(namespace, monkeypatch)
    finally:
        for module in [*sys.modules]:
            if str(tmp_path) in str(getattr(sys.modules[module], "__file__", "")):
                del sys.modules[module]


@pytest.mark.parametrize("page", own_pages(), ids=name)
def test_changes_in_the_text_fit_a_shipped_file(page):
    for token in tokens(page):
        for child in token.children or ():
            if child.type == "code_inline" and child.content.startswith("--set "):
                assert fits_a_shipped_file(shlex.split(child.content)[1]), f"{name(page)}: {child.content}"


def test_changes_in_the_help_fit_a_shipped_file():
    found = [
        change
        for command in every_command(typer.main.get_command(app))
        for option in command.params
        for change in re.findall(r"--set (\S+)", getattr(option, "help", None) or "")
    ]
    assert len(found) >= 4
    assert all(map(fits_a_shipped_file, found)), found


def test_commands_named_in_the_package_exist():
    """In docstrings and in messages: advice that cannot be followed is worse than none."""
    known = typer.main.get_command(app).commands
    found = 0
    for room in ("kd2m_theory", "estimators", "bounds", "validation", "paper_figures"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    for first, second in re.findall(r"\bkd2m ([a-z]+)(?: ([a-z]+))?", node.value):
                        assert first in known, f"{path.name}: kd2m {first}"
                        beneath = getattr(known[first], "commands", {})
                        assert first == "validate" or not (second and beneath) or second in beneath, (
                            f"{path.name}: kd2m {second}"
                        )
                        found += 1
    assert found > 20


@pytest.mark.parametrize("page", own_pages(), ids=name)
def test_commands_in_the_text_exist(page):
    for words in commands_in_text(page):
        group, rest = typer.main.get_command(app), words[1:]
        while rest and rest[0] in getattr(group, "commands", {}):
            group, rest = group.commands[rest[0]], rest[1:]
        assert len(rest) < len(words) - 1, f"{name(page)}: there is no {' '.join(words)}"
        if rest:  # a command may be named without its arguments
            parse(words[1:], f"{name(page)}: {' '.join(words)}")


def test_worked_examples_are_short():
    for block in blocks(ROOT / "CONTRIBUTING.md"):
        assert len(block.text.splitlines()) < 40, str(block)


def test_examples_of_the_gallery_are_short_and_every_picture_is_described():
    page = ROOT / "docs/gallery.md"
    lengths = [len([line for line in block.text.splitlines() if line]) for block in blocks(page)]
    assert max(lengths) <= 12
    described = re.findall(r"^<!-- picture: gallery-[a-z]+\.png: (.+) -->$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(described) == len(lengths) - 1  # the first block is what all have in common
    assert all(len(words.split()) >= 8 for words in described)


def read(table):
    """A table is a run, or a campaign whose studies of coverage leave out what is as in a run."""
    if "sweep" in table:
        whole = tomllib.loads((ROOT / "validation/campaigns/shipped/quick.toml").read_text(encoding="utf-8"))["coverage"][0]
        campaign(table | {"coverage": [whole | study for study in table["coverage"]]})
    else:
        configuration(table)


def type_in(words, where, monkeypatch):
    """Run a command that takes seconds; of any other, see that what it names is there."""
    while "=" in words[0]:
        words = words[1:]
    program = words[0].rsplit("/", 1)[-1]
    if program == "torchrun":
        ours = words[words.index("kd2m_theory") + 1 :]
        parse(ours, where)
        read_what_is_named(ours)
    elif program == "kd2m":
        parse(words[1:], where)
        read_what_is_named(words[1:])
        if not any(tuple(words[1 : 1 + len(cheap)]) == cheap for cheap in CHEAP):
            assert any(tuple(words[1 : 1 + len(dear)]) == dear for dear in NOT_RUN), (
                f"{where}: {words} is not run, and not said why"
            )
        else:
            monkeypatch.setattr(sys, "argv", ["kd2m", *words[1:]])
            with pytest.raises(SystemExit) as stop:
                main()
            assert not stop.value.code, f"{where}: {words}"
    elif program == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"{where}: no target {words[1]}"
    elif program == "python":
        if words[1] == "-m":
            assert importlib.util.find_spec(words[2]) is not None, f"{where}: no module {words[2]}"
        else:
            assert (ROOT / words[1]).is_file(), f"{where}: no script {words[1]}"
    elif program == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        asked = {extra for word in words for found in re.findall(r"\[(.*)\]", word) for extra in found.split(",")}
        assert asked <= set(extras), f"{where}: no extra {asked - set(extras)}"
    else:
        assert program in FOREIGN, f"{where}: {program} is neither ours nor known"


def read_what_is_named(words):
    """The configuration or the campaign of a command, with its changes."""
    reader = {"train": read_configuration, "validate": read_campaign}.get(words[0])
    if reader is not None and words[1] not in ("report", "merge"):
        reader(words[1], [words[k + 1] for k, word in enumerate(words) if word == "--set"])


def fits_a_shipped_file(change):
    files = (ROOT / "validation/campaigns/shipped").glob("*.toml")
    tables = [(read_configuration, each) for each in shipped_names()] + [(read_campaign, each.stem) for each in files]
    for reader, source in tables:
        try:
            reader(source, [change])
        except InputError:
            continue
        return True
    return False


def every_command(command):
    beneath = getattr(command, "commands", {}).values()
    return [command, *(each for group in beneath for each in every_command(group))]


def parse(words, where):
    """Have the command line itself take the words apart; nothing is run."""
    command = typer.main.get_command(app)
    disarm(command)
    try:
        command.main(words, "kd2m", standalone_mode=False)
    except Exception as error:  # whatever the parser has to say
        pytest.fail(f"{where}: {error}")


def disarm(command):
    for each in getattr(command, "commands", {}).values():
        disarm(each)
    command.callback = lambda **_options: None
