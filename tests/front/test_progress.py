"""Progress bars: named, and counted from 1."""

import io
import re
import sys

import pytest

from kd2m_theory.terminal import watched


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    shown = _Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    return shown


def test_a_bar_names_what_it_is_at_and_counts_to_the_last(terminal):
    assert list(watched(["ladder", "peers", "[red]x"], "drawing", str.upper)) == ["ladder", "peers", "[red]x"]
    assert "drawing 3 of 3, [RED]X" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())


def test_an_iterable_without_a_length_is_counted_without_an_end(terminal):
    assert list(watched(iter("ab"), "extracting features")) == ["a", "b"]
    said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert "extracting features 2 " in said
    assert " of " not in said


def test_nothing_is_shown_where_there_is_no_terminal(capsys):
    items = ["a"]
    assert watched(items, "drawing") is items
    assert capsys.readouterr() == ("", "")
