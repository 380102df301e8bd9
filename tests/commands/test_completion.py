"""Completion and help of every command, as shells ask for them; neither loads anything slow."""

import os
import shutil
import subprocess
import sys

import pytest
import typer
from sampled import sampled

from kd2m_theory.commands.main import app

SLOW = ("numpy", "scipy", "torch", "matplotlib", "ot", "pyarrow")


def commands(group, words=()):
    """Every command and group, with the words that lead to it."""
    yield words, group
    for word, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*words, word))


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.fixture
def environment(tmp_path):
    """The environment of a shell that finds `kd2m`, which fails if anything slow is loaded."""
    program = tmp_path / "bin" / "kd2m"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable} -P\n"
        "import sys\n"
        "from kd2m_theory.commands.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        f"    assert not set({SLOW}) & set(sys.modules), 'slow to load'\n"
    )
    program.chmod(0o755)
    return os.environ | {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}


def run(environment, *command, **more):
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment | more).stdout


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_has_a_short_form_everywhere(words, command):
    status, out, err = command(*words, "-h")
    assert (status, err) == (0, "")
    assert (status, out, err) == command(*words, "--help")
    assert f"{' '.join(('kd2m', *words))} [OPTIONS] " in out


def test_version_and_help_load_nothing_slow(environment):
    assert run(environment, "kd2m", "--version").startswith("kd2m-theory ")
    assert "falsify" in run(environment, "kd2m", "theory", "-h")


# What was typed before the word that is completed, the word as far as it is typed, and some of the answers.
TYPED = [
    ("", "", {"audit", "report", "compare", "demo", "train", "figures", "validate", "label", "metric", "theory"}),
    ("", "the", {"theory"}),
    ("", "--v", {"--version"}),
    ("theory", "", {"list", "show", "check", "falsify", "power"}),
    ("label", "", {"plan", "estimate", "partly-labelled"}),
    ("validate", "", {"run", "report", "merge"}),
    ("validate quick", "--res", {"--resume"}),  # the first word is not a command, but a campaign to run
    ("audit a.npz", "--de", {"--delta"}),
    ("train", "digits-tt", {"digits-ttm"}),
    ("train", "mix", {"mixture-cw2"}),
]


@pytest.mark.parametrize(
    ("before", "word", "answers"),
    sampled(TYPED, always=["--v", "digits-tt"], name=lambda typed: typed[1]),
)
def test_shells_are_told_what_can_follow(before, word, answers, environment):
    words = " ".join(filter(None, ("kd2m", before)))
    bash = {"_KD2M_COMPLETE": "complete_bash", "COMP_WORDS": f"{words} {word}", "COMP_CWORD": str(len(words.split()))}
    assert set(run(environment, "kd2m", **bash).split()) == answers
    zsh = run(environment, "kd2m", _KD2M_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=f"{words} {word}")
    assert all(f'"{answer}":' in zsh for answer in answers)
    fish = {"_KD2M_COMPLETE": "complete_fish", "_TYPER_COMPLETE_ARGS": f"{words} {word}"}
    lines = run(environment, "kd2m", **fish, _TYPER_COMPLETE_FISH_ACTION="get-args").splitlines()
    assert {line.split("\t")[0] for line in lines} == answers


def test_a_file_is_left_to_the_shell(environment):
    bash = {"_KD2M_COMPLETE": "complete_bash", "COMP_WORDS": "kd2m audit pa", "COMP_CWORD": "2"}
    assert run(environment, "kd2m", **bash).strip() == ""


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_what_was_installed(environment, tmp_path):
    """The two options find out which shell called them, so they are called by one."""
    shown = run(environment, "bash", "--norc", "-c", "kd2m --show-completion; true")
    assert "_kd2m_completion" in shown
    run(environment, "bash", "--norc", "-c", "kd2m --install-completion; true")
    script = (
        ". ~/.bashrc; COMP_WORDS=(kd2m theory fal); COMP_CWORD=2; "
        "_kd2m_completion kd2m fal theory; echo ${COMPREPLY[@]}; complete -p kd2m"
    )
    completed, registered = run(environment, "bash", "--norc", "-c", script).splitlines()
    assert completed == "falsify"
    assert "_kd2m_completion kd2m" in registered
    assert (tmp_path / ".bashrc").exists()
