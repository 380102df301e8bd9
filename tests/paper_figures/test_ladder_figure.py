from functools import cache

import numpy as np
import pytest
from matplotlib.text import Text
from sampled import sampled

from kd2m_theory import InputError, Pair, audit
from kd2m_theory.paper_figures.ladder import FIGURE
from kd2m_theory.reporting import style
from kd2m_theory.words import rounded_up

RNG = np.random.default_rng(0)
TEACHER = RNG.normal(size=(60, 4))
WEIGHT = RNG.normal(size=(3, 4))
NOISE = RNG.normal(size=TEACHER.shape)
LABELS = (TEACHER @ WEIGHT.T).argmax(axis=1)


def report(student, only=None, **changes):
    pair = Pair(TEACHER, student, **({"labels": LABELS, "head_weight": WEIGHT} | changes))
    return audit(pair, only=only)


FEW = ["T1.literal", "T2.cw2", "T3.directed", "T2.logits.w2", "T5.curved", "T0", "T0.error"]
CASES = {
    "student worse": lambda: report(TEACHER + NOISE),
    "student better": lambda: report(3.0 * TEACHER, FEW[-2:]),
    "no gap": lambda: report(TEACHER, FEW),
    "unlabelled": lambda: report(TEACHER + 0.1, ["T5", "T0.error"], labels=None),
    "one row": lambda: report(TEACHER + 0.1, ["T5"]),
}


@cache
def report_of(case):
    return CASES[case]()


@cache
def drawn(case):
    return fresh(case)


def fresh(case):
    return FIGURE.rendered(FIGURE.table(report_of(case).to_dict()), ["svg"])["svg"].decode()


@pytest.mark.parametrize("case", sampled(CASES, always=["one row"]))
def test_the_same_report_gives_the_same_bytes(case):
    first = drawn(case)
    assert first == fresh(case)
    assert len(first) > 3000


def test_every_row_is_named_and_numbered():
    case = report_of("student worse")
    text = drawn("student worse")
    rows = [row for row in case.rows if row.target in ("gap", "gap_shared_head", "error_gap")]
    assert len(rows) > 30
    for row in rows:
        assert f">{row.name}<" in text
        assert (f"{rounded_up(row.upper, 3):.3g}" if row.applicable else f"not applicable: {row.why[:20]}") in text
    assert "measured gap" in text


def test_rows_that_do_not_apply_say_why():
    assert "not applicable: the pair is unlabelled; pass labels" in drawn("unlabelled")


def test_a_better_student_turns_the_axis_round():
    text = drawn("student better")
    assert report_of("student better").measured["gap"].value < 0
    assert "the difference is negative" in text


def test_a_report_without_rows_is_refused():
    with pytest.raises(InputError, match="no rows"):
        FIGURE.picture({"rows": [], "measured": {}})


@pytest.mark.long
def test_a_report_of_the_users_own_is_drawn_as_it_plots_itself(tmp_path):
    report_of("student worse").to_json(tmp_path / "report.json")
    report_of("student worse").plot(tmp_path / "plotted.svg")
    numbers = FIGURE.numbers(tmp_path)
    assert FIGURE.rendered(numbers, ["svg"])["svg"] == (tmp_path / "plotted.svg").read_bytes()


def test_a_report_of_another_form_is_refused(tmp_path):
    (tmp_path / "report.json").write_text('{"measured": {}, "rows": [{"name": "T5", "target": "gap"}]}')
    with pytest.raises(InputError, match=r"are not those of an audit \('lower'\); write it again with `kd2m demo`"):
        FIGURE.numbers(tmp_path)


@pytest.mark.parametrize("width", sampled([3.3, 6.9], always=[3.3]))
def test_why_a_row_does_not_apply_stays_in_its_place(width):
    """In the frame of its panel, and clear of the rows above and below, however narrow the picture is."""
    with style.look():
        figure = FIGURE.draw(FIGURE.table(report_of("student worse").to_dict()), width)
        figure.draw_without_rendering()
    found = 0
    for axes in figure.axes:
        frame = axes.get_window_extent()
        boxes = [(text.get_text(), Text.get_window_extent(text)) for text in axes.texts]
        for words, box in boxes:
            if not words.startswith("not applicable: "):
                continue
            found += 1
            assert frame.x0 <= box.x0 <= box.x1 <= frame.x1
            assert frame.y0 <= box.y0 <= box.y1 <= frame.y1
            others = [other for text, other in boxes if text != words]
            assert not any(box.y0 < other.y1 - 1.5 and other.y0 + 1.5 < box.y1 for other in others)
    assert found > 1
