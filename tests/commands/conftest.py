"""The command as a shell sees it."""

import sys

import pytest

from kd2m_theory.commands.main import main


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Run `kd2m` with arguments, in a folder of its own: exit status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["kd2m", *map(str, arguments)])
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = stop.code or 0
        out, err = capsys.readouterr()
        return status, out, err

    return call
