"""The page on evidence says what its tables say, and nothing else."""

import json
from pathlib import Path

import pytest

from kd2m_theory.validation import stored_parts
from kd2m_theory.validation.evidence import page_part
from kd2m_theory.validation.evidence.registry import suites
from kd2m_theory.validation.evidence.tables import SCHEMA, file_name

PAGE = Path(__file__).parents[3] / "docs" / "evidence.md"
POWERS = ("half the radius", "no radius", "nothing")
STRATA = {
    "rows": "family",
    "transport": "kind",
    "segments": "family",
    "files": "file",
    "coverage": "order",
    "labels": "order",
    "sizes": "size",
}


def table(name, **changes):
    failure = {"case": "3:4", "family": "x", "failure": "lower | 2\nexceeds `1`"}
    return {
        "schema": SCHEMA,
        "suite": name,
        "claim": f"The claim of {name}.",
        "oracle": "By hand.",
        "case": "a case",
        "held": False,
        "complete": True,
        "cases": 1234,
        "failed": 3,
        "blocks": {"done": 2, "wanted": 5, "lost": 1},
        "strata": {STRATA[name]: {"easy": {"cases": 1000, "failed": 0}, "hard": {"cases": 234, "failed": 3}}},
        "failures": [failure],
        "doubts": [],
        "version": "1.2.3",
        "numbers": 7,
        "date": "2026-01-02",
        "seconds": 1.5,
        **changes,
    }


@pytest.fixture
def folder(tmp_path):
    for name in STRATA:
        (tmp_path / file_name(name)).write_text(json.dumps(table(name)))
    return tmp_path


def test_counts_failures_and_lost_blocks_are_shown(folder):
    rows = {
        "family": {"offset": {"cases": 9, "failed": 2}},
        "row": {"T5": {"cases": 4, "failed": 2}, "T0": {"cases": 5, "failed": 0}},
    }
    rows["ends"] = {"need the allowance": {"cases": 3, "failed": 2}}
    (folder / file_name("rows")).write_text(json.dumps(table("rows", strata=rows, failed=2)))
    noticed = {
        "F1.risk": {"30": {"half the radius": 3, "no radius": 1, "nothing": 1}, "5000": dict.fromkeys(POWERS, 2)},
        "F2.T0": {"30": {"half the radius": 0, "no radius": 0, "nothing": 4}},
    }
    more = {"noticed": noticed, "fewest_trials": 61, "asymptotic_too_often": ["a", "b"]}
    (folder / file_name("coverage")).write_text(json.dumps(table("coverage", doubts=["few trials"], **more)))
    text = page_part.block(folder)
    assert "| [rows](#rows) | a case | 1,234 | **2** | 2 of 5, 1 lost | 1.2.3, 7 | 2026-01-02 |" in text
    assert "| offset | 9 | 2 |" in text
    assert "Failures by row: T5 (2 of 4)." in text
    assert "Of the cases that held, 1 needed" in text
    assert "In doubt: few trials." in text
    assert "Of 15 cells, each of at least 61 samples, 5 would have noticed that half of a radius is missing, 3 more" in text
    assert "| F1.risk | 3, 4 of 5 | 2, 4 of 6 |" in text
    assert "| F2.T0 | 0, 0 of 4 | – |" in text
    assert "A missing radius would be seen in no cell of F2.T0." in text
    assert "are wrong too often in 2 cells." in text
    assert "For example case 3:4 (family x): `lower \\| 2 exceeds '1'`." in text


def test_a_number_on_the_page_that_is_not_the_tables_is_found(folder, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{page_part.BEGIN}\n{page_part.END}\n\nAfter it.\n")
    command = [str(page), "--from", str(folder)]
    assert stored_parts.main(command) == 1
    assert stored_parts.main([*command, "--write"]) == 0
    assert stored_parts.main(command) == 0
    written = page.read_text()
    assert written.endswith("\n\nAfter it.\n")
    page.write_text(written.replace("**3**", "**0**", 1))
    capsys.readouterr()
    assert stored_parts.main(command) == 1
    assert "**0**" in capsys.readouterr().err
    (folder / file_name("files")).unlink()
    assert stored_parts.main(command) == 2
    assert "make evidence" in capsys.readouterr().err


def test_the_old_name_of_from_still_works_and_says_so(folder, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(f"{page_part.BEGIN}\n{page_part.END}\n")
    assert stored_parts.main([str(page), "--write", "--tables", str(folder)]) == 0
    assert capsys.readouterr().err == "stored_parts: --tables is deprecated and goes in 0.3; use --from\n"
    assert stored_parts.main([str(page), "--from", str(folder)]) == 0
    assert stored_parts.main([str(page), "--from", str(folder), "--tables", "other"]) == 2
    assert "give --from alone" in capsys.readouterr().err


def test_the_page_says_what_the_shipped_tables_say(capsys):
    assert stored_parts.main([str(PAGE)]) == 0, capsys.readouterr().err


def test_the_shipped_tables_are_small_and_of_the_suites_there_are():
    for suite, stored in zip(suites(), page_part.TABLES, strict=True):
        path = stored.path(None)
        found = stored.read(path)
        assert path.stat().st_size < 100_000
        assert (found["suite"], found["claim"], found["oracle"]) == (suite.name, suite.claim, suite.oracle)
        assert found["cases"] > 1000
        assert found["held"] == (not (found["failed"] or found["blocks"]["lost"]))
