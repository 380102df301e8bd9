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
def on_a_terminal(monkeypatch):
    """The items that `watched` gives on a terminal, and what it shows there."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")

    def call(items, *arguments):
        shown = _Terminal()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", shown)
            given = list(watched(items, *arguments))
        return given, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue())

    return call


def test_a_bar_names_what_it_is_at_and_counts_to_the_last(on_a_terminal):
    items = ["ladder", "peers", "[red]x"]
    given, said = on_a_terminal(items, "drawing", str.upper)
    assert given == items
    assert "drawing 3 of 3, [RED]X" in said


def test_an_iterable_without_a_length_is_counted_without_an_end(on_a_terminal):
    given, said = on_a_terminal(iter("ab"), "extracting features")
    assert given == ["a", "b"]
    assert "extracting features 2 " in said
    assert " of " not in said


def test_nothing_is_shown_where_there_is_no_terminal(capsys):
    items = ["a"]
    assert watched(items, "drawing") is items
    assert capsys.readouterr() == ("", "")
