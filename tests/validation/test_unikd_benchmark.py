"""`validation/benchmarks/unikd.py` in small: its parts, and a checkout that has no code."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

from kd2m_theory.errors import InputError

FOLDER = Path(__file__).parents[2] / "validation" / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return runpy.run_path(str(FOLDER / "unikd.py"), run_name="unikd")


@pytest.mark.long
def test_every_part_is_timed(script):
    bench = script["Bench"](torch.device("cpu"), 4, 1, ("resnet8", "resnet8"), 10)
    rows = list(bench.by_part())
    assert [row["part"] for row in rows] == [
        "step with cross-entropy only",
        "AFF",
        "FDP, both heads",
        "unified constraint",
        "supplement",
        "DKD",
        "whole objective, with cross-entropy",
    ]
    assert all(row["time"] > 0 for row in rows)


def test_the_remark_without_the_authors_code_has_the_columns_of_the_table(script):
    assert list(script["NOT_GIVEN"]) == [column.name for column in script["BESIDE"]]


def test_a_folder_without_the_code_is_refused(script, tmp_path, monkeypatch):
    for name in ("mdistiller", "mdistiller.distillers", "mdistiller.engine"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match="has no code of mdistiller that can be imported"):
        script["Author"](tmp_path, stages=(4, 8), features=8, taught=4, classes=3)
