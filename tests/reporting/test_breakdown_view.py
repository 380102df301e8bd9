"""Where the gap comes from, on the page and in pictures: the numbers of the report, in words that fit them."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from reports import CASES, a_pair, report_of

from kd2m_theory import InputError, Pair, audit
from kd2m_theory.reporting import html_view, markdown_view, terminal_view
from kd2m_theory.reporting.breakdown_picture import draw
from kd2m_theory.reporting.breakdown_view import breakdown_section, breakdown_sentences
from kd2m_theory.reporting.sections import Section, Table, cell
from kd2m_theory.reporting.style import look
from kd2m_theory.words import number


def section_of(report):
    return breakdown_section(report.to_dict())


def tables_of(report):
    (inner,) = (part for part in section_of(report).parts if isinstance(part, Section))
    return {part.name: part for part in inner.parts if isinstance(part, Table)}


@pytest.mark.parametrize("case", CASES)
def test_every_report_has_its_section_in_every_medium_or_none(case):
    report = report_of(case)
    section = section_of(report)
    assert bool(section.parts) == (report.breakdown is not None)
    if report.breakdown is None:
        return
    assert "".join(html_view.html(section))
    assert section.title in markdown_view.markdown([section])
    assert section.title in terminal_view.plain([section], 80)


@pytest.mark.parametrize("case", ["plain", "student better", "unlabelled", "groups", "one row"])
def test_the_columns_of_the_classes_sum_to_what_was_measured(case):
    report = report_of(case)
    table = tables_of(report)["Contributions of the classes"]
    whole = {
        "Samples": report.n,
        "Gap, nats": report.measured["gap"].value if "gap" in report.measured else None,
        "Errors, points": 100 * report.measured["error_gap"].value if "error_gap" in report.measured else None,
        "Disagreement, points": 100 * report.measured["disagreement"].value,
        "T2.head_aware, nats": report["T2.head_aware"].upper if report.breakdown.transport_row else None,
    }
    shown = {column.heading: k for k, column in enumerate(table.columns)}
    for heading, total in whole.items():
        assert (heading in shown) == (total is not None)
        if total is not None:
            parts = [cell(line.cells[shown[heading]]).number for line in table.lines]
            assert math.fsum(parts) == pytest.approx(total, rel=1e-9, abs=1e-10)


def test_sentences_name_the_classes_by_their_share_and_count_the_errors():
    report = report_of("plain")
    found = report.breakdown
    gap = report.measured["gap"].value
    first, errors, calibrated = breakdown_sentences(report.to_dict())
    for each in found.classes:
        assert f"class {each.label} ({number(100 * each.gap / gap, 2)}\u00a0%)" in first
    assert f"wrong on {found.added} sample" in errors
    assert f"correct on {found.removed} sample" in errors
    assert "the student is over-confident" in calibrated


def test_a_better_student_is_called_better_and_its_bars_point_to_the_left():
    section = section_of(report_of("student better"))
    assert "by which the student is better" in section.parts[0].words[0]
    drawn = "".join(html_view.html(section))
    assert "part better" in drawn
    assert "part worse" not in drawn


def test_parts_that_cancel_have_no_shares():
    """Each is a large share of a small sum, which would say nothing."""
    teacher = np.tile([[1.5, 0.0], [0.0, 1.5]], (20, 1))
    labels = np.arange(40) % 2
    moved = np.where(labels[:, None] == 0, 2.0, 0.568) * teacher
    report = audit(Pair(logits_teacher=teacher, logits_student=moved, labels=labels), only=())
    assert 0 < 10 * report.measured["gap"].value < max(each.gap for each in report.breakdown.classes)
    assert "%" not in breakdown_sentences(report.to_dict())[0]
    assert " nats)" in breakdown_sentences(report.to_dict())[0]


def test_names_of_classes_are_kept_apart_from_the_page():
    hostile = ["<b>cat</b>", "dog\u202e", "c" * 300]
    section = section_of(audit(a_pair(class_names=hostile), only=()))
    drawn = "".join(html_view.html(section))
    assert "<b>cat" not in drawn
    assert "\u202e" not in drawn
    assert drawn.count("<bdi>&lt;b&gt;cat&lt;/b&gt;</bdi>") > 2


def test_long_tables_say_how_much_they_leave_out():
    rng = np.random.default_rng(0)
    teacher, noise = rng.normal(size=(2, 900, 130))
    report = audit(Pair(logits_teacher=teacher, logits_student=teacher + noise, labels=teacher.argmax(axis=1)), only=())
    tables = tables_of(report)
    shown = sum(each.samples for each in report.breakdown.confusions[:10])
    assert f"{report.breakdown.other_classes.classes} other classes" in [
        cell(line.cells[0]).words for line in tables["Contributions of the classes"].lines
    ]
    caption = tables["Confusions that the student adds"].caption
    pairs = int(re.search(r"([\d,]+) rarer", caption)[1].replace(",", ""))
    assert pairs == len(report.breakdown.confusions) + report.breakdown.confusions_left_out - 10
    assert pairs <= report.breakdown.added - shown
    assert len(tables["Samples that carry most of the gap"].lines) == 10


@pytest.mark.parametrize("case", ["plain", "student better", "unlabelled"])
def test_the_picture_has_a_bar_for_every_class_and_a_mark_for_every_bin(case):
    report = report_of(case).to_dict()
    found = report["breakdown"]
    with look():
        axes = draw(report).axes
    assert len(axes) == 1 + bool(found["confusions"]) + (found["reliability"] is not None)
    widths = [bar.get_width() for bar in axes[0].patches]
    key, scale = ("gap", 1) if found["by"] == "label" else ("disagreement", 100)
    assert widths == [scale * each[key] for each in found["classes"]]
    if found["reliability"] is not None:
        lines = {line.get_label(): line for line in axes[-1].lines}
        for whose in ("student", "teacher"):
            bins = found["reliability"][whose]["bins"]
            assert lines[whose].get_xdata().tolist() == [each["confidence"] for each in bins]
            assert lines[whose].get_ydata().tolist() == [each["accuracy"] for each in bins]


def test_a_report_without_a_breakdown_has_no_picture(tmp_path):
    with pytest.raises(InputError, match="the report has no breakdown by class"):
        replace(report_of("plain"), breakdown=None).plot_breakdown(tmp_path / "x.svg")
    report_of("plain").plot_breakdown(tmp_path / "x.svg")
    assert (tmp_path / "x.svg").read_bytes().startswith(b"<?xml")
