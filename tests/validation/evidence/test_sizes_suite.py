"""A sample of the suite `sizes`, goals in small, and audits that are wrong on purpose."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kd2m_theory.bounds import ladder
from kd2m_theory.validation.evidence import sizes

FEW = sizes.Size(n=40, d=3, classes=3, gigabytes=8.0)


def failures(size=FEW):
    return [case for case in sizes.reach("few", size, np.random.default_rng(0)) if case.failure]


def test_small_audits_hold():
    cases = [case for item in range(1, 4) for case in sizes.SUITE.item(1_000_000, item)]
    assert len(cases) > 200
    assert [case for case in cases if case.failure] == []
    assert {"informative", "vacuous", "not applicable"} == {case.strata["status"] for case in cases}


def test_every_goal_is_the_first_item_of_a_block_in_a_process_of_its_own(monkeypatch):
    asked, kinds = [], []

    class Alone(ThreadPoolExecutor):
        """What is asked is computed here."""

        def __init__(self, count, context):
            kinds.append((count, context.get_start_method()))
            super().__init__(count)

    monkeypatch.setattr(sizes, "reach", lambda name, size, _: asked.append((name, size)) or [])
    monkeypatch.setattr(sizes, "ProcessPoolExecutor", Alone)
    for block in range(sizes.SUITE.blocks):
        sizes.SUITE.item(block, 0)
    assert dict(asked) == dict(sizes.GOALS)
    assert all(size.gigabytes for size in sizes.GOALS.values())
    assert kinds == [(1, "spawn")] * len(sizes.GOALS)
    sizes.SUITE.item(0, 1)
    assert len(kinds) == len(sizes.GOALS)
    assert asked[-1][0] == "up to 1,000 samples"
    assert max(sizes.small(np.random.default_rng(seed)).n for seed in range(100)) <= 1000


def test_the_page_has_the_goals():
    page = (Path(__file__).parents[3] / "docs" / "sizes.md").read_text(encoding="utf-8")
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.count("|") == 7][2:]
    assert lines == [
        [name, f"{size.n:,}", f"{size.d or '–'}", f"{size.classes:,}", f"{size.seconds:g}", f"{size.gigabytes:g}"]
        for name, size in sizes.GOALS.items()
    ]


def test_a_row_that_does_not_hold_fails_or_has_no_memory_is_a_failure(monkeypatch):
    real = ladder._computed

    def broken(row, view):
        match row.name:
            case "T0":
                sides, seconds, why = real(row, view)
                return replace(sides, lower=-1e-9, upper=1e-9), seconds, why
            case "T5":
                return real(replace(row, compute=lambda _: 1 / 0), view)
            case "T8.ramp":
                return real(replace(row, compute=no_memory), view)
        return real(row, view)

    def no_memory(_):
        raise MemoryError

    assert failures() == []
    monkeypatch.setattr(ladder, "_computed", broken)
    found = {case.strata["row"]: case.failure for case in failures()}
    assert found.keys() == {"T0", "T5", "T8.ramp"}
    assert "holds: NO" in found["T0"]
    assert "division by zero" in found["T5"]
    assert "not enough memory" in found["T8.ramp"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_an_audit_that_needs_more_memory_than_its_goal_is_a_failure():
    assert failures(replace(FEW, n=2_000_000, d=0, gigabytes=0.05))
