import io

import numpy as np
import pytest
from PIL import Image

from kd2m_theory import InputError, Pair, audit
from kd2m_theory.paper_figures.ladder import draw_ladder

RNG = np.random.default_rng(0)
TEACHER = RNG.normal(size=(60, 4))
WEIGHT = RNG.normal(size=(3, 4))
LABELS = (TEACHER @ WEIGHT.T).argmax(axis=1)


def report(student, **changes):
    return audit(Pair(TEACHER, student, **({"labels": LABELS, "head_weight": WEIGHT} | changes)))


CASES = {
    "student worse": report(TEACHER + RNG.normal(size=TEACHER.shape)),
    "student better": report(3.0 * TEACHER),
    "no gap": report(TEACHER),
    "unlabelled": report(TEACHER + 0.1, labels=None),
    "one row": audit(Pair(TEACHER, TEACHER + 0.1, labels=LABELS, head_weight=WEIGHT), only=["T5"]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_same_report_gives_the_same_bytes(case, kind):
    first, second = (draw_ladder(CASES[case].to_dict(), kind) for _ in range(2))
    assert first == second
    assert len(first) > 3000


def test_every_row_is_named_and_numbered():
    case = CASES["student worse"]
    text = draw_ladder(case.to_dict(), "svg").decode()
    drawn = [row for row in case.rows if row.target in ("gap", "gap_shared_head", "error_gap")]
    assert len(drawn) > 30
    for row in drawn:
        assert f">{row.name}<" in text
        assert f"{row.upper:.3g}" in text
    assert "measured gap" in text


def test_rows_that_do_not_apply_say_why():
    assert "not applicable: the pair is unlabelled; pass labels" in draw_ladder(CASES["unlabelled"].to_dict(), "svg").decode()


def test_a_better_student_turns_the_axis_round():
    text = draw_ladder(CASES["student better"].to_dict(), "svg").decode()
    assert CASES["student better"].measured["gap"].value < 0
    assert "the student is better" in text


def test_png_has_the_size_of_a_paper_column_at_200_dpi():
    image = Image.open(io.BytesIO(draw_ladder(CASES["student worse"].to_dict(), "png")))
    assert image.width == 1440


def test_a_report_without_rows_is_refused():
    with pytest.raises(InputError, match="no rows"):
        draw_ladder({"rows": [], "measured": {}}, "png")
