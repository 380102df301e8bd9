import pytest

from kd2m_theory.paper_figures import campaign_correlation, campaign_coverage, campaign_tightness
from kd2m_theory.paper_figures.campaign_figures import pictures
from kd2m_theory.validation.campaigns.correlation import Explained
from kd2m_theory.validation.campaigns.findings import Findings
from kd2m_theory.validation.campaigns.verdict import Cell, Judgement


def bound(name, population, ratio, target="gap"):
    return {"name": name, "population": population, "ratio": ratio, "target": target, "guaranteed": True, "share": None}


def cell(name, delta, n, verdict="compatible"):
    return Cell("a run", name, n, delta, delta / 10, True, 1000, 3, 5, 0.0005, 0.02, verdict)


CELLS = tuple(cell(name, delta, n) for name in ("F1.gap", "F3.T0") for delta in (0.05, 0.2) for n in (200, 1000))
BOUNDS = [bound(name, p, ratio) for name in ("T1.l2", "T5") for p in ("digits", "glyphs") for ratio in (2.0, 3.0, 5.0)]
EXPLAINED = [
    Explained(name, "gap", last, 20, 0.5, 0.3, 0.7, {"digits": 0.4, "glyphs": 0.6})
    for name in ("W2", "MMD")
    for last in (False, True)
]


@pytest.fixture
def found():
    return Findings(Judgement(10, (), (*CELLS, cell("F4", 0.2, 200, "invalid"))), BOUNDS, EXPLAINED, 6, 3, 1.0, "here")


@pytest.mark.parametrize("file_format", ["png", "svg"])
def test_pictures_are_the_same_bytes_every_time(found, file_format):
    first = pictures(found, [file_format])
    assert set(first) == {f"{name}.{file_format}" for name in ("tightness", "coverage", "correlation")}
    assert all(len(data) > 5000 for data in first.values())
    assert pictures(found, [file_format]) == first


def test_only_what_was_found_is_drawn(found):
    empty = Findings(Judgement(0, (), ()), [], [], 0, 0, 0.0, "")
    assert pictures(empty, ["png"]) == {}
    assert campaign_tightness.numbers(found)["rows"][0] == {
        "name": "T1.l2",
        "population": "digits",
        "quarter": 3.0,
        "median": 3.0,
        "three_quarters": 5.0,
    }


def test_a_line_for_every_row(found):
    axes = campaign_tightness.draw(campaign_tightness.numbers(found)).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["T1.l2", "T5"]
    medians = [line.get_xdata()[0] for line in axes.lines if line.get_marker() in ("o", "s")]
    assert medians == [3.0] * 4


def test_an_infinite_quartile_is_left_out(found):
    infinite = Findings(found.judgement, [bound("T0", "digits", ratio) for ratio in (2.0, float("inf"))], [], 6, 3, 1.0, "")
    table = campaign_tightness.numbers(infinite)
    assert table["rows"][0]["three_quarters"] is None
    campaign_tightness.draw(table)


def test_coverage_has_a_panel_for_each_delta_and_marks_what_is_invalid(found):
    panels = campaign_coverage.draw(campaign_coverage.numbers(found)).axes
    assert [axes.get_title() for axes in panels] == ["audits at δ = 0.05", "audits at δ = 0.2"]
    orange = [line for line in panels[1].lines if line.get_color() == campaign_coverage.ORANGE]
    assert len(orange) == 2  # an interval and a point
    assert not [line for line in panels[0].lines if line.get_color() == campaign_coverage.ORANGE]


def test_correlations_have_a_panel_for_each_choice_of_epochs(found):
    panels = campaign_correlation.draw(campaign_correlation.numbers(found)).axes
    assert [axes.get_title() for axes in panels] == ["own heads,\nall trained", "own heads,\nlast epoch"]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["W2", "MMD"]


@pytest.mark.parametrize("module", [campaign_tightness, campaign_coverage, campaign_correlation])
def test_a_figure_is_drawn_again_from_the_numbers_that_were_stored(module, found, tmp_path):
    numbers = module.numbers(found)
    stored = module.FIGURE.reads[0].file
    (tmp_path / stored).write_bytes(pictures(found, ["json"])[stored])
    assert module.FIGURE.rendered(module.FIGURE.numbers(tmp_path), ["png"]) == module.FIGURE.rendered(numbers, ["png"])
