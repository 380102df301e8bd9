"""A comparison as text, page, picture and JSON: complete, escaped, and read back only if it agrees with itself."""

import copy
import json
import re
from functools import cache

import numpy as np
import pytest

from kd2m_theory import InputError, Pair, StudentComparison, compare
from kd2m_theory.bounds.compare import TEACHER
from kd2m_theory.reporting.comparison_drawing import ticks
from kd2m_theory.reporting.comparison_sections import page
from kd2m_theory.words import number

STRANGE = "<b>$x$ & \u202ePartner"


def pairs(names=("large", "twin", "small"), n=300, **changes):
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=n)
    teacher, *students = (size * np.eye(3)[labels] + rng.normal(size=(n, 3)) for size in (5, 4.5, 4.5, 1.0))
    given = {"labels": labels, "logits_teacher": teacher} | changes
    return {name: Pair(logits_student=each, **given) for name, each in zip(names, students, strict=False)}


@cache
def found():
    return compare(pairs())


def test_it_is_said_who_is_best_and_who_is_surely_worse():
    assert found().best == ("large", "twin")
    text = str(found())
    assert text.splitlines()[:2] == [
        "300 labelled samples, 3 classes, 3 students and their teacher.",
        "Best students: large and twin, undecided among them. Surely worse: small.",
    ]
    assert "large surely has fewer errors and a lower clipped cross-entropy than small." in text
    assert repr(found()) == "StudentComparison(3 students, n=300, K=3, best: large, twin, delta=0.05)"
    two = compare(pairs(names=("large", "twin")))
    assert "Undecided: these samples do not show which of large and twin is best." in str(two)


def test_one_best_student_is_named():
    given = pairs()
    assert "Best student: large. Surely worse: small." in str(compare({name: given[name] for name in ("large", "small")}))


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_no_number_is_cut_off_at_any_width(width):
    text = found().table(width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for network in found().networks:
        assert number(network.cross_entropy) in text


def test_all_media_show_every_difference_and_decision(tmp_path):
    data, shown = found().to_dict(), found()._repr_html_()
    found().to_html(tmp_path / "page.html", "kd2m compare a.npz b.npz")
    whole = (tmp_path / "page.html").read_text(encoding="utf-8")
    for each in data["differences"]:
        for text in (str(found()), shown, whole):
            assert f"{each['first']} − {each['second']}" in text
    lines = [line for line in str(found()).splitlines() if line.endswith((" better", " undecided"))]
    wanted = [
        {frozenset(names): f"{names[0]} better" for names in data["surely_better"][measure]}.get(
            frozenset((each["first"], each["second"])), "undecided"
        )
        for measure in ("errors", "cross_entropy")
        for each in data["differences"]
    ]
    assert [line.endswith(f" {words}") for line, words in zip(lines, wanted, strict=True)] == [True] * len(wanted)
    for text in (str(found()), shown, whole):
        assert data["headline"] in text
        assert all(sentence in text for sentence in data["sentences"])
    assert "kd2m compare a.npz b.npz" in whole
    assert "<title>Comparison: large, twin, small</title>" in whole
    assert whole.count('class="ladder"') == 2
    assert "kd2m.compare({" in page(data)
    assert not re.search(r'(src|href)="(?!#|https://arxiv)', whole)


def test_a_name_is_text_in_every_medium(tmp_path):
    strange = compare(dict(zip(("<b>$x$ & y", "z" * 80), pairs().values(), strict=False)))
    strange.to_html(tmp_path / "page.html")
    whole = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<b>$x$" not in whole
    assert "&lt;b&gt;$x$ &amp; y" in whole
    strange.plot(tmp_path / "picture.svg")
    assert "$x$" in (tmp_path / "picture.svg").read_text(encoding="utf-8")
    with pytest.raises(InputError, match="the name of a student is"):
        compare(dict(zip((STRANGE, "b"), pairs().values(), strict=False)))


def test_the_picture_is_made_of_what_is_stored(tmp_path):
    found().to_json(tmp_path / "c.json")
    found().plot(tmp_path / "first.svg")
    StudentComparison.from_json(tmp_path / "c.json").plot(tmp_path / "second.svg")
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()
    with pytest.raises(InputError, match="a picture ends in"):
        found().plot(tmp_path / "picture.gif")
    with pytest.raises(InputError, match=r"ends in \.html"):
        found().to_html(tmp_path / "page.txt")


@pytest.mark.parametrize("arguments", [{}, {"loss_bound": 3.0, "delta": 0.2}])
@pytest.mark.parametrize("changes", [{}, {"groups": np.arange(300) // 3, "provenance": {"source": "a test"}}])
def test_what_is_written_is_read_back_equal(tmp_path, changes, arguments):
    made = compare(pairs(**changes), **arguments)
    made.to_json(tmp_path / "c.json")
    again = StudentComparison.from_json(tmp_path / "c.json")
    assert again == made
    assert again.to_dict() == made.to_dict()
    assert (again.decided, again.best) == (made.decided, made.best)


def at(data, place, value):
    """The data with another value at a place, "differences.0.errors.lower"."""
    made = copy.deepcopy(data)
    *path, last = [int(key) if key.isdecimal() else key for key in place.split(".")]
    part = made
    for key in path:
        part = part[key]
    if value is KeyError:
        del part[last]
    else:
        part[last] = value
    return made


LIES = {
    "best": (["small"], "best"),
    "surely_better.errors": ([], "surely_better.errors is"),
    "headline": ("All is well.", "headline is"),
    "schema": ("kd2m-audit/3", "its schema is"),
    "share": (0.05, "share is 0.05, but"),
    "delta": (0.7, r"delta is 0.7, not a number in \(0, ½\]"),
    "n": (0, "n is 0, not a whole number"),
    "bound": (3.0, "bound is 3, but"),
    "networks.0.error": (0.5, "the difference of errors of large less twin is"),
    "networks.0.name": ("teacher", "the name of a student is"),
    "networks.3.name": ("boss", "the last of them has to be teacher"),
    "networks.1.name": ("large", "two students are called 'large'"),
    "networks.0.clipped_cross_entropy": (9.0, "which no losses make"),
    "networks.0.cross_entropy": ("0.1", r"networks\[0\].cross_entropy is"),
    "networks.0": (7, r"networks\[0\] is 7, not a table"),
    "differences": ([], "differences are"),
    "differences.0": (None, r"differences\[0\] is null, not a table"),
    "differences.0.first": ("small", "differences are"),
    "differences.1.errors.upper": (0.5, "is decided among all hypotheses if and only if its interval excludes 0"),
    "differences.1.errors.lower": (-2.0, "does not lie around its value"),
    "differences.0.errors.level": (0.95, "the level of errors of large less twin is 0.95"),
    "differences.0.errors.unit": ("nats", "is not a guaranteed one"),
    "differences.0.errors.guaranteed": (False, "is not a guaranteed one"),
    "differences.1.errors_among": (5, "decided among 5 hypotheses, which Holm's method does not try"),
    "differences.0.errors_among": (24, "is 0, and its sign is said to be decided"),
    "differences.0.cross_entropy_among": (24, "is decided among all hypotheses if and only if its interval excludes 0"),
    "differences.1.errors_among ": (12, "is decided among all hypotheses if and only if its interval excludes 0"),
    "differences.1.cross_entropy_among": (KeyError, r"differences\[1\].cross_entropy_among is missing"),
    "provenance": ({"large": {}}, "provenance is of"),
    "loss_bound": (1.0, "bound is 2.19722, but 1 follows"),
    "surprise": (1, '"surprise" is unknown'),
    "version": (KeyError, "version is missing"),
}


@pytest.mark.parametrize("place", LIES)
def test_a_file_that_contradicts_itself_is_refused_in_one_line(tmp_path, place):
    value, words = LIES[place]
    (tmp_path / "c.json").write_text(json.dumps(at(found().to_dict(), place.strip(), value)), encoding="utf-8")
    with pytest.raises(InputError, match=words) as caught:
        StudentComparison.from_json(tmp_path / "c.json")
    assert "c.json is not a comparison (" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "{", "\x00", '{"schema": NaN}', "[" * 100_000, '{"schema": "kd2m-compare/1"}'])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(InputError, match="is not a comparison"):
        StudentComparison.from_json(tmp_path / "c.json")
    with pytest.raises(InputError, match="there is no file"):
        StudentComparison.from_json(tmp_path / "none.json")


def test_a_difference_is_found_by_both_names():
    assert found()["large", TEACHER].first == "large"
    with pytest.raises(KeyError, match="no difference"):
        found()["small", "large"]
    with pytest.raises(InputError, match="measure is 'speed'"):
        found().surely_better("speed")


def test_a_decision_that_a_few_large_losses_make_is_questioned():
    """Clipped, the student with rare enormous losses is better; without clipping it is worse."""
    labels = np.arange(600) % 2
    right = np.eye(2)[labels]
    teacher, steady = 4 * right, 0.5 * right
    rare = np.where((np.arange(600) < 6)[:, None], -300 * right, 6 * right)
    made = compare(
        {n: Pair(labels=labels, logits_teacher=teacher, logits_student=s) for n, s in (("rare", rare), ("steady", steady))}
    )
    assert ("rare", "steady") in made.surely_better("cross_entropy")
    assert "Without clipping, rare has the higher mean cross-entropy on these samples" in str(made)


@pytest.mark.parametrize(("left", "right"), [(-1e-6, 2e-6), (-0.07, 0.18), (-100, 100), (-5.1, 0.3), (0.0, 0.9)])
def test_ticks_are_round_and_few(left, right):
    found = ticks(left, right)
    assert 3 <= len(found) <= 8
    assert all(left <= value <= right for value in found)
    assert 0 in found
