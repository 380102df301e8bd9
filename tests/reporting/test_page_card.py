"""The card of a page: the name of the audit, three lights of which none is a colour alone, and where their bars end."""

import re
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from report_pages import page_of, page_of_case
from reports import CASES, report_of
from sampled import sampled

from kd2m_theory import AuditReport, Pair, audit
from kd2m_theory.reporting.page import html_page
from kd2m_theory.reporting.page_card import LIGHTS, title
from kd2m_theory.reporting.verdict import Status

DATE = r"\d{4}-\d\d-\d\d"


def titled(**changes):
    return title(replace(report_of("plain"), environment={"kd2m-theory": "0.2"}, **changes).to_dict())


def test_the_title_names_the_networks_and_the_day():
    assert titled(provenance={"student": "ResNet8, head fc, features fc:input", "teacher": "ResNet32, head fc"}) == (
        "Audit of ResNet8 against ResNet32"
    )
    assert titled(provenance={"student": "net", "teacher": "net"}) == "Audit of net"
    assert titled(provenance={"source": "pair.npz"}) == "Audit of pair.npz"
    assert titled(provenance={}) == titled(provenance={"student": "  "}) == "Audit of a student: 60 samples, 3 classes"
    assert titled(provenance={"student": "word" * 40}) == f"Audit of {'word' * 14}wor…"
    assert re.fullmatch(f"Audit of drawn, {DATE}", title(report_of("plain").to_dict()))


def test_the_window_has_the_title_and_a_violation_before_it():
    for case, words in (("plain", "Audit of drawn, "), ("violated", "Violated: audit of drawn, ")):
        page = page_of_case(case)
        (window,), (heading,) = page.all("title"), page.all("h1")
        assert re.fullmatch(words + DATE, window["text"])
        assert window["text"].lower().endswith(heading["text"].lower())


def test_a_stored_report_keeps_the_day_of_its_audit(tmp_path):
    report = replace(report_of("plain"), environment={**report_of("plain").environment, "date": "2001-02-03"})
    report.to_json(tmp_path / "a.json")
    again = html_page(AuditReport.from_json(tmp_path / "a.json").to_dict())
    assert again == html_page(report.to_dict())
    assert "<title>Audit of drawn, 2001-02-03</title>" in again


def test_names_from_outside_stay_text():
    hostile = replace(report_of("plain"), provenance={"student": "<script>x</script>", "teacher": "</title><b>"})
    tame = replace(report_of("plain"), provenance={"student": "a", "teacher": "b"})
    assert [node["tag"] for node in page_of(hostile).found] == [node["tag"] for node in page_of(tame).found]


def lights_of(page):
    (start,) = [k for k, node in enumerate(page.found) if node.get("class") == "lights"]
    rest = page.found[start + 1 :]
    return [node for node in rest if node["tag"] == "li" and "class" in node][:3]


@pytest.mark.parametrize(
    "case", sampled(CASES, always=["plain", "student better", "unlabelled", "violated", "infinite", "groups"])
)
def test_each_light_has_a_mark_and_the_word_of_the_verdict(case):
    record, page = report_of(case).to_dict(), page_of_case(case)
    errors, cross_entropy, bounds = lights_of(page)
    for light, name, measure in ((errors, "Errors", "errors"), (cross_entropy, "Cross-entropy", "cross_entropy")):
        status = record["verdict"][measure]["status"]
        mark, word = LIGHTS[status]
        if ": not computed" in record["verdict"][measure]["sentence"]:
            word = "not computed"
        assert light["class"] == status
        assert light["text"].startswith(f"{mark}{name}: {word}")
    checked = [row for row in record["rows"] if row["guaranteed"] and row["holds"] is not None]
    word = "✗Bounds: violated" if record["violations"] else "✓Bounds: none violated" if checked else "?Bounds: not checked"
    assert bounds["text"].startswith(word)
    assert f"{len(checked)} of {sum(row['guaranteed'] for row in record['rows'])} " in bounds["text"]


def test_every_status_has_a_light_of_its_own():
    assert set(LIGHTS) == set(get_args(Status))
    assert len(set(LIGHTS.values())) == len(LIGHTS)


@pytest.mark.parametrize("case", ["plain", "student better", "unlabelled"])
def test_bars_of_the_lights_end_where_their_interval_does(case):
    """Zero is in the middle, and the scale is the same on both sides."""
    record, page = report_of(case).to_dict(), page_of_case(case)
    lines = [node for node in page.all("line") if node.get("class", "").startswith("reach")]
    found = [record["verdict"][measure] for measure in ("errors", "cross_entropy")]
    found = [each for each in found if each["guaranteed"]]
    assert len(lines) == len(found) > 0
    for line, each in zip(lines, found, strict=True):
        drawn = np.array([float(line[key][:-1]) - 50 for key in ("x1", "x2")])
        ends = np.array([each["lower"], each["upper"]])
        np.testing.assert_allclose(drawn * np.abs(ends).max(), ends * np.abs(drawn).max(), atol=0.02 * np.abs(ends).max())
        assert (np.abs(drawn) <= 46.01).all()
        assert ("decided" in line["class"]) == (ends[0] > 0 or ends[1] < 0)


def test_the_day_is_that_of_the_audit():
    pair = Pair(logits_teacher=3 * np.eye(2), logits_student=2 * np.eye(2))
    assert re.fullmatch(DATE, audit(pair, only=["T0.error"]).environment["date"])
